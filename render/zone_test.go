package render_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/render"
)

func zone(records ...dns.Record) *dns.Zone {
	return &dns.Zone{
		Origin: "cluster.local", TTL: 5, Records: records,
		SOA: dns.SOA{
			Primary: "ns.example.com", Mailbox: "hostmaster.cluster.local",
			Serial: 7, Refresh: 7200, Retry: 1800, Expire: 86400, Minimum: 5,
		},
	}
}

func TestZone(t *testing.T) {
	z := zone(
		dns.Record{Name: "cluster.local", Data: dns.NS{Host: "ns.example.com"}},
		dns.Record{Name: "dns-version.cluster.local", Data: dns.TXT{Text: "1.1.0"}},
		dns.Record{Name: "web.demo.svc.cluster.local", Data: dns.A{Addr: netip.MustParseAddr("10.96.0.1")}},
		dns.Record{Name: "web.demo.svc.cluster.local", Data: dns.AAAA{Addr: netip.MustParseAddr("fd00::1")}},
		dns.Record{Name: "_http._tcp.web.demo.svc.cluster.local", Data: dns.SRV{Weight: 100, Port: 80, Target: "web.demo.svc.cluster.local"}},
		dns.Record{Name: "out.demo.svc.cluster.local", Data: dns.CNAME{Target: "example.com"}},
		dns.Record{Name: "1.0.cluster.local", Data: dns.PTR{Target: "web.demo.svc.cluster.local"}},
		// Nothing that has a meaning in a zone file has one in a name or a text.
		dns.Record{Name: "a b;\"$@\\(\n.x\x00\xff.cluster.local", Data: dns.TXT{Text: "\"; \\\n\x00é"}},
	)
	want := `; Written by svcctl: changes made here are lost.
$ORIGIN cluster.local.
$TTL 5
@ IN SOA ns.example.com. hostmaster.cluster.local. 7 7200 1800 86400 5
@ IN NS ns.example.com.
dns-version IN TXT "1.1.0"
web.demo.svc IN A 10.96.0.1
web.demo.svc IN AAAA fd00::1
_http._tcp.web.demo.svc IN SRV 0 100 80 web.demo.svc.cluster.local.
out.demo.svc IN CNAME example.com.
1.0 IN PTR web.demo.svc.cluster.local.
a\032b\059\034\036\064\092\040\010.x\000\255 IN TXT "\034; \092\010\000\195\169"
`
	var b bytes.Buffer
	if err := render.Zone(&b, z); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestZoneRefused: what a zone file cannot hold is an error.
func TestZoneRefused(t *testing.T) {
	long := strings.Repeat("x", 64)
	for want, r := range map[string]dns.Record{
		"not in the zone":          {Name: "web.example.com", Data: dns.TXT{}},
		"has an empty label":       {Name: "web..cluster.local", Data: dns.TXT{}},
		"longer than 63":           {Name: dns.Name(long + ".cluster.local"), Data: dns.TXT{}},
		"longer than the 253":      {Name: dns.Name(strings.Repeat("x.", 125) + "cluster.local"), Data: dns.TXT{}},
		`the name "" has an empty`: {Name: "web.cluster.local", Data: dns.CNAME{}},
		"a text of 256 bytes":      {Name: "web.cluster.local", Data: dns.TXT{Text: strings.Repeat(long, 4)}},
		"for a record of type A":   {Name: "web.cluster.local", Data: dns.A{Addr: netip.MustParseAddr("::1")}},
		`"fe80::1%eth0"`:           {Name: "web.cluster.local", Data: dns.AAAA{Addr: netip.MustParseAddr("fe80::1%eth0")}},
		"data of an unknown type":  {Name: "web.cluster.local"},
	} {
		err := render.Zone(&bytes.Buffer{}, zone(r))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", r.Name, err, want)
		}
	}
}

// FuzzZone: whatever is in the names and texts of a zone, what is written is refused, or a standard parser reads exactly the
// records from it.
func FuzzZone(f *testing.F) {
	f.Add("web.demo.svc", "example.com", "1.1.0", uint16(80))
	f.Add("a\nb IN A 1.2.3.4", "$INCLUDE /etc/passwd", "\"; x", uint16(0))
	f.Add("@", "*", "\\", uint16(1))
	f.Add("$ORIGIN", "a;b", "(", uint16(1))
	f.Add(`x\.y`, `\000`, "\x00\n", uint16(1))
	f.Fuzz(func(t *testing.T, owner, target, text string, port uint16) {
		name, to := dns.Name(owner+".cluster.local"), dns.Name(target)
		z := zone(
			dns.Record{Name: "cluster.local", Data: dns.NS{Host: to}},
			dns.Record{Name: name, Data: dns.TXT{Text: text}},
			dns.Record{Name: name, Data: dns.SRV{Priority: port, Weight: port, Port: port, Target: to}},
			dns.Record{Name: name, Data: dns.PTR{Target: to}},
			dns.Record{Name: "after.cluster.local", Data: dns.CNAME{Target: to}},
			dns.Record{Name: "after.cluster.local", Data: dns.A{Addr: netip.AddrFrom4([4]byte{10, 0, byte(port >> 8), byte(port)})}},
			dns.Record{Name: "last.cluster.local", Data: dns.AAAA{Addr: netip.MustParseAddr("fd00::1")}},
		)
		var b bytes.Buffer
		if err := render.Zone(&b, z); err != nil {
			return
		}
		got, err := parse(b.String())
		if err != nil {
			t.Fatalf("%v:\n%s", err, b.String())
		}
		if d := cmp.Diff(z.Records, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("-written +read:\n%s\n%s", d, b.String())
		}
	})
}

// parse reads a zone file with a parser that is not ours.
func parse(text string) ([]dns.Record, error) {
	p := wire.NewZoneParser(strings.NewReader(text), "", "")
	var out []dns.Record
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		h := rr.Header()
		r := dns.Record{Name: nameOf(h.Name)}
		switch rr := rr.(type) {
		case *wire.SOA:
			continue
		case *wire.A:
			addr, _ := netip.AddrFromSlice(rr.A)
			r.Data = dns.A{Addr: addr.Unmap()}
		case *wire.AAAA:
			addr, _ := netip.AddrFromSlice(rr.AAAA)
			r.Data = dns.AAAA{Addr: addr}
		case *wire.NS:
			r.Data = dns.NS{Host: nameOf(rr.Ns)}
		case *wire.CNAME:
			r.Data = dns.CNAME{Target: nameOf(rr.Target)}
		case *wire.PTR:
			r.Data = dns.PTR{Target: nameOf(rr.Ptr)}
		case *wire.SRV:
			r.Data = dns.SRV{Priority: rr.Priority, Weight: rr.Weight, Port: rr.Port, Target: nameOf(rr.Target)}
		case *wire.TXT:
			r.Data = dns.TXT{Text: string(onWire(rr)[1:])}
		}
		if h.Ttl != 5 || h.Class != wire.ClassINET {
			r.Data = nil
		}
		out = append(out, r)
	}
	return out, p.Err()
}

// nameOf undoes the escapes of a name, by way of what it is on the wire.
func nameOf(s string) dns.Name {
	buf := make([]byte, 256)
	n, err := wire.PackDomainName(s, buf, 0, nil, false)
	if err != nil {
		return dns.Name("unpackable: " + s)
	}
	var labels []string
	for at := 0; at < n-1; at += int(buf[at]) + 1 {
		labels = append(labels, string(buf[at+1:at+1+int(buf[at])]))
	}
	return dns.Name(strings.Join(labels, "."))
}

// onWire gives the data of a record as a message has it.
func onWire(rr wire.RR) []byte {
	buf := make([]byte, 1024)
	n, err := wire.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return []byte("unpackable")
	}
	name := make([]byte, 256)
	start, _ := wire.PackDomainName(rr.Header().Name, name, 0, nil, false)
	return slices.Clone(buf[start+10 : n])
}

func TestHosts(t *testing.T) {
	var b bytes.Buffer
	err := render.Hosts(&b, []dns.Host{
		{Addr: netip.MustParseAddr("10.96.0.1"), Names: []dns.Name{"web.demo.svc.cluster.local", "web.demo.svc"}},
		{Addr: netip.MustParseAddr("fd00::1"), Names: []dns.Name{"a.web.demo.svc.cluster.local"}},
		{Names: []dns.Name{"out.demo.svc.cluster.local"}, Alias: "example.com"},
	})
	want := `10.96.0.1 web.demo.svc.cluster.local web.demo.svc
fd00::1 a.web.demo.svc.cluster.local
# out.demo.svc.cluster.local is an alias of example.com
`
	if err != nil || b.String() != want {
		t.Errorf("got %v, %s", err, b.String())
	}
	for _, bad := range []dns.Name{"a b", "a\n1.2.3.4 x", "a#b", "a..b", ""} {
		if err := render.Hosts(&b, []dns.Host{{Addr: netip.MustParseAddr("10.96.0.1"), Names: []dns.Name{bad}}}); err == nil {
			t.Errorf("%q was written", bad)
		}
	}
}
