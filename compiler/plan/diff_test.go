package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// carryOut does to a ruleset what the kernel does with a plan: the meaning of a Plan, written down once more and without
// any of Diff's code.
func carryOut(t *testing.T, rs *graph.Ruleset, p *plan.Plan) *graph.Ruleset {
	t.Helper()
	out := &graph.Ruleset{}
	for _, f := range graph.Families {
		table := clone(rs.Table(f))
		for _, c := range p.Tables {
			if c.Family == f {
				table = carryOutTable(t, table, c)
			}
		}
		if table != nil {
			out.Tables = append(out.Tables, table)
		}
	}
	return out
}

func clone(t *graph.Table) *graph.Table {
	if t == nil {
		return nil
	}
	c := *t
	c.Sets, c.Chains = nil, nil
	for _, s := range t.Sets {
		s := *s
		s.Elements, s.Lifetimes = s.Elements.Slice(0, s.Elements.Len()), slices.Clone(s.Lifetimes)
		c.Sets = append(c.Sets, &s)
	}
	for _, ch := range t.Chains {
		ch := *ch
		c.Chains = append(c.Chains, &ch)
	}
	return &c
}

func carryOutTable(t *testing.T, table *graph.Table, c plan.TableChange) *graph.Table {
	t.Helper()
	switch c.Op {
	case plan.Delete:
		return nil
	case plan.Create, plan.Replace:
		if (table == nil) != (c.Op == plan.Create) {
			t.Fatalf("%s of a table that is there: %v", c.Op, table != nil)
		}
		table = &graph.Table{Family: c.Family, Name: c.Name, Comment: c.Comment}
	case plan.Update:
	}
	for _, s := range c.AddSets {
		s := *s
		s.Elements, s.Lifetimes = graph.Elements{}, nil
		table.Sets = append(table.Sets, &s)
	}
	for _, s := range c.GrowSets {
		table.Set(s.Name).Size = s.Size
	}
	for _, ch := range c.AddChains {
		ch := *ch
		ch.Rules = nil
		table.Chains = append(table.Chains, &ch)
	}
	for _, ch := range c.RemakeChains {
		was := table.Chain(ch.Name)
		if was.Hook == nil || ch.Hook == nil {
			t.Fatalf("makes chain %s again, from hook %v to %v", ch.Name, was.Hook, ch.Hook)
		}
		was.Hook, was.Rules = ch.Hook, nil
	}
	for _, ch := range c.SetRules {
		table.Chain(ch.Name).Rules = ch.Rules
	}
	for _, e := range c.Elements {
		carryOutElements(t, table.Set(e.Set.Name), e)
	}
	for _, k := range c.Keep {
		s := table.Set(k.Set.Name)
		if c.Op != plan.Replace || !s.Dynamic || s.Elements.Len() > 0 || k.Elements.Len() != len(k.Lifetimes) {
			t.Fatalf("%s keeps %d elements of %s, which has %d", c.Op, k.Elements.Len(), s.Name, s.Elements.Len())
		}
		if s.Elements = k.Elements; s.Timeout {
			s.Lifetimes = k.Lifetimes
		}
	}
	for _, ch := range c.DelChains {
		table.Chains = slices.DeleteFunc(table.Chains, func(x *graph.Chain) bool { return x.Name == ch.Name })
	}
	for _, s := range c.DelSets {
		table.Sets = slices.DeleteFunc(table.Sets, func(x *graph.Set) bool { return x.Name == s.Name })
	}
	return table
}

func carryOutElements(t *testing.T, s *graph.Set, c plan.ElementChange) {
	t.Helper()
	for e := range c.Del.All() {
		n := s.Elements.Len()
		s.Elements = graph.ElementsOf(slices.DeleteFunc(slices.Collect(s.Elements.All()),
			func(x graph.Element) bool { return x.Key == e.Key }))
		if s.Elements.Len() != n-1 {
			t.Fatalf("%s: deletes %+v, which is not there", s.Name, e.Key)
		}
	}
	for e := range c.Add.All() {
		if _, ok := s.Find(e.Key); ok {
			t.Fatalf("%s: adds %+v, which is there", s.Name, e.Key)
		}
		s.Elements.Append(e)
		s.SortElements()
	}
}

var services = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField}

// randomRuleset has the kinds of things that rulesets differ in, each small enough that two of them share many.
func randomRuleset(r *rand.Rand) *graph.Ruleset {
	rs := &graph.Ruleset{}
	for _, f := range graph.Families {
		if r.IntN(5) > 0 {
			rs.Tables = append(rs.Tables, randomTable(r, f))
		}
	}
	return rs
}

func randomTable(r *rand.Rand, f graph.Family) *graph.Table {
	t := &graph.Table{Family: f, Name: "t", Comment: "ours"}
	for i := range 4 {
		if r.IntN(3) > 0 {
			ch := &graph.Chain{Name: fmt.Sprintf("chain-%d", i)}
			for range r.IntN(3) {
				ch.Rules = append(ch.Rules, graph.Rule{Stmts: []graph.Stmt{graph.Counter{}}})
			}
			if i == 3 || i == 2 && r.IntN(20) == 0 { // only replacing the table makes a base chain of another
				ch.Hook = &graph.Hook{Point: graph.Input, Priority: r.Int32N(3), Type: graph.ChainType(r.IntN(2))}
			}
			t.Chains = append(t.Chains, ch)
		}
	}
	for i := range 3 {
		if r.IntN(4) == 0 {
			continue
		}
		s := &graph.Set{Name: fmt.Sprintf("map-%d", i), Key: services, Data: []graph.Field{graph.VerdictField}, Size: 1024}
		if r.IntN(20) == 0 {
			s.Data = nil // another type: only replacing the table makes it
		}
		for port := range uint16(8) {
			if r.IntN(2) == 0 {
				continue
			}
			e := graph.Element{Key: graph.Key{Addr: f.Unspecified(), Proto: graph.TCP, Port: port}}
			if s.Data != nil {
				e.Data.Verdict.Op = graph.Accept + graph.VerdictOp(r.IntN(2))
			}
			s.Elements.Append(e)
		}
		t.Sets = append(t.Sets, s)
	}
	if r.IntN(5) > 0 {
		s := &graph.Set{Name: "learnt", Key: services, Data: []graph.Field{graph.AddrField, graph.PortField}, Size: 1024}
		s.Dynamic, s.Timeout = true, r.IntN(3) > 0
		if r.IntN(20) == 0 {
			s.Key = services[:2]
		}
		t.Sets = append(t.Sets, s)
	}
	return t
}

// learn does what the packet path does: it puts elements into dynamic sets.
func learn(r *rand.Rand, rs *graph.Ruleset) *graph.Ruleset {
	for _, t := range rs.Tables {
		s := t.Set("learnt")
		if s == nil {
			continue
		}
		if s.Elements, s.Lifetimes = (graph.Elements{}), nil; !s.Timeout {
			continue // svcctl has no such map: whether its elements stay depends on how the table changes
		}
		for port := range uint16(r.IntN(5)) {
			s.Elements.Append(graph.Element{Key: graph.Key{Addr: t.Family.Unspecified(), Proto: graph.TCP, Port: port}})
			s.Lifetimes = append(s.Lifetimes, graph.Lifetime{Timeout: time.Hour, Expires: time.Duration(r.Int64N(int64(time.Hour)))})
		}
	}
	return rs
}

// withLearnt gives the desired ruleset with what the packet path had put into sets of the same type before.
func withLearnt(observed, desired *graph.Ruleset) *graph.Ruleset {
	out := &graph.Ruleset{}
	for _, t := range desired.Tables {
		t = clone(t)
		out.Tables = append(out.Tables, t)
		was := observed.Table(t.Family)
		if was == nil {
			continue
		}
		old, s := was.Set("learnt"), t.Set("learnt")
		if old != nil && s != nil && old.Timeout == s.Timeout && slices.Equal(old.Key, s.Key) {
			s.Elements, s.Lifetimes = old.Elements, old.Lifetimes
		}
	}
	return out
}

var compare = []cmp.Option{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.SortSlices(func(a, b *graph.Set) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b *graph.Chain) bool { return a.Name < b.Name }),
}

func TestCarriedOutDiffGivesTheDesiredRuleset(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	observed := &graph.Ruleset{}
	for range 200 {
		observed = checkDiff(t, learn(r, observed), randomRuleset(r))
	}
}

func FuzzDiff(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, 0))
		checkDiff(t, learn(r, randomRuleset(r)), randomRuleset(rand.New(rand.NewPCG(b, 0))))
	})
}

// checkDiff makes sure that the plan from one ruleset to another leads there, and that no plan is needed then. It gives
// what is there in the end.
func checkDiff(t *testing.T, observed, desired *graph.Ruleset) *graph.Ruleset {
	t.Helper()
	got := carryOut(t, observed, plan.Diff(observed, desired))
	if d := cmp.Diff(withLearnt(observed, desired), got, compare...); d != "" {
		t.Fatalf("after the plan, desired (-) and got (+):\n%s", d)
	}
	if p := plan.Diff(got, desired); !p.Empty() {
		t.Fatalf("a second plan is not empty: %+v", p)
	}
	return got
}

func TestDiffChangesOnlyWhatDiffers(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	a := randomTable(r, graph.IPv4)
	b := clone(a)
	b.Sets[0].Elements = b.Sets[0].Elements.Slice(1, b.Sets[0].Elements.Len())
	p := plan.Diff(&graph.Ruleset{Tables: []*graph.Table{a}}, &graph.Ruleset{Tables: []*graph.Table{b}})
	want := plan.Counts{Tables: 1, ElementsDeleted: 1}
	if got := p.Count(); got != want {
		t.Errorf("one element less: %+v, want %+v", got, want)
	}
}

func TestDiffGrowsSetsAndNeverShrinksThem(t *testing.T) {
	table := func(size uint32) *graph.Ruleset {
		return &graph.Ruleset{Tables: []*graph.Table{{Name: "t", Sets: []*graph.Set{{Name: "s", Key: services, Size: size}}}}}
	}
	if got := plan.Diff(table(1024), table(2048)); len(got.Tables) != 1 || len(got.Tables[0].GrowSets) != 1 {
		t.Errorf("1024 → 2048: %+v, want one set grown", got)
	}
	if got := plan.Diff(table(2048), table(1024)); !got.Empty() {
		t.Errorf("2048 → 1024: %+v, want nothing", got)
	}
}

// Where the kernel changes no sizes, a set is left as long as it is large enough, and then its table is made again.
func TestDiffWithFixedSizes(t *testing.T) {
	ruleset := func(dynamic bool, size uint32, elements int) *graph.Ruleset {
		s := &graph.Set{Name: "s", Key: services, Size: size, Dynamic: dynamic}
		for port := range uint16(elements) {
			s.Elements.Append(graph.Element{Key: graph.Key{Addr: netip.IPv4Unspecified(), Proto: graph.TCP, Port: port}})
		}
		return &graph.Ruleset{Tables: []*graph.Table{{Name: "t", Sets: []*graph.Set{s}}}, FixedSizes: true}
	}
	for _, tt := range []struct {
		name          string
		was, want     *graph.Ruleset
		empty, update bool
	}{
		{"large enough", ruleset(false, 4, 4), ruleset(false, 8, 4), true, false},
		{"large enough for more elements", ruleset(false, 4, 3), ruleset(false, 8, 4), false, true},
		{"too small", ruleset(false, 4, 4), ruleset(false, 8, 5), false, false},
		{"without a size", ruleset(false, 0, 4), ruleset(false, 8, 5), false, true},
		{"of the packet path, larger", ruleset(true, 4, 0), ruleset(true, 8, 0), false, false},
		{"of the packet path, smaller", ruleset(true, 8, 0), ruleset(true, 4, 0), true, false},
	} {
		p := plan.Diff(tt.was, tt.want)
		if p.Empty() != tt.empty {
			t.Errorf("%s: %+v", tt.name, p.Tables)
		}
		if !p.Empty() && ((p.Tables[0].Op == plan.Update) != tt.update || len(p.Tables[0].GrowSets) > 0) {
			t.Errorf("%s: %+v", tt.name, p.Tables)
		}
	}
}

func TestDiffReplacesWhatCannotChangeInPlace(t *testing.T) {
	base := func(hook *graph.Hook, comment string) *graph.Ruleset {
		return &graph.Ruleset{Tables: []*graph.Table{{Name: "t", Comment: comment, Chains: []*graph.Chain{{Name: "c", Hook: hook}}}}}
	}
	hook := &graph.Hook{Point: graph.Input}
	for _, other := range []*graph.Ruleset{base(nil, "ours"), base(hook, "theirs")} {
		p := plan.Diff(base(hook, "ours"), other)
		if len(p.Tables) != 1 || p.Tables[0].Op != plan.Replace {
			t.Errorf("got %+v, want the table replaced", p)
		}
	}
	for _, other := range []*graph.Hook{
		{Point: graph.Input, Priority: 1}, {Point: graph.Output}, {Point: graph.Input, Type: graph.NATChain},
	} {
		p := plan.Diff(base(hook, "ours"), base(other, "ours"))
		if len(p.Tables) != 1 || p.Tables[0].Op != plan.Update || len(p.Tables[0].RemakeChains) != 1 {
			t.Errorf("got %+v, want the chain made again", p)
		}
	}
}

// A table that is made again keeps the clients that fit: of endpoints that are still there, in a map of the same type, and
// where there is not room for all, those that would stay the longest.
func TestReplaceKeepsClients(t *testing.T) {
	addr := netip.MustParseAddr
	service := graph.Key{Addr: addr("10.96.0.1"), Proto: graph.TCP, Port: 80}
	client := []graph.Field{graph.AddrField, graph.AddrField, graph.ProtoField, graph.PortField}
	data := []graph.Field{graph.AddrField, graph.PortField}
	table := func(edit func(t *graph.Table, affinity *graph.Set)) *graph.Ruleset {
		affinity := &graph.Set{Name: graph.AffinityMap, Key: client, Data: data, Dynamic: true, Timeout: true, Size: 4}
		t := &graph.Table{Name: "t", Sets: []*graph.Set{
			{Name: graph.ServicesMap, Key: services, Elements: graph.ElementsOf([]graph.Element{
				{Key: service, Data: graph.Data{Verdict: graph.Verdict{Op: graph.Goto, Chain: "random-1"}}},
			})},
			{Name: graph.EndpointsMap, Elements: graph.ElementsOf([]graph.Element{{Key: service, Data: graph.Data{Addr: addr("10.1.1.2"), Port: 80}}})},
			affinity,
		}}
		t.Chains = []*graph.Chain{{Name: "random-1", Rules: []graph.Rule{{Stmts: []graph.Stmt{
			graph.DNAT{X: graph.Concat{graph.DestAddr, graph.Numgen{Mod: 1}}, Map: graph.EndpointsMap},
		}}}}}
		edit(t, affinity)
		return &graph.Ruleset{Tables: []*graph.Table{t}}
	}
	observed := table(func(_ *graph.Table, affinity *graph.Set) {
		for i, minutes := range []time.Duration{50, 10, 40, 30} {
			endpoint := "10.1.1.2"
			if i == 0 {
				endpoint = "10.1.9.9" // gone
			}
			affinity.Elements.Append(graph.Element{
				Key:  graph.Key{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Peer: service.Addr, Proto: graph.TCP, Port: 80},
				Data: graph.Data{Addr: addr(endpoint), Port: 80},
			})
			affinity.Lifetimes = append(affinity.Lifetimes, graph.Lifetime{Timeout: time.Hour, Expires: minutes * time.Minute})
		}
	})
	for name, tt := range map[string]struct {
		edit func(t *graph.Table, affinity *graph.Set)
		want []byte // the last bytes of the clients that stay
	}{
		"another comment":     {func(t *graph.Table, _ *graph.Set) { t.Comment = "other" }, []byte{1, 2, 3}},
		"another type of set": {func(t *graph.Table, _ *graph.Set) { t.Sets[0].Interval = true }, []byte{1, 2, 3}},
		"less room": {func(t *graph.Table, affinity *graph.Set) {
			t.Comment, affinity.Size = "other", 2
		}, []byte{2, 3}},
		"no limit": {func(t *graph.Table, affinity *graph.Set) {
			t.Comment, affinity.Size = "other", 0
		}, []byte{1, 2, 3}},
		"another type of key":  {func(_ *graph.Table, affinity *graph.Set) { affinity.Key = services }, nil},
		"another type of data": {func(_ *graph.Table, affinity *graph.Set) { affinity.Data = data[:1] }, nil},
		"without timeouts":     {func(_ *graph.Table, affinity *graph.Set) { affinity.Timeout = false }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Diff(observed, table(tt.edit))
			if len(p.Tables) != 1 || p.Tables[0].Op != plan.Replace {
				t.Fatalf("got %+v, want the table replaced", p)
			}
			var got []byte
			for _, k := range p.Tables[0].Keep {
				for i, l := range k.Lifetimes {
					e := k.Elements.At(i)
					b := e.Key.Addr.As4()
					got = append(got, b[3])
					if at := observed.Tables[0].Set(graph.AffinityMap); l != at.Lifetimes[b[3]] {
						t.Errorf("client %d is kept for %v, had %v", b[3], l, at.Lifetimes[b[3]])
					}
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("kept are the clients %v, want %v", got, tt.want)
			}
		})
	}
	if p := plan.ReplaceAll(observed, observed); len(p.Tables[0].Keep) != 0 {
		t.Errorf("taken over from somebody else: %+v", p.Tables[0].Keep)
	}
}

func TestStaleAffinity(t *testing.T) {
	addr := netip.MustParseAddr
	service := graph.Key{Addr: addr("10.96.0.1"), Proto: graph.TCP, Port: 80}
	nodePort := graph.Key{Addr: addr("0.0.0.0"), Proto: graph.TCP, Port: 30000}
	slot := func(k graph.Key, n uint32) graph.Key { k.Slot = n; return k }
	data := func(a string) graph.Data { return graph.Data{Addr: addr(a), Port: 8080} }
	learnt := func(k graph.Key, daddr, endpoint string) graph.Element {
		return graph.Element{
			Key:  graph.Key{Addr: addr("192.168.0.2"), Peer: addr(daddr), Proto: k.Proto, Port: k.Port},
			Data: data(endpoint),
		}
	}
	chain := func(name string) graph.Data { return graph.Data{Verdict: graph.Verdict{Op: graph.Goto, Chain: name}} }
	rule := func(stmts ...graph.Stmt) graph.Rule { return graph.Rule{Stmts: stmts} }
	to := func(name string) graph.Stmt { return graph.Do{Verdict: chain(name).Verdict} }
	draw := func(mod, offset uint32) graph.Rule {
		return rule(graph.DNAT{X: graph.Concat{graph.DestAddr, graph.Numgen{Mod: mod, Offset: offset}}, Map: graph.EndpointsMap})
	}
	desired := &graph.Ruleset{Tables: []*graph.Table{{
		Name: "t",
		Sets: []*graph.Set{
			{Name: graph.ClusterCIDRsSet, Interval: true, Elements: graph.ElementsOf([]graph.Element{
				{Key: graph.Key{Addr: addr("10.1.0.0"), RangeTo: addr("10.1.255.255")}},
			})},
			{Name: graph.ServicesMap, Elements: graph.ElementsOf([]graph.Element{
				{Key: nodePort, Data: chain("affinity-local")}, {Key: service, Data: chain("affinity-everywhere")},
			})},
			{Name: graph.EndpointsMap, Elements: graph.ElementsOf([]graph.Element{
				{Key: slot(nodePort, 0), Data: data("10.1.2.2")},
				{Key: slot(nodePort, 1), Data: data("10.1.4.2")},
				{Key: slot(nodePort, 32768), Data: data("10.1.2.2")},
				{Key: slot(service, 0), Data: data("10.1.1.2")},
				{Key: slot(service, 3), Data: data("10.1.2.2")},
				{Key: slot(service, 32768), Data: data("10.1.5.2")},
			})},
			{Name: graph.AffinityMap, Dynamic: true},
		},
		Chains: []*graph.Chain{
			{Name: "everywhere", Rules: []graph.Rule{draw(4, 0), draw(1, 0)}},
			{Name: "here", Rules: []graph.Rule{draw(1, 32768)}},
			{Name: "local", Rules: []graph.Rule{
				rule(graph.MatchSet{X: graph.SourceAddr, Set: graph.ClusterCIDRsSet}, to("everywhere")),
				rule(graph.Match{X: graph.FibType{Of: graph.SourceAddr}, Value: graph.AddrTypeLocal}, to("everywhere")),
				rule(to("here")),
			}},
			{Name: "affinity-everywhere", Rules: []graph.Rule{
				rule(graph.DNAT{X: graph.Concat{graph.SourceAddr, graph.DestAddr}, Map: graph.AffinityMap}), rule(to("everywhere")),
			}},
			{Name: "affinity-local", Rules: []graph.Rule{
				rule(graph.DNAT{X: graph.Concat{graph.SourceAddr, graph.DestAddr}, Map: graph.AffinityMap}), rule(to("local")),
			}},
		},
	}}}
	from := func(client string, e graph.Element) graph.Element { e.Key.Addr = addr(client); return e }
	keep := []graph.Element{
		learnt(service, "10.96.0.1", "10.1.1.2"),
		learnt(service, "10.96.0.1", "10.1.2.2"),
		learnt(nodePort, "192.168.0.1", "10.1.2.2"),
		// Pods and the node may use endpoints elsewhere, whatever the traffic policy.
		from("10.1.9.9", learnt(nodePort, "192.168.0.1", "10.1.4.2")),
		from("192.168.0.1", learnt(nodePort, "192.168.0.1", "10.1.4.2")),
		from("172.16.0.1", learnt(nodePort, "192.168.0.1", "10.1.4.2")),
	}
	stale := []graph.Element{
		learnt(service, "10.96.0.1", "10.1.3.2"),    // the endpoint is gone
		learnt(nodePort, "192.168.0.1", "10.1.1.2"), // it is another service's
		learnt(service, "10.96.0.7", "10.1.1.2"),    // the service is gone
		learnt(nodePort, "192.168.0.1", "10.1.4.2"), // the endpoint is elsewhere
		learnt(service, "10.96.0.1", "10.1.5.2"),    // the endpoint is for another traffic policy
	}
	observed := &graph.Ruleset{Tables: []*graph.Table{{Name: "t", Sets: []*graph.Set{
		{Name: graph.AffinityMap, Dynamic: true, Elements: graph.ElementsOf(slices.Concat(keep, stale))},
	}}}}
	p := plan.StaleAffinity(observed, desired, addr("172.16.0.1"))
	if len(p.Tables) != 1 {
		t.Fatalf("got %+v, want one table", p)
	}
	if d := cmp.Diff(stale, slices.Collect(p.Tables[0].Elements[0].Del.All()), compare...); d != "" {
		t.Errorf("stale (-), deleted (+):\n%s", d)
	}
}
