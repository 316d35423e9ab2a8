package graph

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// Compare orders keys by address, protocol, port, slot, peer, its port and range: the canonical order of elements.
func (k Key) Compare(o Key) int {
	if c := k.Addr.Compare(o.Addr); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(k.Proto, o.Proto), cmp.Compare(k.Port, o.Port), cmp.Compare(k.Slot, o.Slot),
		k.Peer.Compare(o.Peer), cmp.Compare(k.PeerPort, o.PeerPort), k.RangeTo.Compare(o.RangeTo))
}

// Compare orders data by address, port and verdict.
func (d Data) Compare(o Data) int {
	return cmp.Or(d.Addr.Compare(o.Addr), cmp.Compare(d.Port, o.Port), cmp.Compare(d.Verdict.Op, o.Verdict.Op),
		strings.Compare(d.Verdict.Chain, o.Verdict.Chain))
}

// Sort puts the elements into canonical order. Elements that are in order already cost one comparison each.
func (l *Elements) Sort() {
	n := l.Len()
	order := 1
	for order < n && l.CompareKeys(order-1, l, order) <= 0 {
		order++
	}
	if order >= n {
		return
	}
	numbers := make([]int32, n)
	for i := range numbers {
		numbers[i] = int32(i)
	}
	slices.SortFunc(numbers, func(i, j int32) int {
		return cmp.Or(l.CompareKeys(int(i), l, int(j)), cmp.Compare(i, j))
	})
	words := make([]uint32, 0, len(l.words))
	for _, i := range numbers {
		words = append(words, l.record(int(i))...)
	}
	l.words = words
}

// Compact leaves one of several elements that follow on each other and have the same key: the first.
func (l *Elements) Compact() {
	kept := l.words[:0]
	stride := int(l.form.stride)
	for i := range l.Len() {
		if w := l.record(i); len(kept) == 0 || !slices.Equal(kept[len(kept)-stride:][:l.form.keyWords], w[:l.form.keyWords]) {
			kept = append(kept, w...)
		}
	}
	l.words = kept
}

// SortElements puts the elements into canonical order.
func (s *Set) SortElements() { s.Elements.Sort() }

// Search gives the index of the first element whose key is k or comes after it, and whether it is k. The elements must
// be in canonical order.
func (l Elements) Search(k Key) (int, bool) {
	return sort.Find(l.Len(), func(i int) int { return k.Compare(l.KeyAt(i)) })
}

// Find returns the element with the key and whether there is one. The elements must be in canonical order.
func (s *Set) Find(k Key) (Element, bool) {
	i, ok := s.Elements.Search(k)
	if !ok {
		return Element{}, false
	}
	return s.Elements.At(i), true
}

// From gives the elements whose key is k or comes after it, in canonical order.
func (s *Set) From(k Key) iter.Seq[Element] {
	return func(yield func(Element) bool) {
		for i, _ := s.Elements.Search(k); i < s.Elements.Len() && yield(s.Elements.At(i)); i++ {
		}
	}
}

// PrefixRange gives the first and last address of a prefix.
func PrefixRange(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	b := first.AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ = netip.AddrFromSlice(b)
	return first, last
}
