package nft

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Survey reads what [Conn.Read] reads, but for the elements: the sets of the ruleset are empty. It costs the same however
// many elements there are, and [State.With] tells what they must be.
func (c *Conn) Survey(ctx context.Context, table string) (*State, error) {
	return c.read(ctx, table, quickAttempts, (*tableReader).readProgram)
}

// readProgram reads all but the elements.
func (r *tableReader) readProgram(ctx context.Context) error {
	return r.inTurn(ctx, r.readSets, r.readChains, r.readRules, r.readForeign)
}

func (r *tableReader) countsByName() map[string]int {
	counts := make(map[string]int, len(r.counts))
	for i, s := range r.table.Sets {
		counts[s.Name] = r.counts[i]
	}
	return counts
}

// With gives the ruleset of a survey with the elements of a ruleset that is known to have been committed. The error is
// joined of everything that speaks against the elements still being there: a table that does not carry the digest of the
// known one, a set that has another number of elements. Chains, rules and sizes are those that were surveyed, whatever
// is known of them.
//
// generation is the one that the commit of the known ruleset led to. Where it is still the current one nothing can have
// changed since. Where it is not, or 0 for not known, elements that somebody exchanged for as many others are not noticed:
// who must be sure reads them.
func (s *State) With(known *graph.Ruleset, generation uint32) (*graph.Ruleset, error) {
	untouched := generation != 0 && generation == s.Generation
	var doubts []error
	out := &graph.Ruleset{FixedSizes: s.Ruleset.FixedSizes}
	if len(known.Tables) != len(s.Ruleset.Tables) {
		doubts = append(doubts, fmt.Errorf("there are %d tables, and should be %d", len(s.Ruleset.Tables), len(known.Tables)))
	}
	for i, t := range s.Ruleset.Tables {
		filled := *t
		filled.Sets = nil
		want := known.Table(t.Family)
		if want == nil {
			doubts = append(doubts, fmt.Errorf("table %s should not be there", tableSubject{t.Family, t.Name}))
			continue
		}
		if err := sameDigest(t, want); err != nil {
			doubts = append(doubts, err)
		}
		for _, set := range t.Sets {
			with, err := s.fill(i, set, want.Set(set.Name), untouched)
			if err != nil {
				doubts = append(doubts, err)
			}
			filled.Sets = append(filled.Sets, with)
		}
		out.Tables = append(out.Tables, &filled)
	}
	return out, errors.Join(doubts...)
}

// fill gives a surveyed set the elements of a known one.
func (s *State) fill(table int, set, known *graph.Set, untouched bool) (*graph.Set, error) {
	with := *set // whoever adds what was learnt must not add it to the survey
	if set.Dynamic {
		return &with, nil
	}
	t := s.Ruleset.Tables[table]
	subject := setSubject{tableSubject{t.Family, t.Name}, set}
	got := s.counts[table][set.Name]
	switch {
	case known == nil:
		return &with, fmt.Errorf("%s should not be there", subject)
	case untouched:
	case got < 0: // older kernels have no NFTA_SET_COUNT
		return &with, fmt.Errorf("%s: the kernel does not say how many elements it has", subject)
	default:
		if err := checkCount(t.Family, subject, known, got); err != nil {
			return &with, err
		}
	}
	with.Elements = known.Elements
	return &with, nil
}

func sameDigest(t, known *graph.Table) error {
	name := tableSubject{t.Family, t.Name}
	digest, ok := t.Applied()
	want, stated := known.Applied()
	switch {
	case !ok || !stated:
		return fmt.Errorf("table %s does not say what was applied to it", name)
	case digest != want:
		return fmt.Errorf("table %s says that something else was applied to it", name)
	}
	return nil
}

// Same reports whether two surveys saw the same, whatever the packet path learnt in between and whatever became of other
// tables.
func (s *State) Same(o *State) bool {
	if !slices.Equal(s.Unknown, o.Unknown) || !reflect.DeepEqual(s.Ruleset, o.Ruleset) {
		return false
	}
	for i, t := range s.Ruleset.Tables { // the other has the same ones
		for _, set := range t.Sets {
			if !set.Dynamic && s.counts[i][set.Name] != o.counts[i][set.Name] {
				return false
			}
		}
	}
	return true
}

// Elements gives how many elements the static sets of the tables have, as far as the kernel says.
func (s *State) Elements() int {
	static, _ := s.count()
	return static
}

// MayHaveLearnt reports whether the packet path has put anything into the dynamic sets of the tables, or whether the kernel
// does not say.
func (s *State) MayHaveLearnt() bool {
	_, dynamic := s.count()
	return dynamic != 0
}

// count gives the numbers of elements in static and in dynamic sets; the latter is negative where it is not known.
func (s *State) count() (static, dynamic int) {
	for i, t := range s.Ruleset.Tables {
		for _, set := range t.Sets {
			switch n := s.counts[i][set.Name]; {
			case !set.Dynamic:
				static += max(n, 0)
			case n < 0 || dynamic < 0:
				dynamic = -1
			default:
				dynamic += n
			}
		}
	}
	return static, dynamic
}

// ReadLearnt gives what the packet path has learnt: the tables of a name with their dynamic sets, and the elements of
// these. Nothing else is in the tables. It need not be of one moment: the packet path does not wait.
func (c *Conn) ReadLearnt(ctx context.Context, table string) (*State, error) {
	return c.read(ctx, table, quickAttempts, func(r *tableReader, ctx context.Context) error {
		return r.inTurn(ctx, r.readSets, r.keepDynamic, r.readElements)
	})
}

// keepDynamic leaves out of the table all sets but those of the packet path.
func (r *tableReader) keepDynamic(context.Context) error {
	var (
		sets   []*graph.Set
		counts []int
	)
	for i, s := range r.table.Sets {
		if s.Dynamic {
			sets, counts = append(sets, s), append(counts, r.counts[i])
		}
	}
	r.table.Sets, r.counts = sets, counts
	return nil
}
