package compiler

// smallestSize is the size of a static map with few elements. A power of two with room: growing past a size costs a
// change of the set, and the kernel spends 8 bytes a bucket.
const smallestSize = 1024

// setSizes gives every static hash its size. With one, the kernel picks a hash of fixed width, which fills 2.5 times as
// fast as the one that grows. Intervals are trees and have none.
func setSizes(st *state) {
	st.settle()
	for _, t := range st.rs.Tables {
		for _, s := range t.Sets {
			if !s.Interval && !s.Dynamic {
				s.Size = sizeFor(s.Elements.Len())
			}
		}
	}
}

// sizeFor is the smallest power of two that leaves a fifth of the set empty.
func sizeFor(n int) uint32 {
	size := smallestSize
	for size-size/5 < n {
		size *= 2
	}
	return uint32(size)
}
