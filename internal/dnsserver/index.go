package dnsserver

import (
	"fmt"
	"strings"

	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/compiler/dns"
)

// index finds what the zones say of a name. It is made once and never changed, so that every worker may read it.
type index struct {
	zones map[string]*zone // by origin, in lower case and with the final dot
}

type zone struct {
	soa   *wire.SOA
	names map[string]*node // in lower case and with the final dot
}

// node is a name. One without records is there because it has names below it (an empty non-terminal, RFC 8020).
type node struct {
	sets []rrset
}

// rrset is the records of a name that have one type.
type rrset struct {
	typ     uint16
	records []wire.RR
}

func (n *node) set(typ uint16) []wire.RR {
	for i := range n.sets {
		if n.sets[i].typ == typ {
			return n.sets[i].records
		}
	}
	return nil
}

// newIndex takes the zones in. An error is about data that no message can carry.
func newIndex(zones []*dns.Zone) (*index, error) {
	x := &index{zones: make(map[string]*zone, len(zones))}
	for _, z := range zones {
		if err := x.add(z); err != nil {
			return nil, fmt.Errorf("the zone %s: %w", z.Origin, err)
		}
	}
	return x, nil
}

func (x *index) add(z *dns.Zone) error {
	origin, err := fqdn(z.Origin)
	if err != nil {
		return err
	}
	soa, err := startOfAuthority(z, origin)
	if err != nil {
		return err
	}
	into := &zone{soa: soa, names: make(map[string]*node, len(z.Records))}
	into.insert(origin, origin, soa)
	for i := range z.Records {
		r := &z.Records[i]
		name, err := fqdn(r.Name)
		if err != nil {
			return err
		}
		if !wire.IsSubDomain(origin, name) {
			return fmt.Errorf("the name %q is outside of it", r.Name)
		}
		rr, err := resourceRecord(name, z.TTL, r.Data)
		if err != nil {
			return err
		}
		into.insert(origin, name, rr)
	}
	x.zones[origin] = into
	return nil
}

func (z *zone) insert(origin, name string, rr wire.RR) {
	n := z.node(origin, name)
	typ := rr.Header().Rrtype
	for i := range n.sets {
		if n.sets[i].typ == typ {
			n.sets[i].records = append(n.sets[i].records, rr)
			return
		}
	}
	n.sets = append(n.sets, rrset{typ, []wire.RR{rr}})
}

// node gives the node of a name, which from now on is there, as are those between it and the origin.
func (z *zone) node(origin, name string) *node {
	if n := z.names[name]; n != nil {
		return n
	}
	n := &node{}
	z.names[name] = n
	for name != origin {
		at, end := wire.NextLabel(name, 0)
		if end {
			break
		}
		if name = name[at:]; z.names[name] != nil {
			break
		}
		z.names[name] = &node{}
	}
	return n
}

// find gives the zone that a name is in: the innermost one.
func (x *index) find(name string) *zone {
	for at, end := 0, false; !end; at, end = wire.NextLabel(name, at) {
		if z := x.zones[name[at:]]; z != nil {
			return z
		}
	}
	return nil
}

// fqdn gives a name as the library writes names: with the bytes escaped that do not stand for themselves, and a final
// dot.
func fqdn(n dns.Name) (string, error) {
	if why := n.Problem(); why != "" {
		return "", fmt.Errorf("the name %q %s", n, why)
	}
	packed := make([]byte, 0, len(n)+2)
	for label := range strings.SplitSeq(string(n), ".") {
		packed = append(append(packed, byte(len(label))), label...)
	}
	name, _, err := wire.UnpackDomainName(append(packed, 0), 0)
	return name, err
}

func startOfAuthority(z *dns.Zone, origin string) (*wire.SOA, error) {
	primary, err := fqdn(z.SOA.Primary)
	if err != nil {
		return nil, err
	}
	mailbox, err := fqdn(z.SOA.Mailbox)
	if err != nil {
		return nil, err
	}
	return &wire.SOA{
		Hdr: header(origin, wire.TypeSOA, z.TTL), Ns: primary, Mbox: mailbox, Serial: z.SOA.Serial,
		Refresh: z.SOA.Refresh, Retry: z.SOA.Retry, Expire: z.SOA.Expire, Minttl: z.SOA.Minimum,
	}, nil
}

func header(name string, typ uint16, ttl uint32) wire.RR_Header {
	return wire.RR_Header{Name: name, Rrtype: typ, Class: wire.ClassINET, Ttl: ttl}
}

// resourceRecord gives a record as the library has it.
func resourceRecord(name string, ttl uint32, data dns.Data) (wire.RR, error) {
	switch data := data.(type) {
	case dns.A:
		return &wire.A{Hdr: header(name, wire.TypeA, ttl), A: data.Addr.AsSlice()}, nil
	case dns.AAAA:
		return &wire.AAAA{Hdr: header(name, wire.TypeAAAA, ttl), AAAA: data.Addr.AsSlice()}, nil
	case dns.CNAME:
		target, err := fqdn(data.Target)
		return &wire.CNAME{Hdr: header(name, wire.TypeCNAME, ttl), Target: target}, err
	case dns.NS:
		host, err := fqdn(data.Host)
		return &wire.NS{Hdr: header(name, wire.TypeNS, ttl), Ns: host}, err
	case dns.PTR:
		target, err := fqdn(data.Target)
		return &wire.PTR{Hdr: header(name, wire.TypePTR, ttl), Ptr: target}, err
	case dns.SRV:
		target, err := fqdn(data.Target)
		return &wire.SRV{
			Hdr: header(name, wire.TypeSRV, ttl), Priority: data.Priority, Weight: data.Weight, Port: data.Port, Target: target,
		}, err
	case dns.TXT:
		return &wire.TXT{Hdr: header(name, wire.TypeTXT, ttl), Txt: []string{data.Text}}, nil
	default:
		return nil, fmt.Errorf("the name %q has data of an unknown type, %T", name, data)
	}
}
