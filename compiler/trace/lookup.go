package trace

import (
	"github.com/svcctl/svcctl/compiler/graph"
)

// lookup finds the element of a set that a key falls into, or nil.
func lookup(s *graph.Set, k graph.Key) *graph.Element {
	if !s.Interval {
		e, ok := s.Find(k)
		if !ok {
			return nil
		}
		return &e
	}
	// The ranges are disjoint and sorted: only the last one that begins at or before the key can hold it. An element with
	// the same beginning comes after the key, because its range has an end.
	i, _ := s.Elements.Search(k)
	for _, j := range []int{i, i - 1} {
		if j >= 0 && j < s.Elements.Len() && inRange(s.Elements.KeyAt(j), k) {
			e := s.Elements.At(j)
			return &e
		}
	}
	return nil
}

// inRange reports whether a key falls into an element's range, which is of the key's last address.
func inRange(e, k graph.Key) bool {
	if k.Peer.IsValid() {
		return e.Addr == k.Addr && e.Proto == k.Proto && e.Port == k.Port && e.Slot == k.Slot &&
			!k.Peer.Less(e.Peer) && !e.RangeTo.Less(k.Peer)
	}
	return !k.Addr.Less(e.Addr) && !e.RangeTo.Less(k.Addr)
}
