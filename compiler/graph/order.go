package graph

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// Compare orders keys by address, protocol, port, slot, peer and range: the canonical order of elements.
func (k Key) Compare(o Key) int {
	if c := k.Addr.Compare(o.Addr); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(k.Proto, o.Proto), cmp.Compare(k.Port, o.Port), cmp.Compare(k.Slot, o.Slot),
		k.Peer.Compare(o.Peer), k.RangeTo.Compare(o.RangeTo))
}

// Compare orders data by address, port and verdict.
func (d Data) Compare(o Data) int {
	return cmp.Or(d.Addr.Compare(o.Addr), cmp.Compare(d.Port, o.Port), cmp.Compare(d.Verdict.Op, o.Verdict.Op),
		strings.Compare(d.Verdict.Chain, o.Verdict.Chain))
}

// SortElements puts the elements into canonical order. Elements that are in order already cost one comparison each.
func (s *Set) SortElements() {
	byKey := func(a, b Element) int { return a.Key.Compare(b.Key) }
	if !slices.IsSortedFunc(s.Elements, byKey) {
		slices.SortStableFunc(s.Elements, byKey)
	}
}

// Find returns the element with the key and whether there is one. The elements must be in canonical order.
func (s *Set) Find(k Key) (Element, bool) {
	i, ok := slices.BinarySearchFunc(s.Elements, k, func(e Element, k Key) int { return e.Key.Compare(k) })
	if !ok {
		return Element{}, false
	}
	return s.Elements[i], true
}

// From gives the elements whose key is k or comes after it, in canonical order.
func (s *Set) From(k Key) iter.Seq[Element] {
	return func(yield func(Element) bool) {
		i, _ := slices.BinarySearchFunc(s.Elements, k, func(e Element, k Key) int { return e.Key.Compare(k) })
		for ; i < len(s.Elements) && yield(s.Elements[i]); i++ {
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
