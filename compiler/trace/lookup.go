package trace

import (
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// lookup finds the element of a set that a key falls into, or nil.
func lookup(s *graph.Set, k graph.Key) *graph.Element {
	if !s.Interval {
		i, ok := search(s, k)
		if !ok {
			return nil
		}
		return &s.Elements[i]
	}
	// The ranges are disjoint and sorted: only the last one that begins at or before the key can hold it. An element with
	// the same beginning comes after the key, because its range has an end.
	i, _ := search(s, k)
	for _, j := range []int{i, i - 1} {
		if j >= 0 && j < len(s.Elements) && inRange(s.Elements[j].Key, k) {
			return &s.Elements[j]
		}
	}
	return nil
}

func search(s *graph.Set, k graph.Key) (int, bool) {
	return slices.BinarySearchFunc(s.Elements, k, func(e graph.Element, k graph.Key) int { return e.Key.Compare(k) })
}

// inRange reports whether a key falls into an element's range, which is of the key's last address.
func inRange(e, k graph.Key) bool {
	if k.Peer.IsValid() {
		return e.Addr == k.Addr && e.Proto == k.Proto && e.Port == k.Port && e.Slot == k.Slot &&
			!k.Peer.Less(e.Peer) && !e.RangeTo.Less(k.Peer)
	}
	return !k.Addr.Less(e.Addr) && !e.RangeTo.Less(k.Addr)
}
