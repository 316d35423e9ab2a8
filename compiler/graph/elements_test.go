package graph_test

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
)

// randomElement has any parts, few values of each. Elements of one list need not be alike.
func randomElement(r *rand.Rand, alike bool) graph.Element {
	odd := func() bool { return !alike && r.IntN(3) == 0 }
	address := func() netip.Addr {
		switch n := byte(r.IntN(4)); {
		case odd():
			return netip.Addr{}
		case odd():
			return netip.AddrFrom16([16]byte{0: 0xfd, 15: n})
		case odd():
			return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 10, 15: n}) // mapped: neither family's
		default:
			return netip.AddrFrom4([4]byte{10, 0, 255, n})
		}
	}
	var e graph.Element
	e.Key = graph.Key{Addr: address(), Proto: graph.Protos[r.IntN(3)], Port: uint16(r.Uint32()), Slot: uint32(r.IntN(3))}
	e.Data.Addr, e.Data.Port = address(), uint16(r.IntN(3))
	if odd() {
		e.Key.Peer = address()
	}
	if odd() {
		e.Key.PeerPort = uint16(r.IntN(3))
	}
	if odd() {
		e.Key.RangeTo = address()
	}
	if odd() {
		e.Data.Verdict = graph.Verdict{Op: graph.VerdictOp(r.IntN(6)), Chain: []string{"", "a", "b"}[r.IntN(3)]}
	}
	if odd() {
		e.Owner, e.Pos = &graph.Owner{}, diag.Pos{File: []string{"", "a.yaml", "b.yaml"}[r.IntN(3)], Line: r.Int32(), Column: -1}
	}
	return e
}

// A list does with its words what a slice of elements does: whatever is put in comes out, and the orders are the same.
func TestElementsAreAsASlice(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		alike := r.IntN(2) == 0
		want := make([]graph.Element, r.IntN(20))
		for i := range want {
			want[i] = randomElement(r, alike)
		}
		l := graph.ElementsOf(want)
		if got := slices.Collect(l.All()); !slices.Equal(got, want) {
			t.Fatalf("got\n%+v, want\n%+v", got, want)
		}
		for i := range want {
			j := r.IntN(len(want))
			o := graph.ElementsOf(want[j:])
			if got, want := cmp.Compare(l.CompareKeys(i, &o, 0), 0), want[i].Key.Compare(want[j].Key); got != want {
				t.Fatalf("%+v against %+v: %d, want %d", l.KeyAt(i), l.KeyAt(j), got, want)
			}
			if got, want := l.SameData(i, &o, 0), want[i].Data == want[j].Data; got != want {
				t.Fatalf("%+v and %+v the same: %t, want %t", l.At(i).Data, l.At(j).Data, got, want)
			}
		}
		if from := r.IntN(len(want) + 1); !slices.Equal(slices.Collect(l.Slice(from, len(want)).All()), want[from:]) {
			t.Fatalf("from %d: %+v, want %+v", from, l.Slice(from, len(want)), want[from:])
		}
		byKey := func(a, b graph.Element) int { return a.Key.Compare(b.Key) }
		slices.SortStableFunc(want, byKey)
		l.Sort()
		want = slices.CompactFunc(want, func(a, b graph.Element) bool { return a.Key == b.Key })
		l.Compact()
		if got := slices.Collect(l.All()); !slices.Equal(got, want) || !l.Equal(graph.ElementsOf(want)) {
			t.Fatalf("sorted\n%+v, want\n%+v", got, want)
		}
		for i := range want {
			if j, ok := l.Search(want[i].Key); j != i || !ok {
				t.Fatalf("%+v is found at %d (%t), want %d", want[i].Key, j, ok, i)
			}
		}
	}
}

// uniformElements are alike: all have the same parts, of one family, and few values of each.
func uniformElements(r *rand.Rand, n int) []graph.Element {
	has := func() bool { return r.IntN(2) == 0 }
	address := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 255, byte(r.IntN(4))}) }
	if has() {
		address = func() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 5: byte(r.IntN(2)), 15: byte(r.IntN(4))}) }
	}
	addr, port, slot, peer, peerPort, rangeTo, to, toPort := has(), has(), has(), has(), has(), has(), has(), has()
	out := make([]graph.Element, n)
	for i := range out {
		e := &out[i]
		for _, part := range []struct {
			has bool
			a   *netip.Addr
		}{{addr, &e.Key.Addr}, {peer, &e.Key.Peer}, {rangeTo, &e.Key.RangeTo}, {to, &e.Data.Addr}} {
			if part.has {
				*part.a = address()
			}
		}
		if port {
			e.Key.Proto, e.Key.Port = graph.Protos[r.IntN(3)], uint16(r.IntN(3))
		}
		if slot {
			e.Key.Slot = uint32(r.IntN(3)) * 100
		}
		if peerPort {
			e.Key.PeerPort = uint16(r.IntN(3))
		}
		if toPort {
			e.Data.Port = uint16(r.IntN(3)) * 100
		}
	}
	return out
}

// The binary form and the digest are of the elements, however a list keeps them: alike elements are written from their
// words, and one that is not alike makes the list keep all of them in another way.
func TestBinaryFormDoesNotDependOnTheWords(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		elements := uniformElements(r, r.IntN(20))
		odd := graph.Element{
			Key:  graph.Key{Addr: netip.IPv6Loopback(), Peer: netip.AddrFrom4([4]byte{1}), RangeTo: netip.IPv6Loopback()},
			Data: graph.Data{Addr: netip.AddrFrom4([4]byte{1}), Verdict: graph.Verdict{Op: graph.Drop}},
		}
		words := graph.ElementsOf(elements)
		apart := graph.ElementsOf(append(slices.Clone(elements), odd))
		table := func(l graph.Elements) *graph.Table {
			return &graph.Table{Sets: []*graph.Set{{Name: "s", Elements: l}}}
		}
		a, b := table(words), table(apart.Slice(0, len(elements)))
		if !bytes.Equal(graph.Marshal(&graph.Ruleset{Tables: []*graph.Table{a}}), graph.Marshal(&graph.Ruleset{Tables: []*graph.Table{b}})) {
			t.Fatalf("other bytes for\n%+v", elements)
		}
		if a.Digest() != b.Digest() {
			t.Fatalf("another digest for\n%+v", elements)
		}
	}
}

// AppendSlot adds the last element with what it is given in place of its own.
func TestAppendSlot(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	files := []string{"", "a.yaml", "b.yaml"}
	for range 2000 {
		e := randomElement(r, r.IntN(2) == 0)
		e.Owner, e.Pos.File = &graph.Owner{}, files[r.IntN(3)]
		want := []graph.Element{randomElement(r, r.IntN(2) == 0), e}
		l := graph.ElementsOf(want)
		for range r.IntN(5) {
			x := randomElement(r, r.IntN(4) > 0)
			e.Key.Slot, e.Data.Addr, e.Data.Port = x.Key.Slot, x.Data.Addr, x.Data.Port
			e.Pos = diag.Pos{File: files[r.IntN(3)], Line: r.Int32(), Column: r.Int32()}
			l.AppendSlot(e.Key.Slot, netip.AddrPortFrom(e.Data.Addr, e.Data.Port), e.Pos)
			want = append(want, e)
		}
		if got := slices.Collect(l.All()); !slices.Equal(got, want) {
			t.Fatalf("got\n%+v, want\n%+v", got, want)
		}
	}
}

// A slice of a list that is appended to has its own elements from there on.
func TestSlicedElementsAreNotWrittenOver(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	want := []graph.Element{randomElement(r, true), randomElement(r, true), randomElement(r, true)}
	l := graph.ElementsOf(want)
	first := l.Slice(0, 1)
	first.Append(randomElement(r, true))
	if got := slices.Collect(l.All()); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What a list is for: an endpoint takes a fifth of the memory of an Element.
func TestElementsAreSmall(t *testing.T) {
	const n = 10_000
	set := &graph.Set{
		Key:  []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.SlotField},
		Data: []graph.Field{graph.AddrField, graph.PortField},
	}
	owner := &graph.Owner{}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l := graph.MakeElements(graph.IPv4, set, n)
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		l.Append(graph.Element{
			Key:   graph.Key{Addr: a, Proto: graph.TCP, Port: 80, Slot: uint32(i)},
			Data:  graph.Data{Addr: a, Port: 8080},
			Owner: owner, Pos: diag.Pos{File: "a.yaml", Line: int32(i)},
		})
	}
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(n*unsafe.Sizeof(graph.Element{}))/5; got > most {
		t.Errorf("%d bytes for %d elements, want %d at most", got, l.Len(), most)
	}
}
