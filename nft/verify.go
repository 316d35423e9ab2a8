package nft

import (
	"context"
	"fmt"

	"github.com/svcctl/svcctl/compiler/graph"
)

// VerifyCounts compares the number of elements that the kernel has in each set with the ruleset that was committed. It
// costs as little as listing the sets. Dynamic sets are left out, and so are all on kernels that do not say how many
// elements a set has.
//
// The error is or wraps [*CountError] for the first set that differs.
func (c *Conn) VerifyCounts(ctx context.Context, rs *graph.Ruleset) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range rs.Tables {
		r := tableReader{conn: c, name: tableSubject{t.Family, t.Name}, table: &graph.Table{}, sets: map[string]*graph.Set{}}
		if err := r.readSets(ctx); err != nil {
			return fmt.Errorf("counting the elements of table %s: %w", r.name, err)
		}
		counts := make(map[string]int, len(r.counts))
		for i, s := range r.table.Sets {
			counts[s.Name] = r.counts[i]
		}
		for _, s := range t.Sets {
			got, ok := counts[s.Name]
			if !ok {
				return &CountError{Set: setSubject{r.name, s}.String(), Want: s.Elements.Len(), Got: -1}
			}
			if err := checkCount(t.Family, setSubject{r.name, s}, s, got); err != nil {
				return err
			}
		}
	}
	return nil
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
