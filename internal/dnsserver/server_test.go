package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/internal/netlab"
)

func TestBothTransports(t *testing.T) {
	_, at := serve(t, example(), "127.0.0.1:0", "[::1]:0")
	for _, network := range []string{"udp", "tcp"} {
		r := ask(t, network, at.String(), question("wEb.demo.svc.cluster.local.", wire.TypeA))
		if want := "NOERROR aa \nanswer: wEb.demo.svc.cluster.local. 5 IN A 10.96.0.1"; shown(r) != want {
			t.Errorf("%s: got %s", network, shown(r))
		}
	}
	// What does not fit over UDP is there over TCP.
	if r := ask(t, "udp", at.String(), question("many.demo.svc.cluster.local.", wire.TypeA)); !r.Truncated {
		t.Error("2,000 addresses in a datagram")
	}
	if r := ask(t, "tcp", at.String(), question("many.demo.svc.cluster.local.", wire.TypeA)); r.Truncated || len(r.Answer) != 2000 {
		t.Errorf("over TCP %d addresses, truncated %t", len(r.Answer), r.Truncated)
	}
}

func TestSecondAddress(t *testing.T) {
	s, _ := serve(t, example(), "127.0.0.1:0", "127.0.0.2:0")
	for _, addr := range s.Addrs() {
		for _, network := range []string{"udp", "tcp"} {
			if r := ask(t, network, addr.String(), question("web.demo.svc.cluster.local.", wire.TypeA)); len(r.Answer) != 1 {
				t.Errorf("%s %s: %s", network, addr, shown(r))
			}
		}
	}
}

// TestAnswersComeFromWhereTheyWereAsked: a server that listens on all addresses answers from the one that was asked; a
// client takes no other.
func TestAnswersComeFromWhereTheyWereAsked(t *testing.T) {
	netlab.Start(t, netlab.Options{}) // or skip: all addresses of the host are too many
	for _, all := range []string{"0.0.0.0:0", "[::]:0"} {
		_, at := serve(t, example(), all)
		for _, addr := range []string{"127.0.0.1", "127.0.0.3", "::1"} {
			to := netip.AddrPortFrom(netip.MustParseAddr(addr), at.Port())
			if to.Addr().Is6() && all == "0.0.0.0:0" {
				continue
			}
			// The socket is connected: the kernel drops what comes from elsewhere.
			if r := ask(t, "udp", to.String(), question("web.demo.svc.cluster.local.", wire.TypeA)); len(r.Answer) != 1 {
				t.Errorf("%s on %s: %s", addr, all, shown(r))
			}
		}
	}
}

func TestAddressInUse(t *testing.T) {
	_, at := serve(t, example())
	if _, err := New(t.Context(), []string{at.String()}, example(), options); err == nil {
		t.Error("two servers on one address")
	}
}

// TestPipelining: several queries on one connection, all sent before the first answer is read (RFC 7766).
func TestPipelining(t *testing.T) {
	_, at := serve(t, example())
	conn := dial(t, at)
	for i := range 50 {
		m := question("web.demo.svc.cluster.local.", wire.TypeA)
		m.Id = uint16(i)
		send(t, conn, m)
	}
	for i := range 50 {
		if r, err := receive(conn); err != nil || r.Id != uint16(i) || len(r.Answer) != 1 {
			t.Fatalf("answer %d: %v, %v", i, r, err)
		}
	}
}

func dial(t *testing.T, at netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, conn net.Conn, m *wire.Msg) {
	t.Helper()
	query, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		t.Fatal(err)
	}
}

func receive(conn net.Conn) (*wire.Msg, error) {
	return (&wire.Conn{Conn: conn}).ReadMsg()
}

// TestConnectionsAreLimited: when there are too many, the one that said nothing for longest ends, and a new client is
// served.
func TestConnectionsAreLimited(t *testing.T) {
	s, at := serve(t, example())
	var conns []net.Conn
	for range maxConnections {
		conn := dial(t, at)
		send(t, conn, question("web.demo.svc.cluster.local.", wire.TypeA))
		if _, err := receive(conn); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	// The first one speaks again: now it is the others that have been silent for longer.
	send(t, conns[0], question("web.demo.svc.cluster.local.", wire.TypeA))
	if _, err := receive(conns[0]); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		conn := dial(t, at)
		send(t, conn, question("web.demo.svc.cluster.local.", wire.TypeA))
		if _, err := receive(conn); err != nil {
			t.Errorf("a client more was not served: %v", err)
		}
	}
	s.conns.mu.Lock()
	open := len(s.conns.open)
	s.conns.mu.Unlock()
	if open > maxConnections {
		t.Errorf("%d connections are open, and %d are allowed", open, maxConnections)
	}
	ended := 0
	for _, conn := range conns[1:] {
		query, _ := question("web.demo.svc.cluster.local.", wire.TypeA).Pack()
		_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...))
		if err == nil {
			_, err = receive(conn)
		}
		if err != nil {
			ended++
		}
	}
	if ended != 5 {
		t.Errorf("%d connections were ended for 5 new ones", ended)
	}
	send(t, conns[0], question("web.demo.svc.cluster.local.", wire.TypeA))
	if _, err := receive(conns[0]); err != nil {
		t.Errorf("a connection in use was ended: %v", err)
	}
}

// TestSlowClient: a message that does not arrive ends the connection, long before an idle one ends.
func TestSlowClient(t *testing.T) {
	_, at := serve(t, example())
	slow, idle := dial(t, at), dial(t, at)
	if _, err := slow.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := receive(slow); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took < ioTimeout/2 || took > idleTimeout-time.Second {
		t.Errorf("it ended after %s", took)
	}
	send(t, idle, question("web.demo.svc.cluster.local.", wire.TypeA))
	if _, err := receive(idle); err != nil {
		t.Errorf("the other connection: %v", err)
	}
}

// TestNotDNSOverTCP: who sends no query is not waited for.
func TestNotDNSOverTCP(t *testing.T) {
	_, at := serve(t, example())
	for _, bytes := range []string{"\x00\x03abc", "\x00\x0c\x00\x01\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		conn := dial(t, at)
		if _, err := conn.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		if _, err := receive(conn); !errors.Is(err, io.EOF) {
			t.Errorf("%q: got %v", bytes, err)
		}
	}
}

// TestUseIsAtomic: while zones are switched, every answer is of the ones or of the others, and none is missing.
func TestUseIsAtomic(t *testing.T) {
	generation := func(addr string) *dns.Zones {
		zones := example()
		var records []dns.Record
		for i := range 10 {
			a := netip.MustParseAddr(addr).As4()
			a[3] = byte(i)
			records = append(records, dns.Record{Name: "web.demo.svc.cluster.local", Data: dns.A{Addr: netip.AddrFrom4(a)}})
		}
		zones.Zones[0].Records = records
		return zones
	}
	one, two := generation("10.0.1.0"), generation("10.0.2.0")
	s, at := serve(t, one)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := s.Use([]*dns.Zones{one, two}[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	c := wire.Client{Timeout: 5 * time.Second}
	seen := map[byte]int{}
	for range 2000 {
		r, _, err := c.Exchange(question("web.demo.svc.cluster.local.", wire.TypeA), at.String())
		if err != nil || len(r.Answer) != 10 {
			t.Fatalf("%v %v", r, err)
		}
		third := r.Answer[0].(*wire.A).A.To4()[2]
		for _, rr := range r.Answer {
			if rr.(*wire.A).A.To4()[2] != third {
				t.Fatalf("a mixed answer: %v", r)
			}
		}
		seen[third]++
	}
	stop()
	wg.Wait()
	if len(seen) != 2 {
		t.Errorf("only one generation was seen: %v", seen)
	}
}

// TestUseRefusesWhatNoMessageCarries, and keeps what is there.
func TestUseRefusesWhatNoMessageCarries(t *testing.T) {
	s, at := serve(t, example())
	bad := example()
	bad.Zones[0].Records[2].Name = "web.example.com"
	if err := s.Use(bad); err == nil {
		t.Error("a name outside of its zone is served")
	}
	if r := ask(t, "udp", at.String(), question("web.demo.svc.cluster.local.", wire.TypeA)); len(r.Answer) != 1 {
		t.Errorf("got %s", shown(r))
	}
}
