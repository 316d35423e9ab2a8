package graph

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/diag"
)

// Elements is a list of elements. It gives and takes [Element] values, and keeps them as words: an Element has 168 bytes,
// in most of which an element of any one set has nothing, and a ruleset has millions of them. Here one of the map
// "endpoints" takes 32 bytes and none of them is a pointer. Memory is what compiling costs: a processor works out an
// element in the time in which the kernel hands out a fifth of one as fresh pages.
//
// The zero Elements is an empty list. Elements is a header, like a slice: a copy refers to the same elements, and of two
// copies only one may be appended to.
type Elements struct {
	form  form
	words []uint32 // as many for each element as the form says
	room  int      // how many elements there should be room for
	*shared
}

// shared is what many elements have in common; they hold an index of it.
type shared struct {
	origins []origin
	chains  []string
	numbers map[string]uint32 // of the chains
}

// origin is where elements come from, but for the line.
type origin struct {
	owner *Owner
	file  string
}

// ElementsOf gives a list of these elements.
func ElementsOf(elements []Element) Elements {
	var l Elements
	l.Grow(len(elements))
	for i := range elements {
		l.Append(elements[i])
	}
	return l
}

// MakeElements gives an empty list with room for n elements of a set's type.
func MakeElements(f Family, s *Set, n int) Elements {
	return Elements{form: formOf(f, s), room: n, shared: &shared{}}
}

// Len is the number of elements.
func (l Elements) Len() int {
	if len(l.words) == 0 {
		return 0
	}
	return len(l.words) / int(l.form.stride)
}

// At gives the element with an index.
func (l Elements) At(i int) Element {
	f := &l.form
	w := l.record(i)
	e := Element{Key: f.key(w)}
	e.Data, w = l.data(w[f.keyWords:])
	if f.origin {
		o := &l.origins[w[0]]
		e.Owner, e.Pos = o.owner, diag.Pos{File: o.file, Line: int32(w[1]), Column: int32(w[2])}
	}
	return e
}

// record gives the words of the element with an index.
func (l *Elements) record(i int) []uint32 {
	n := int(l.form.stride)
	return l.words[i*n : (i+1)*n]
}

// KeyAt gives the key of the element with an index.
func (l Elements) KeyAt(i int) Key {
	return l.form.key(l.record(i))
}

// DataAt gives the data of the element with an index.
func (l Elements) DataAt(i int) (d Data) {
	d, _ = l.data(l.record(i)[l.form.keyWords:])
	return d
}

// data reads the data of an element from the words behind its key, and gives the words behind them.
func (l *Elements) data(w []uint32) (d Data, rest []uint32) {
	f := &l.form
	d.Addr, w = getAddr(w, f.to)
	if f.toPort {
		d.Port, w = uint16(w[0]), w[1:]
	}
	if f.verdict {
		d.Verdict.Op = VerdictOp(w[0] >> chainBits)
		if n := w[0] & maxChains; n > 0 {
			d.Verdict.Chain = l.chains[n-1]
		}
		w = w[1:]
	}
	return d, w
}

// proto gives the protocol of the element with an index, of a list that has protocols.
func (l *Elements) proto(i int) Proto {
	if !l.form.port {
		return 0
	}
	return Proto(l.record(i)[l.form.addr] >> 16)
}

// All gives the elements in their order.
func (l Elements) All() iter.Seq[Element] {
	return func(yield func(Element) bool) {
		for i := range l.Len() {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

// Slice gives the elements from one index to before another. What is appended to them does not come into the list.
func (l Elements) Slice(from, to int) Elements {
	l.room = 0
	stride := int(l.form.stride)
	l.words = l.words[from*stride : to*stride : to*stride]
	return l
}

// Equal reports whether two lists hold the same keys and data in the same order. Where they come from does not matter:
// the kernel does not know it.
func (l Elements) Equal(o Elements) bool {
	if l.Len() != o.Len() {
		return false
	}
	for i := range l.Len() {
		if a, b := l.At(i), o.At(i); a.Key != b.Key || a.Data != b.Data {
			return false
		}
	}
	return true
}

// Targets gives the chains that verdicts of the list go to, in the order in which they come first.
func (l Elements) Targets() []string {
	if l.shared == nil {
		return nil
	}
	return slices.Clone(l.chains)
}

// CompareKeys orders the element with index i against that with index j of another list, or of the same.
func (l *Elements) CompareKeys(i int, o *Elements, j int) int {
	if !l.form.sameKeys(&o.form) {
		return l.KeyAt(i).Compare(o.KeyAt(j))
	}
	a, b := l.record(i)[:l.form.keyWords], o.record(j)[:l.form.keyWords]
	for k, x := range a { // faster than slices.Compare, which asks whether words are not numbers
		if y := b[k]; x != y {
			if x < y {
				return -1
			}
			return 1
		}
	}
	return 0
}

// SameData reports whether the element with index i holds the same data as that with index j of another list.
func (l *Elements) SameData(i int, o *Elements, j int) bool {
	if l.form != o.form || l.form.verdict {
		return l.At(i).Data == o.At(j).Data
	}
	from, to := l.form.keyWords, l.form.keyWords+l.form.dataWords
	return slices.Equal(l.record(i)[from:to], o.record(j)[from:to])
}

// Grow makes room for n more elements.
func (l *Elements) Grow(n int) {
	l.room = l.Len() + n
	if l.words != nil {
		l.words = slices.Grow(l.words, n*int(l.form.stride))
	}
}

// Append adds an element to the end.
func (l *Elements) Append(e Element) {
	if l.shared == nil {
		l.shared = &shared{}
	}
	if l.words == nil || !l.form.fits(&e) {
		l.widen(&e)
	}
	f, w := &l.form, l.words
	w = putAddr(w, e.Key.Addr, f.addr)
	if f.port {
		w = append(w, uint32(e.Key.Proto)<<16|uint32(e.Key.Port))
	}
	if f.slot {
		w = append(w, e.Key.Slot)
	}
	w = putAddr(w, e.Key.Peer, f.peer)
	if f.peerPort {
		w = append(w, uint32(e.Key.PeerPort))
	}
	w = putAddr(w, e.Key.RangeTo, f.rangeTo)
	w = putAddr(w, e.Data.Addr, f.to)
	if f.toPort {
		w = append(w, uint32(e.Data.Port))
	}
	if f.verdict {
		w = append(w, uint32(e.Data.Verdict.Op)<<chainBits|l.chain(e.Data.Verdict.Chain))
	}
	if f.origin {
		w = append(w, l.origin(origin{e.Owner, e.Pos.File}), uint32(e.Pos.Line), uint32(e.Pos.Column))
	}
	l.words = w
}

// AppendSlot adds what the last element becomes in another slot, with another address and port to go to, and another
// place: most of a ruleset are endpoints that have their service in common, and to write only what differs takes a
// fifth of the time.
func (l *Elements) AppendSlot(slot uint32, to netip.AddrPort, pos diag.Pos) {
	f, n := &l.form, len(l.words)
	if !f.slot || !f.to.fits(to.Addr()) || f.to == anyAddr || !f.toPort || !f.origin {
		e := l.At(l.Len() - 1)
		e.Key.Slot, e.Data.Addr, e.Data.Port, e.Pos = slot, to.Addr(), to.Port(), pos
		l.Append(e)
		return
	}
	stride := int(f.stride)
	l.words = append(l.words, l.words[n-stride:]...)
	w := l.words[n:]
	w[int(f.addr)+btoi(f.port)] = slot
	data := putAddr(w[:f.keyWords], to.Addr(), f.to)
	w[len(data)] = uint32(to.Port())
	w = w[stride-3:]
	if o := l.origins[w[0]]; o.file != pos.File {
		w[0] = l.origin(origin{o.owner, pos.File})
	}
	w[1], w[2] = uint32(pos.Line), uint32(pos.Column)
}

// widen gives the list a form that an element fits, and writes those that are there anew.
func (l *Elements) widen(e *Element) {
	was := *l
	n := was.Len()
	if !l.form.fits(e) {
		l.form = l.form.union(formOfElement(e), n == 0)
	}
	l.room = max(l.room, n+1)
	l.words = make([]uint32, 0, l.room*int(l.form.stride))
	for i := range n {
		l.Append(was.At(i))
	}
}

// chainBits is how many bits of a verdict are the number of its chain, counted from 1; 0 is none.
const (
	chainBits = 28
	maxChains = 1<<chainBits - 1
)

func (s *shared) chain(name string) uint32 {
	if name == "" {
		return 0
	}
	n, ok := s.numbers[name]
	if !ok {
		if s.numbers == nil {
			s.numbers = map[string]uint32{}
		}
		s.chains = append(s.chains, name)
		n = uint32(len(s.chains))
		s.numbers[name] = n
	}
	return n
}

// origin gives the number of an origin. Those that follow on each other mostly have the same.
func (s *shared) origin(o origin) uint32 {
	if n := len(s.origins); n == 0 || s.origins[n-1] != o {
		s.origins = append(s.origins, o)
	}
	return uint32(len(s.origins) - 1)
}
