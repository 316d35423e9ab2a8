package graph_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
)

var addr = netip.MustParseAddr

// program is a small table that is right: a map that sends a service to a chain, which sends it to an endpoint.
func program() *graph.Table {
	service := []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField}
	key := graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort}
	return &graph.Table{
		Name: "t",
		Sets: []*graph.Set{
			{
				Name: "services", Key: service, Data: []graph.Field{graph.VerdictField}, Size: 2,
				Elements: graph.ElementsOf([]graph.Element{
					{Key: graph.Key{Addr: addr("10.96.0.1"), Proto: graph.TCP, Port: 80}, Data: gotoChain("choose")},
					{Key: graph.Key{Addr: addr("10.96.0.2"), Proto: graph.UDP, Port: 53}, Data: gotoChain("choose")},
				}),
			},
			{
				Name: "endpoints", Key: append(service, graph.SlotField), Data: []graph.Field{graph.AddrField, graph.PortField},
				Elements: graph.ElementsOf([]graph.Element{{
					Key:  graph.Key{Addr: addr("10.96.0.1"), Proto: graph.TCP, Port: 80, Slot: 1},
					Data: graph.Data{Addr: addr("10.1.0.1"), Port: 8080},
				}}),
			},
			{
				Name: "ranges", Key: []graph.Field{graph.AddrField}, Interval: true,
				Elements: graph.ElementsOf([]graph.Element{
					{Key: graph.Key{Addr: addr("10.0.0.0"), RangeTo: addr("10.0.0.9")}},
					{Key: graph.Key{Addr: addr("10.0.0.10"), RangeTo: addr("10.0.0.10")}},
				}),
			},
			{Name: "learnt", Key: service, Data: []graph.Field{graph.AddrField, graph.PortField}, Dynamic: true, Timeout: true},
		},
		Chains: []*graph.Chain{
			{Name: "choose", Rules: []graph.Rule{{Stmts: []graph.Stmt{
				graph.DNAT{X: append(key, graph.Numgen{Mod: 2}), Map: "endpoints"},
			}}}},
			{
				Name: "nat-output", Hook: &graph.Hook{Type: graph.NATChain, Point: graph.Output, Priority: -100},
				Rules: []graph.Rule{{Stmts: []graph.Stmt{graph.LookupVerdict{X: key, Map: "services"}}}},
			},
		},
	}
}

func gotoChain(name string) graph.Data {
	return graph.Data{Verdict: graph.Verdict{Op: graph.Goto, Chain: name}}
}

func TestCheckAcceptsARightProgram(t *testing.T) {
	if err := graph.Check(&graph.Ruleset{Tables: []*graph.Table{program()}}); err != nil {
		t.Fatal(err)
	}
}

// edit changes one element of a set.
func edit(s *graph.Set, i int, f func(*graph.Element)) {
	elements := slices.Collect(s.Elements.All())
	f(&elements[i])
	s.Elements = graph.ElementsOf(elements)
}

// Each case breaks one invariant of the right program; Check must name it.
func TestCheckNamesWhatIsBroken(t *testing.T) {
	rules := func(stmts ...graph.Stmt) []graph.Rule { return []graph.Rule{{Stmts: stmts}} }
	originalPort := graph.Concat{graph.CtOriginalDest, graph.L4Proto{}, graph.CtOriginalDestPort}
	cases := []struct {
		name, want string
		spoil      func(t *graph.Table)
	}{
		{"a third port", "more than two ports", func(t *graph.Table) {
			t.Sets[0].Key = append(slices.Clip(t.Sets[0].Key), graph.PortField, graph.PortField)
		}},
		{"ranges that count", "count", func(t *graph.Table) { t.Sets[2].Counter = true }},
		{"counts of what is learnt", "count", func(t *graph.Table) { t.Sets[3].Counter = true }},
		{"a key with a peer's port too much", "does not fit", func(t *graph.Table) {
			edit(t.Sets[0], 0, func(e *graph.Element) { e.Key.PeerPort = 1 })
		}},
		{"set twice", "declared twice", func(t *graph.Table) { t.Sets = append(t.Sets, t.Sets[0]) }},
		{"chain twice", "declared twice", func(t *graph.Table) { t.Chains = append(t.Chains, t.Chains[0]) }},
		{"long name", "a name has", func(t *graph.Table) { t.Chains[0].Name = strings.Repeat("x", 256) }},
		{"no such set", `no set "ghosts"`, func(t *graph.Table) {
			t.Chains[1].Rules = rules(graph.MatchSet{X: graph.DestAddr, Set: "ghosts"})
		}},
		{"no such chain", `no chain "ghost"`, func(t *graph.Table) {
			t.Chains[1].Rules = rules(graph.Do{Verdict: graph.Verdict{Op: graph.Jump, Chain: "ghost"}})
		}},
		{"jump to a base chain", "is a base chain", func(t *graph.Table) {
			t.Chains[0].Rules = rules(graph.Do{Verdict: graph.Verdict{Op: graph.Goto, Chain: "nat-output"}})
		}},
		{"wrong key", "wrong types", func(t *graph.Table) {
			t.Chains[1].Rules = rules(graph.LookupVerdict{X: graph.DestAddr, Map: "services"})
		}},
		{"verdicts where endpoints belong", "holds other data", func(t *graph.Table) {
			key := graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort}
			t.Chains[0].Rules = rules(graph.DNAT{X: key, Map: "services"})
		}},
		{"port of an unknown protocol", "without a match of the protocol", func(t *graph.Table) {
			t.Chains[1].Rules = rules(graph.LookupVerdict{X: originalPort, Map: "services"})
		}},
		{"statement behind a verdict", "nothing can follow", func(t *graph.Table) {
			t.Chains[0].Rules = rules(graph.Masquerade{}, graph.Counter{})
		}},
		{"empty rule", "empty", func(t *graph.Table) { t.Chains[0].Rules = rules() }},
		{"update of a static map", "is not dynamic", func(t *graph.Table) {
			key := graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort, graph.Numgen{Mod: 1}}
			t.Chains[1].Rules = rules(graph.Update{
				Map: "endpoints", Key: key, Timeout: 1, Data: graph.Concat{graph.DestAddr, graph.DestPort},
			})
		}},
		{"jump cycle through a map", "reaches itself", func(t *graph.Table) {
			t.Chains[0].Rules = t.Chains[1].Rules
		}},
		{"masquerade before routing", "is not possible behind base chain", func(t *graph.Table) {
			t.Chains[0].Rules = rules(graph.Masquerade{})
		}},
		{"translation in a filter chain", "is not possible behind base chain", func(t *graph.Table) {
			t.Chains[1].Hook.Type = graph.FilterChain
		}},
		{"comparison of apples and pears", "cannot be compared", func(t *graph.Table) {
			t.Chains[1].Rules = rules(graph.Match{X: graph.CtState, Value: graph.TCP})
		}},
		{"element of the other family", "key does not fit", func(t *graph.Table) {
			edit(t.Sets[0], 0, func(e *graph.Element) { e.Key.Addr = addr("fd00::1") })
		}},
		{"a part too many", "key does not fit", func(t *graph.Table) {
			edit(t.Sets[0], 0, func(e *graph.Element) { e.Key.Slot = 1 })
		}},
		{"a part too few", "key does not fit", func(t *graph.Table) {
			edit(t.Sets[0], 0, func(e *graph.Element) { e.Key.Proto = 0 })
		}},
		{"no data", "data", func(t *graph.Table) {
			edit(t.Sets[1], 0, func(e *graph.Element) { e.Data = graph.Data{} })
		}},
		{"verdict to nowhere", "data", func(t *graph.Table) {
			edit(t.Sets[0], 0, func(e *graph.Element) { e.Data = gotoChain("ghost") })
		}},
		{"element twice", "twice", func(t *graph.Table) {
			edit(t.Sets[0], 1, func(e *graph.Element) { e.Key = t.Sets[0].Elements.KeyAt(0) })
		}},
		{"out of order", "out of order", func(t *graph.Table) {
			e := slices.Collect(t.Sets[0].Elements.All())
			t.Sets[0].Elements = graph.ElementsOf([]graph.Element{e[1], e[0]})
		}},
		{"too many elements", "in a set of size 1", func(t *graph.Table) { t.Sets[0].Size = 1 }},
		{"overlapping ranges", "overlaps", func(t *graph.Table) {
			edit(t.Sets[2], 0, func(e *graph.Element) { e.Key.RangeTo = addr("10.0.0.10") })
		}},
		{"range that ends before it begins", "key does not fit", func(t *graph.Table) {
			edit(t.Sets[2], 0, func(e *graph.Element) { e.Key.RangeTo = addr("9.0.0.0") })
		}},
		{"element in a dynamic map", "a dynamic set has no elements", func(t *graph.Table) {
			t.Sets[3].Elements = t.Sets[0].Elements
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			table := program()
			c.spoil(table)
			err := graph.Check(&graph.Ruleset{Tables: []*graph.Table{table}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestPrefixRange(t *testing.T) {
	for prefix, want := range map[string][2]string{
		"10.96.0.0/12":     {"10.96.0.0", "10.111.255.255"},
		"0.0.0.0/0":        {"0.0.0.0", "255.255.255.255"},
		"10.1.2.3/32":      {"10.1.2.3", "10.1.2.3"},
		"10.1.2.3/31":      {"10.1.2.2", "10.1.2.3"},
		"fd00:10:96::/112": {"fd00:10:96::", "fd00:10:96::ffff"},
		"::/0":             {"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		first, last := graph.PrefixRange(netip.MustParsePrefix(prefix))
		if first != addr(want[0]) || last != addr(want[1]) {
			t.Errorf("%s: %s to %s, want %s to %s", prefix, first, last, want[0], want[1])
		}
	}
}
