package nft

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// randomAddr gives addresses that are often close together, and often the first or last of all.
func randomAddr(r *rand.Rand, f g.Family) netip.Addr {
	b := make([]byte, addrLen(f))
	switch r.IntN(4) {
	case 0: // 0.0.0.x
	case 1: // 255.255.255.x
		for i := range b {
			b[i] = 0xff
		}
	default:
		for i := range b {
			b[i] = uint8(r.IntN(256))
		}
		return addrFrom(b)
	}
	b[len(b)-1] ^= uint8(r.IntN(8))
	return addrFrom(b)
}

// randomRanges gives disjoint ranges, many of them side by side.
func randomRanges(r *rand.Rand, f g.Family, n int) []g.Key {
	first, last := g.PrefixRange(netip.PrefixFrom(f.Unspecified(), 0))
	points := []netip.Addr{first, last}
	for range 2 * n {
		a := randomAddr(r, f)
		points = append(points, a)
		if next := a.Next(); next.IsValid() {
			points = append(points, next)
		}
	}
	slices.SortFunc(points, netip.Addr.Compare)
	points = slices.Compact(points)
	var out []g.Key
	for i := 0; i < len(points); {
		if r.IntN(3) == 0 {
			i++
			continue
		}
		j := min(i+r.IntN(3), len(points)-1)
		out = append(out, g.Key{Addr: points[i], RangeTo: points[j]})
		i = j + 1
	}
	return out
}

// randomElements gives elements for a set.
func randomElements(r *rand.Rand, f g.Family, s *g.Set) g.Elements {
	out := make([]g.Element, 0, 100)
	if len(s.Key) == 1 && s.Interval {
		for _, k := range randomRanges(r, f, r.IntN(30)) {
			out = append(out, g.Element{Key: k})
		}
		return g.ElementsOf(out)
	}
	for range r.IntN(60) {
		var e g.Element
		for _, field := range s.Key {
			switch field {
			case g.AddrField:
				if e.Key.Addr.IsValid() {
					e.Key.Peer = randomAddr(r, f)
				} else {
					e.Key.Addr = randomAddr(r, f)
				}
			case g.ProtoField:
				e.Key.Proto = g.Protos[r.IntN(len(g.Protos))]
			case g.PortField:
				e.Key.Port = uint16(r.IntN(1 << 16))
			case g.SlotField:
				e.Key.Slot = r.Uint32()
			case g.VerdictField:
				panic("a verdict as key")
			}
		}
		switch {
		case s.IsVerdictMap():
			e.Data.Verdict = [...]g.Verdict{
				{Op: g.Accept}, {Op: g.Drop}, {Op: g.Return}, jumpChain("a"), gotoChain("a-longer-name"),
			}[r.IntN(5)]
		case s.IsMap():
			e.Data = g.Data{Addr: randomAddr(r, f), Port: uint16(r.IntN(1 << 16))}
		}
		out = append(out, e)
	}
	if s.Interval {
		out = giveRanges(r, f, out)
	}
	slices.SortStableFunc(out, func(a, b g.Element) int { return a.Key.Compare(b.Key) })
	return g.ElementsOf(slices.CompactFunc(out, func(a, b g.Element) bool { return a.Key == b.Key }))
}

// giveRanges makes the second address of each key a range. Each key has its own port, so that no two overlap.
func giveRanges(r *rand.Rand, f g.Family, elements []g.Element) []g.Element {
	for i := range elements {
		k := &elements[i].Key
		k.Port = uint16(i)
		a, b := k.Peer, randomAddr(r, f)
		if b.Less(a) {
			a, b = b, a
		}
		k.Peer, k.RangeTo = a, b
	}
	return elements
}

// TestElements puts random elements into sets of every kind, changes them into other random elements, and wants them all
// back from the kernel.
func TestElements(t *testing.T) {
	slotted := append(slices.Clone(serviceKey), g.SlotField)
	shapes := []g.Set{
		{Name: "addresses", Key: []g.Field{g.AddrField}},
		{Name: "ranges", Key: []g.Field{g.AddrField}, Interval: true},
		{Name: "ports", Key: []g.Field{g.PortField}},
		{Name: "protocols", Key: []g.Field{g.ProtoField}},
		{Name: "pairs", Key: []g.Field{g.AddrField, g.AddrField}, Size: 1000},
		{Name: "verdicts", Key: serviceKey, Data: verdict},
		{Name: "slots", Key: slotted, Data: addrPort, Size: 1000},
		{Name: "sources", Key: append(slices.Clone(serviceKey), g.AddrField), Interval: true},
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	c := openPrivate(t)
	for round := range 12 {
		want := &g.Ruleset{}
		for _, f := range g.Families {
			table := &g.Table{Family: f, Name: "svcctl", Chains: []*g.Chain{{Name: "a"}, {Name: "a-longer-name"}}}
			for _, s := range shapes {
				s.Elements = randomElements(r, f, &s)
				table.Sets = append(table.Sets, &s)
			}
			want.Tables = append(want.Tables, table)
		}
		change(t, c, "seed "+itoa(int(seed))+" round "+itoa(round), want)
		if t.Failed() {
			return
		}
	}
}

func TestRangeEdges(t *testing.T) {
	c := openPrivate(t)
	tests := []struct {
		name  string
		pairs []string
	}{
		{"all but loopback", []string{"0.0.0.0", "126.255.255.255", "128.0.0.0", "255.255.255.255"}},
		{"everything", []string{"0.0.0.0", "255.255.255.255"}},
		{"only the last", []string{"255.255.255.255", "255.255.255.255"}},
		{"only the first", []string{"0.0.0.0", "0.0.0.0"}},
		{"two side by side", []string{"10.0.0.0", "10.0.0.255", "10.0.1.0", "10.0.1.255"}},
		{"side by side up to the last", []string{"0.0.0.0", "127.255.255.255", "128.0.0.0", "255.255.255.255"}},
		{"single addresses side by side", []string{"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.3"}},
	}
	for _, tt := range tests {
		var s g.Set
		for i := 0; i < len(tt.pairs); i += 2 {
			s.Elements.Append(g.Element{Key: g.Key{
				Addr: netip.MustParseAddr(tt.pairs[i]), RangeTo: netip.MustParseAddr(tt.pairs[i+1]),
			}})
		}
		s.Name, s.Key, s.Interval = "ranges", []g.Field{g.AddrField}, true
		change(t, c, tt.name, &g.Ruleset{Tables: []*g.Table{{Name: "svcctl", Sets: []*g.Set{&s}}}})
	}
}

// TestRangesWithoutEnds reads what others may write: where one range follows on another, the end of the first may be
// left out.
func TestRangesWithoutEnds(t *testing.T) {
	s := &g.Set{Key: []g.Field{g.AddrField}, Interval: true}
	r := newElementReader(g.IPv4, s, 0)
	b, list := openNested(nil, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	for e := range (words{}).ranges("10.0.0.0", "255.255.255.255", "11.0.0.0", "255.255.255.255").All() {
		b = r.appendElement(b, &e, true)
	}
	closeNested(b, list)
	r.read(b)
	got, ok := r.result()
	want := words{}.ranges("10.0.0.0", "10.255.255.255", "11.0.0.0", "255.255.255.255")
	if !ok || !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestElementSize keeps the size of an element, by which errors are found in a transaction, equal to what is written.
func TestElementSize(t *testing.T) {
	for _, table := range program().Tables {
		for _, s := range table.Sets {
			sh := shapeOf(table.Family, s)
			for e := range s.Elements.All() {
				for _, withData := range []bool{false, true} {
					got, want := len(sh.appendElement(nil, &e, withData)), sh.elementSize(&e, withData)
					if got != want {
						t.Errorf("%s %s: %d bytes, said to be %d", s.Name, sh.keyString(&e.Key), got, want)
					}
				}
			}
		}
	}
}

func benchmarkCommit(b *testing.B, n int) {
	b.Helper()
	c := openPrivate(b)
	p := createPlan(plan.Create, largeTable(n))
	away := &plan.Plan{Tables: []plan.TableChange{{Op: plan.Delete, Name: "svcctl"}}}
	b.ReportAllocs()
	for b.Loop() {
		commit(b, c, p)
		b.StopTimer()
		commit(b, c, away)
		b.StartTimer()
	}
}

func BenchmarkCommit100k(b *testing.B) { benchmarkCommit(b, 100_000) }
func BenchmarkCommit300k(b *testing.B) { benchmarkCommit(b, 300_000) }

// BenchmarkEncode300k is the part of BenchmarkCommit300k that is not the kernel's.
func BenchmarkEncode300k(b *testing.B) {
	p := createPlan(plan.Create, largeTable(300_000))
	b.ReportAllocs()
	for b.Loop() {
		encode(p, 1, 0, kernel{})
	}
}

func BenchmarkChangeOne(b *testing.B) {
	c := openPrivate(b)
	table := largeTable(300_000)
	commit(b, c, createPlan(plan.Create, table))
	s := table.Sets[0]
	p := &plan.Plan{Tables: []plan.TableChange{{
		Op: plan.Update, Name: "svcctl",
		Elements: []plan.ElementChange{{Set: s, Del: s.Elements.Slice(77, 78), Add: s.Elements.Slice(77, 78)}},
	}}}
	for b.Loop() {
		commit(b, c, p)
	}
}

func BenchmarkRead100k(b *testing.B) {
	c := openPrivate(b)
	commit(b, c, createPlan(plan.Create, largeTable(100_000)))
	b.ReportAllocs()
	for b.Loop() {
		read(b, c)
	}
}
