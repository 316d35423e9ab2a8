package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/svcctl/svcctl/compiler/graph"
)

// VerifyCounts compares the number of elements that the kernel has in each set with the ruleset that was committed. It
// costs as little as listing the sets. Dynamic sets are left out, and so are all on kernels that do not say how many
// elements a set has.
//
// The error is or wraps [*CountError] for the first set that differs, or [ErrConflict] where the sets kept changing.
func (c *Conn) VerifyCounts(ctx context.Context, rs *graph.Ruleset) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range rs.Tables {
		table := tableSubject{t.Family, t.Name}
		counts, err := c.readCounts(ctx, table)
		if err != nil {
			return fmt.Errorf("counting the elements of table %s: %w", table, err)
		}
		for _, s := range t.Sets {
			got, ok := counts[s.Name]
			if !ok {
				return &CountError{Set: setSubject{table, s}.String(), Want: s.Elements.Len(), Got: -1}
			}
			if err := checkCount(t.Family, setSubject{table, s}, s, got); err != nil {
				return err
			}
		}
	}
	return nil
}

// readCounts gives the number of elements in each set of a table. What others change elsewhere meanwhile does not matter.
func (c *Conn) readCounts(ctx context.Context, table tableSubject) (map[string]int, error) {
	last := ErrConflict
	for range quickAttempts {
		r := tableReader{conn: c, name: table, table: &graph.Table{}, sets: map[string]*graph.Set{}}
		err := r.readSets(ctx)
		switch {
		case errors.Is(err, errNoAnswer):
			last = err
			continue
		case err != nil:
			return nil, err
		case r.changed:
			last = ErrConflict
			continue
		}
		return r.countsByName(), nil
	}
	return nil, last
}

// checkCount compares the elements that a static set should have with the number that the kernel gives.
func checkCount(f graph.Family, subject setSubject, want *graph.Set, got int) error {
	if want.Dynamic || sameCount(f, want, got) {
		return nil
	}
	return &CountError{Set: subject.String(), Want: want.Elements.Len(), Got: got}
}

// sameCount compares the elements that a set should have with the number that the kernel gives, -1 where it gives none.
// In a tree the kernel has two elements for a range, one for a range up to the last address, and gives half their sum.
func sameCount(f graph.Family, s *graph.Set, got int) bool {
	want := s.Elements.Len()
	if sh := shapeOf(f, s); sh.tree() {
		want *= 2
		for i := range s.Elements.Len() {
			key := s.Elements.KeyAt(i)
			if _, last := sh.bounds(&key); !last.Next().IsValid() {
				want--
			}
		}
		want /= 2
	}
	return got < 0 || got == want
}
