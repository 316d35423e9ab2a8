package dns

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"net/netip"
)

// Zones is everything that is known about names.
type Zones struct {
	// Zones are the forward zone and then the reverse zones, in the order of their prefixes, IPv4 first. None lies in
	// another one.
	Zones []*Zone
	Hosts []Host
}

// Zone is one zone. Its records are in a fixed order and none is there twice: the name servers, then, in the forward zone,
// what the Services say, by namespace and name; in a reverse zone the pointers, by address.
type Zone struct {
	Origin  Name
	Prefix  netip.Prefix // of a reverse zone; the zero Prefix in the forward zone
	SOA     SOA
	TTL     uint32 // of all its records, in seconds
	Records []Record
}

// SOA is the start of authority. Its name is the zone's.
type SOA struct {
	Primary, Mailbox                Name
	Serial                          uint32
	Refresh, Retry, Expire, Minimum uint32 // seconds
}

// The timers of the start of authority are CoreDNS's: they are for secondary servers.
const (
	refresh = 7200
	retry   = 1800
	expire  = 86400
)

// zones puts the records into their zones.
func (b *builder) zones() *Zones {
	z := &Zones{Zones: []*Zone{b.zone(b.cfg.ClusterDomain, b.forward)}, Hosts: b.hosts}
	z.Zones = append(z.Zones, b.reverseZones()...)
	return z
}

// zone makes a zone of the records of its names.
func (b *builder) zone(origin Name, records []Record) *Zone {
	z := &Zone{
		Origin: origin,
		SOA: SOA{
			Primary: b.cfg.NameServers[0], Mailbox: "hostmaster." + b.cfg.ClusterDomain,
			Refresh: refresh, Retry: retry, Expire: expire, Minimum: b.cfg.TTL,
		},
		TTL:     b.cfg.TTL,
		Records: make([]Record, 0, len(b.cfg.NameServers)+len(records)),
	}
	seen := map[Name]bool{}
	for _, n := range b.cfg.NameServers {
		if !seen[n] {
			seen[n] = true
			z.Records = append(z.Records, Record{origin, NS{n}})
		}
	}
	z.Records = append(z.Records, records...)
	z.SOA.Serial = z.ContentSerial()
	return z
}

// Empty reports whether the zone has nothing but its own bookkeeping.
func (z *Zone) Empty() bool {
	for _, r := range z.Records {
		if _, ok := r.Data.(NS); !ok {
			return false
		}
	}
	return true
}

// ContentSerial gives a serial number that depends on the content alone: the same on every host, another one when the
// content is another. It says nothing about which content is newer; see [NextSerial] for that. It is never 0, which
// CoreDNS takes for "not loaded yet".
func (z *Zone) ContentSerial() uint32 {
	d := digester{hash: sha256.New()}
	d.names(z.Origin, z.SOA.Primary, z.SOA.Mailbox)
	d.numbers(z.SOA.Refresh, z.SOA.Retry, z.SOA.Expire, z.SOA.Minimum, z.TTL)
	for _, r := range z.Records {
		d.names(r.Name)
		d.data(r.Data)
	}
	return max(1, binary.BigEndian.Uint32(d.sum()))
}

// NextSerial gives the serial number of a content that comes after one of the given serial number: the next greater one
// in the arithmetic of RFC 1982, which secondary servers go by, without 0.
func NextSerial(serial uint32) uint32 { return max(1, serial+1) }

// digester takes the content of a zone in, each part with its length or at a fixed length, so that no two contents are
// taken in as the same bytes.
type digester struct {
	hash hash.Hash
	buf  []byte // what the hash has not got yet: it is faster with much at once
}

func (d *digester) names(names ...Name) {
	for _, n := range names {
		d.numbers(uint32(len(n)))
		d.buf = append(d.buf, n...)
	}
	if len(d.buf) > 4096 {
		d.flush()
	}
}

func (d *digester) numbers(numbers ...uint32) {
	for _, n := range numbers {
		d.buf = binary.BigEndian.AppendUint32(d.buf, n)
	}
}

func (d *digester) flush() {
	_, _ = d.hash.Write(d.buf) // a hash never fails
	d.buf = d.buf[:0]
}

func (d *digester) sum() []byte {
	d.flush()
	return d.hash.Sum(nil)
}

func (d *digester) address(a netip.Addr) {
	octets := a.As16() // its family is in the type
	d.buf = append(d.buf, octets[:]...)
}

// data starts with the type of the record (RFC 1035, 3596, 2782).
func (d *digester) data(data Data) {
	switch data := data.(type) {
	case A:
		d.numbers(1)
		d.address(data.Addr)
	case NS:
		d.numbers(2)
		d.names(data.Host)
	case CNAME:
		d.numbers(5)
		d.names(data.Target)
	case PTR:
		d.numbers(12)
		d.names(data.Target)
	case TXT:
		d.numbers(16)
		d.names(Name(data.Text))
	case AAAA:
		d.numbers(28)
		d.address(data.Addr)
	case SRV:
		d.numbers(33, uint32(data.Priority), uint32(data.Weight), uint32(data.Port))
		d.names(data.Target)
	default:
		panic(fmt.Sprintf("dns: unknown data %T", data))
	}
}
