package dnsserver

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/internal/netlab"
)

// TestMain gives the tests a network namespace of their own, with nothing but loopback, where it can.
func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

var options = Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}

// example is a forward zone and a reverse zone with something of everything.
func example() *dns.Zones {
	soa := dns.SOA{
		Primary: "ns.example.com", Mailbox: "hostmaster.cluster.local", Serial: 7,
		Refresh: 7200, Retry: 1800, Expire: 86400, Minimum: 5,
	}
	a := func(s string) dns.Data { return dns.A{Addr: netip.MustParseAddr(s)} }
	forward := &dns.Zone{Origin: "cluster.local", SOA: soa, TTL: 5, Records: []dns.Record{
		{Name: "cluster.local", Data: dns.NS{Host: "ns.example.com"}},
		{Name: "dns-version.cluster.local", Data: dns.TXT{Text: "1.1.0"}},
		{Name: "web.demo.svc.cluster.local", Data: a("10.96.0.1")},
		{Name: "web.demo.svc.cluster.local", Data: dns.AAAA{Addr: netip.MustParseAddr("fd00:10:96::1")}},
		{Name: "_http._tcp.web.demo.svc.cluster.local", Data: dns.SRV{Weight: 100, Port: 80, Target: "web.demo.svc.cluster.local"}},
		{Name: "out.demo.svc.cluster.local", Data: dns.CNAME{Target: "www.example.com"}},
		{Name: "in.demo.svc.cluster.local", Data: dns.CNAME{Target: "web.demo.svc.cluster.local"}},
		{Name: "far.demo.svc.cluster.local", Data: dns.CNAME{Target: "in.demo.svc.cluster.local"}},
		{Name: "lost.demo.svc.cluster.local", Data: dns.CNAME{Target: "nobody.demo.svc.cluster.local"}},
		{Name: "loop.demo.svc.cluster.local", Data: dns.CNAME{Target: "loop2.demo.svc.cluster.local"}},
		{Name: "loop2.demo.svc.cluster.local", Data: dns.CNAME{Target: "loop.demo.svc.cluster.local"}},
		{Name: "across.demo.svc.cluster.local", Data: dns.CNAME{Target: "1.0.96.10.in-addr.arpa"}},
	}}
	for i := range 3 {
		addr := a(netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)}).String())
		forward.Records = append(forward.Records, dns.Record{Name: "three.demo.svc.cluster.local", Data: addr})
	}
	for i := range 2000 {
		addr := a(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}).String())
		forward.Records = append(forward.Records, dns.Record{Name: "many.demo.svc.cluster.local", Data: addr},
			dns.Record{Name: "_p._tcp.many.demo.svc.cluster.local", Data: dns.SRV{Weight: 100, Port: uint16(i), Target: "many.demo.svc.cluster.local"}})
	}
	reverse := &dns.Zone{Origin: "96.10.in-addr.arpa", SOA: soa, TTL: 5, Records: []dns.Record{
		{Name: "96.10.in-addr.arpa", Data: dns.NS{Host: "ns.example.com"}},
		{Name: "1.0.96.10.in-addr.arpa", Data: dns.PTR{Target: "web.demo.svc.cluster.local"}},
	}}
	return &dns.Zones{Zones: []*dns.Zone{forward, reverse}}
}

// serve starts a server on loopback and gives its address.
func serve(t *testing.T, zones *dns.Zones, addrs ...string) (*Server, netip.AddrPort) {
	t.Helper()
	if len(addrs) == 0 {
		addrs = []string{"127.0.0.1:0"}
	}
	s, err := New(t.Context(), addrs, zones, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Serve(ctx); close(done) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("serving does not end")
		}
	})
	return s, s.Addrs()[0].(*net.TCPAddr).AddrPort()
}

// question makes a query.
func question(name string, typ uint16) *wire.Msg {
	m := new(wire.Msg)
	m.SetQuestion(name, typ)
	return m
}

// ask sends a query and gives the answer.
func ask(t *testing.T, network, addr string, m *wire.Msg) *wire.Msg {
	t.Helper()
	c := wire.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 65535}
	r, _, err := c.Exchange(m, addr)
	if err != nil {
		t.Fatalf("%s over %s: %v", m.Question[0].String(), network, err)
	}
	return r
}
