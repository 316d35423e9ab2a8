package main

import (
	"context"
	"errors"
	"strings"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/state"
	"github.com/svcctl/svcctl/nft"
)

// smallTables is how many elements are read back as soon as anybody changed anything in the network namespace: it costs a
// few milliseconds, and then not even an element exchanged for another goes unnoticed. Larger tables are trusted when
// their digest, their rules and the number of elements in each set agree; "verify" reads them, too.
var smallTables = 20_000 // tests change it

// expectation is a ruleset that the kernel may have, because it was committed before or is about to be.
type expectation struct {
	ruleset    *graph.Ruleset
	generation uint32 // that the commit led to; 0: not known
}

// expect says that the kernel may have a ruleset: that of a record, or one that is about to be committed. Nil is none.
func (t *target) expect(r *state.Record, rs *graph.Ruleset) {
	switch {
	case rs == nil:
	case r == nil:
		t.expected = append(t.expected, expectation{rs, 0})
	default:
		t.expected = append(t.expected, expectation{rs, r.Generation})
	}
}

// observation is what is in the kernel.
type observation struct {
	survey     *nft.State // all but the elements
	ruleset    *graph.Ruleset
	generation uint32 // that the ruleset is of
	learnt     bool   // the ruleset has what the packet path learnt
	difference string // what spoke against the kernel having what was expected; "" for nothing
}

// survey reads our tables but for their elements. Tables of our name that svcctl did not write are a conflict, unless it is
// told to take them over.
func (t *target) survey(ctx context.Context) (*nft.State, error) {
	return t.ours(t.conn.Survey(ctx, t.cli.config.Table))
}

// read reads our tables, elements and all.
func (t *target) read(ctx context.Context) (*nft.State, error) {
	return t.ours(t.conn.Read(ctx, t.cli.config.Table))
}

func (t *target) ours(st *nft.State, err error) (*nft.State, error) {
	if err != nil {
		return nil, err
	}
	for _, table := range st.Ruleset.Tables {
		if table.Comment == compiler.TableComment || t.force {
			continue
		}
		return nil, conflictError("the table %s %s was not written by svcctl (it does not have the comment %q): "+
			"--force takes it over, --table names another", table.Family, table.Name, compiler.TableComment)
	}
	return st, nil
}

// observe gives what is in the kernel. Where it is what was expected, no element is read: the digest that a table carries
// was committed with its content, and nothing happened since (the generation is the same) or nothing that the rules and
// the number of elements would show.
func (t *target) observe(ctx context.Context) (*observation, error) {
	t.cli.phase("looking at the kernel's tables")
	st, err := t.survey(ctx)
	if err != nil {
		return nil, err
	}
	t.cli.log.Debug("surveyed the kernel", "generation", st.Generation, "tables", len(st.Ruleset.Tables))
	for _, what := range st.Unknown {
		if t.thorough || t.quiet {
			break // it is about to be named
		}
		t.cli.log.Warn("not of svcctl's making", "what", what)
	}
	t.foreign = st.Foreign
	known, difference := t.match(st)
	obs := &observation{survey: st, ruleset: known, generation: st.Generation, difference: difference}
	if known != nil && !t.thorough && (t.untouched(st) || st.Elements() > smallTables) {
		return obs, nil
	}
	if len(st.Ruleset.Tables) == 0 {
		obs.ruleset, obs.learnt = st.Ruleset, true
		return obs, nil
	}
	t.cli.phase("reading %s from the kernel", count(st.Elements(), "element", "elements"))
	all, err := t.read(ctx)
	switch {
	case err == nil:
		obs.ruleset, obs.generation, obs.learnt = all.Ruleset, all.Generation, true
	case known == nil || !errors.Is(err, nft.ErrConflict):
		return nil, err
	default:
		// Somebody is so busy with tables of their own that ours cannot be read in one piece. What was surveyed stands.
		t.cli.log.Info("the elements could not be read at rest; their number is right", "error", err)
	}
	return obs, nil
}

// match gives the expected ruleset that the kernel has, or what speaks against the one that was committed last.
func (t *target) match(st *nft.State) (known *graph.Ruleset, difference string) {
	for _, e := range t.expected {
		rs, err := st.With(e.ruleset, e.generation)
		if err == nil {
			return rs, ""
		}
		if e.generation != 0 {
			difference = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	}
	return nil, difference
}

// untouched reports whether nothing at all happened in the network namespace since an expected ruleset was committed.
func (t *target) untouched(st *nft.State) bool {
	for _, e := range t.expected {
		if e.generation == st.Generation {
			return true
		}
	}
	return false
}

// learn gives an observation what the packet path has learnt, if it has not been read, and reports whether there was any.
func (t *target) learn(ctx context.Context, obs *observation) (some bool, err error) {
	if obs.learnt || !obs.survey.MayHaveLearnt() {
		return false, nil
	}
	st, err := t.conn.ReadLearnt(ctx, t.cli.config.Table)
	if err != nil {
		return false, err
	}
	obs.learnt = true
	for _, table := range st.Ruleset.Tables {
		known := obs.ruleset.Table(table.Family)
		if known == nil {
			continue
		}
		for _, s := range table.Sets {
			if set := known.Set(s.Name); set != nil && set.Dynamic {
				set.Elements, set.Lifetimes = s.Elements, s.Lifetimes
			}
		}
	}
	return true, nil
}
