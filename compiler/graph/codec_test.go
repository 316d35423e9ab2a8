package graph_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/graph"
)

// everything is a ruleset with every kind of statement, expression and value, whether or not it makes sense.
func everything() *graph.Ruleset {
	v4 := program()
	key := graph.Concat{graph.CtOriginalSource, graph.Masked{X: graph.DestAddr, Mask: addr("0.0.0.0")}, graph.CtOriginalDestPort}
	v4.Comment = "a table"
	v4.Chains = append(v4.Chains, &graph.Chain{Name: "all", Rules: []graph.Rule{
		{Stmts: []graph.Stmt{
			graph.Match{X: graph.L4Proto{}, Value: graph.SCTP},
			graph.Match{X: graph.FibType{Of: graph.DestAddr}, Value: graph.AddrTypeLocal},
			graph.Match{X: graph.CtState, Value: graph.CtNew},
			graph.Match{X: graph.CtStatus, Value: graph.CtDNAT},
			graph.MatchSet{X: key, Not: true, Set: "ranges"},
			graph.MatchSet{X: graph.SourceAddr, Set: "ranges"},
			graph.Counter{},
			graph.Update{Map: "learnt", Key: key, Timeout: 3 * time.Hour, Data: graph.Concat{graph.DestAddr, graph.DestPort}},
			graph.Masquerade{},
		}},
		{Stmts: []graph.Stmt{graph.Reject{With: graph.TCPReset}}},
		{Stmts: []graph.Stmt{graph.DNAT{X: graph.Concat{graph.Jhash{X: graph.SourceAddr, Mod: 8, Seed: 7, Offset: 32768}}, Map: "endpoints"}}},
		{Stmts: []graph.Stmt{graph.Do{Verdict: graph.Verdict{Op: graph.Jump, Chain: "choose"}}}},
	}})
	v6 := &graph.Table{Family: graph.IPv6, Name: "t", Sets: []*graph.Set{{
		Name: "pairs", Key: []graph.Field{graph.AddrField, graph.AddrField}, Interval: true, Size: 7,
		Elements: graph.ElementsOf([]graph.Element{{Key: graph.Key{Addr: addr("fd00::1"), Peer: addr("fd00::2"), RangeTo: addr("fd00::ffff")}}}),
	}, {
		Name: "counted", Counter: true,
		Key: []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.AddrField, graph.PortField},
		Elements: graph.ElementsOf([]graph.Element{{Key: graph.Key{
			Addr: addr("fd00::1"), Proto: graph.TCP, Port: 80, Peer: addr("fd00::2"), PeerPort: 8080,
		}}}),
	}}}
	return &graph.Ruleset{Tables: []*graph.Table{v4, v6}}
}

// same reports whether two rulesets are the same, but for where they come from.
func same(a, b *graph.Ruleset) bool {
	return cmp.Equal(a, b, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
}

func TestBinaryFormRoundTrip(t *testing.T) {
	want := everything()
	got, err := graph.Unmarshal(graph.Marshal(want))
	if err != nil {
		t.Fatal(err)
	}
	if !same(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Every prefix of the binary form, and every form with one byte changed, is refused or is another ruleset: nothing panics.
func TestBinaryFormDamaged(t *testing.T) {
	data := graph.Marshal(everything())
	for n := range data {
		if _, err := graph.Unmarshal(data[:n]); !errors.Is(err, graph.ErrEncoding) {
			t.Fatalf("cut to %d bytes: got %v", n, err)
		}
		for _, bit := range []byte{1, 0x80} {
			damaged := append([]byte(nil), data...)
			damaged[n] ^= bit
			if rs, err := graph.Unmarshal(damaged); err == nil && same(rs, everything()) {
				t.Errorf("byte %d changed by %#x makes no difference", n, bit)
			}
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(graph.Marshal(everything()))
	f.Add(graph.Marshal(&graph.Ruleset{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, err := graph.Unmarshal(data)
		if err != nil {
			return
		}
		again, err := graph.Unmarshal(graph.Marshal(rs))
		if err != nil || !same(again, rs) {
			t.Errorf("%v: got %+v\nwant %+v", err, again, rs)
		}
	})
}

// Each case changes one thing of the content; the digest must tell.
func TestDigestTellsContent(t *testing.T) {
	was := everything().Tables[0].Digest()
	for name, change := range map[string]func(*graph.Table){
		"an element's data":    func(t *graph.Table) { edit(t.Sets[1], 0, func(e *graph.Element) { e.Data.Port++ }) },
		"an element's key":     func(t *graph.Table) { edit(t.Sets[0], 0, func(e *graph.Element) { e.Key.Port++ }) },
		"a verdict":            func(t *graph.Table) { edit(t.Sets[0], 1, func(e *graph.Element) { e.Data.Verdict.Op = graph.Jump }) },
		"a range":              func(t *graph.Table) { edit(t.Sets[2], 0, func(e *graph.Element) { e.Key.RangeTo = addr("10.0.0.8") }) },
		"an element less":      func(t *graph.Table) { t.Sets[2].Elements = t.Sets[2].Elements.Slice(0, 1) },
		"whether a set counts": func(t *graph.Table) { t.Sets[0].Counter = true },
		"the peer's port":      func(t *graph.Table) { edit(t.Sets[0], 0, func(e *graph.Element) { e.Key.PeerPort++ }) },
		"a set's flag":         func(t *graph.Table) { t.Sets[2].Interval = false },
		"a dynamic set":        func(t *graph.Table) { t.Sets[3].Size++ },
		"a rule":               func(t *graph.Table) { t.Chains[0].Rules[0].Stmts[0] = graph.DNAT{X: graph.DestAddr, Map: "endpoints"} },
		"a rule more":          func(t *graph.Table) { t.Chains[0].Rules = append(t.Chains[0].Rules, t.Chains[0].Rules[0]) },
		"a hook's priority":    func(t *graph.Table) { t.Chains[1].Hook.Priority-- },
		"a chain less":         func(t *graph.Table) { t.Chains = t.Chains[:2] },
		"the table's family":   func(t *graph.Table) { t.Family = graph.IPv6 },
	} {
		table := everything().Tables[0]
		if change(table); table.Digest() == was {
			t.Errorf("%s makes no difference to the digest", name)
		}
	}
}

// What packets cannot notice, and the digest itself, must not change the digest.
func TestDigestIgnoresTheRest(t *testing.T) {
	table := everything().Tables[0]
	was := table.Digest()
	table.Sets[0].Size = 1 << 20
	table.Sets[3].Elements = graph.ElementsOf([]graph.Element{{Key: graph.Key{Addr: addr("10.9.9.9"), Proto: graph.TCP, Port: 1}}})
	table.Sets[0].Pass, table.Chains[0].Pass = "p", "p"
	edit(table.Sets[0], 0, func(e *graph.Element) { e.Owner = &graph.Owner{Port: "http"} })
	table.Chains = append(table.Chains, &graph.Chain{Name: graph.AppliedChain(was)})
	if got := table.Digest(); got != was {
		t.Errorf("got %s, want %s", got, was)
	}
	if got, ok := table.Applied(); !ok || got != was {
		t.Errorf("the table carries %q, %t; want %s", got, ok, was)
	}
	table.Chains = append(table.Chains, &graph.Chain{Name: graph.AppliedChain("00112233445566778899aabbccddeeff")})
	if got, ok := table.Applied(); ok {
		t.Errorf("a table that carries two digests is said to carry %q", got)
	}
}

func TestAppliedDigest(t *testing.T) {
	for _, name := range []string{"applied-", "applied-00", "applied-zz112233445566778899aabbccddeeff", "random-4"} {
		if d, ok := graph.AppliedDigest(name); ok {
			t.Errorf("%s is said to carry %s", name, d)
		}
	}
}
