package main

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/nft"
	"github.com/svcctl/svcctl/render"
)

// scriptListen is the command "listen ADDRESS:PORT": it accepts TCP connections there, and closes them, until the script ends.
func scriptListen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen ADDRESS:PORT")
	}
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
}

// scriptConnect is the command "[!] connect ADDRESS:PORT N": so many TCP connections succeed, or are all refused.
func scriptConnect(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] connect ADDRESS:PORT N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	d := net.Dialer{Timeout: 5 * time.Second}
	d.SetMultipathTCP(false)
	for range n {
		c, err := d.Dial("tcp", args[0])
		switch {
		case neg && !errors.Is(err, syscall.ECONNREFUSED):
			ts.Fatalf("connecting to %s: %v, want a refusal", args[0], err)
		case !neg:
			ts.Check(err)
			ts.Check(c.Close())
		}
	}
}

// Counters of addresses that nobody is known to have are shown all the same, and rules are told apart by what they look into.
func TestJoinCounters(t *testing.T) {
	key := graph.Key{Addr: netip.MustParseAddr("10.96.0.1"), Proto: graph.TCP, Port: 80}
	client := graph.Key{
		Addr: netip.MustParseAddr("192.168.0.2"), Peer: key.Addr, Proto: key.Proto, Port: key.Port,
	}
	endpoint := key
	endpoint.Peer, endpoint.PeerPort = netip.MustParseAddr("10.1.1.2"), 8080
	other := graph.Key{Addr: netip.MustParseAddr("10.96.0.2"), Proto: graph.UDP, Port: 53}
	counters := &nft.Counters{
		Tables: []nft.TableCounters{{
			Sets: map[string][]nft.ElementCount{
				graph.ServiceConnectionsSet:  {{Key: key, Count: nft.Count{Packets: 5}}},
				graph.EndpointConnectionsSet: {{Key: endpoint, Count: nft.Count{Packets: 4}}},
				graph.NoEndpointsMap: {
					{Key: key, Data: graph.Data{Verdict: graph.Verdict{Op: graph.Drop}}, Count: nft.Count{Packets: 3}},
					{Key: other, Data: graph.Data{Verdict: graph.Verdict{Op: graph.Goto, Chain: "reject-new"}}, Count: nft.Count{Packets: 2}},
				},
			},
			Rules: []nft.RuleCount{
				{Rule: graph.Rule{Stmts: []graph.Stmt{graph.MatchSet{Set: graph.ClusterIPsSet}, graph.Counter{}}}, Count: nft.Count{Packets: 7}},
				{Rule: graph.Rule{Stmts: []graph.Stmt{graph.MatchSet{Set: graph.ServiceCIDRsSet}, graph.Counter{}}}, Count: nft.Count{Packets: 8}},
				{Rule: graph.Rule{Stmts: []graph.Stmt{graph.Counter{}}}, Count: nft.Count{Packets: 99}},
			},
		}},
		Learnt: &graph.Ruleset{Tables: []*graph.Table{{Sets: []*graph.Set{{
			Name: graph.AffinityMap, Elements: graph.ElementsOf([]graph.Element{{Key: client}}),
		}}}}},
	}
	s := &render.Stats{}
	joinCounters(s, counters, nil)
	if !s.Counters || len(s.Addresses) != 2 || len(s.Unserved) != 1 {
		t.Fatalf("got %+v", s)
	}
	a, b, u := s.Addresses[0], s.Addresses[1], s.Unserved[0]
	if a.Connections != 5 || a.Dropped != 3 || a.Refused != 0 || a.Clients != 1 || len(a.Endpoints) != 1 || a.Endpoints[0].Connections != 4 {
		t.Errorf("got %+v", a)
	}
	if b.Refused != 2 || b.Dropped != 0 || b.Connections != 0 {
		t.Errorf("got %+v", b)
	}
	if u.UnusedPorts != 7 || u.Unallocated != 8 || u.SourceRanges != 0 {
		t.Errorf("got %+v", u)
	}
}
