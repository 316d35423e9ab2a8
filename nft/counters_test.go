package nft

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// countingTable counts what the node says to itself on port 9, by source and by destination.
func countingTable(f g.Family, elements ...g.Key) *g.Table {
	var list []g.Element
	for _, k := range elements {
		list = append(list, g.Element{Key: k})
	}
	to := g.Concat{g.DestAddr, g.L4Proto{}, g.DestPort}
	s := &g.Set{
		Name: "pairs", Key: []g.Field{g.AddrField, g.ProtoField, g.PortField, g.AddrField, g.PortField}, Size: 1024,
		Counter: true, Elements: g.ElementsOf(list),
	}
	s.SortElements()
	m := &g.Set{
		Name: "verdicts", Key: []g.Field{g.AddrField, g.ProtoField, g.PortField}, Data: []g.Field{g.VerdictField},
		Size: 1024, Counter: true,
	}
	for _, e := range list {
		m.Elements = g.ElementsOf([]g.Element{{
			Key:  g.Key{Addr: e.Key.Addr, Proto: e.Key.Proto, Port: e.Key.Port},
			Data: g.Data{Verdict: g.Verdict{Op: g.Return}},
		}})
		break
	}
	return &g.Table{Family: f, Name: "svcctl", Sets: []*g.Set{s, m}, Chains: []*g.Chain{{
		Name: "out", Hook: &g.Hook{Type: g.FilterChain, Point: g.Output},
		Rules: []g.Rule{
			rule(g.Match{X: g.L4Proto{}, Value: g.UDP}, g.Counter{}, g.MatchSet{X: append(to, g.SourceAddr, g.DestPort), Set: "pairs"}, g.LookupVerdict{X: to, Map: "verdicts"}),
			rule(g.MatchSet{X: append(to, g.SourceAddr, g.DestPort), Set: "pairs"}, g.Counter{}),
		},
	}}}
}

// Elements and rules count, nft says the same, and what a set counted is there after the set has grown and others came.
func TestReadCounters(t *testing.T) {
	for _, f := range g.Families {
		t.Run(f.String(), func(t *testing.T) {
			c := openPrivate(t)
			one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
			if f == g.IPv6 {
				one = netip.IPv6Loopback()
				two = netip.MustParseAddr("::2")
			}
			first := g.Key{Addr: one, Proto: g.UDP, Port: 9, Peer: one, PeerPort: 9}
			second := first
			second.Peer = two
			third := first
			third.Port, third.PeerPort = 10, 10
			commit(t, c, createPlan(plan.Create, countingTable(f, first, second)))
			sendToSelf(t, one, 9, 5)
			expectCounts(t, c, nil, map[string]uint64{
				"pairs " + one.String() + " 9": 5, "pairs " + two.String() + " 9": 0, "verdicts 9": 5, "rule 1": 5,
			})

			larger := countingTable(f, first, second, third)
			larger.Sets[0].Size = 4096
			change(t, c, "growth", &g.Ruleset{Tables: []*g.Table{larger}})
			sendToSelf(t, one, 10, 2)
			now := map[string]uint64{
				"pairs " + one.String() + " 9": 5, "pairs " + two.String() + " 9": 0,
				"pairs " + one.String() + " 10": 4, // twice: no verdict is found, and the second rule looks it up again
				"verdicts 9":                    5, "rule 1": 7,
			}
			expectCounts(t, c, nil, now)

			// The elements of large sets are asked for by key, where all of them are known, and some are when they are wanted.
			defer func(n int) { dumpable = n }(dumpable)
			dumpable = 0
			expectCounts(t, c, &g.Ruleset{Tables: []*g.Table{larger}}, now)
			fourth := third
			fourth.Port = 11
			other := countingTable(f, first, second, fourth) // as many, and not the same
			expectCounts(t, c, &g.Ruleset{Tables: []*g.Table{other}}, now)
			some, err := c.ReadCountersOf(t.Context(), "svcctl", &g.Ruleset{Tables: []*g.Table{other}})
			if err != nil {
				t.Fatal(err)
			}
			if pairs := some.Tables[0].Sets["pairs"]; len(pairs) != 2 || pairs[0].Packets+pairs[1].Packets != 5 {
				t.Errorf("of some elements: %+v", pairs)
			}
			listing := nftCommand(t, "", "list", "ruleset")
			if !strings.Contains(listing, "counter packets 5 bytes") {
				t.Errorf("nft lists\n%s", listing)
			}
		})
	}
}

// sendToSelf sends datagrams to an address of the node, where nobody listens.
func sendToSelf(t *testing.T, to netip.Addr, port, n int) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link: %v: %s", err, out)
	}
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range n {
		if _, err := conn.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(to, uint16(port))); err != nil {
			t.Fatal(err)
		}
	}
}

func expectCounts(t *testing.T, c *Conn, known *g.Ruleset, want map[string]uint64) {
	t.Helper()
	counters, err := c.ReadCounters(t.Context(), "svcctl", known)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, table := range counters.Tables {
		for _, e := range table.Sets["pairs"] {
			got[fmt.Sprintf("pairs %s %d", e.Key.Peer, e.Key.PeerPort)] = e.Packets
		}
		for _, e := range table.Sets["verdicts"] {
			got[fmt.Sprintf("verdicts %d", e.Key.Port)] = e.Packets
		}
		if len(table.Rules) != 2 || table.Rules[0].Chain != "out" {
			t.Fatalf("rules: %+v", table.Rules)
		}
		got["rule 1"] = table.Rules[0].Packets
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// Of a name that nobody uses there is nothing.
func TestReadCountersOfNothing(t *testing.T) {
	counters, err := openPrivate(t).ReadCounters(t.Context(), "svcctl", nil)
	if err != nil || len(counters.Tables) != 0 || len(counters.Learnt.Tables) != 0 {
		t.Errorf("got %+v, %v", counters, err)
	}
}
