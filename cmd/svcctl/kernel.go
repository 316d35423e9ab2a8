package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/nft"
)

// maxTries is how often a plan is made anew because somebody else changed nftables in the meantime.
const maxTries = 5

// target is the tables of ours in one network namespace.
type target struct {
	cli   *cli
	conn  *nft.Conn
	force bool // take over tables that are not ours
}

// openTarget connects to the kernel.
func (c *cli) openTarget(force bool) (*target, error) {
	conn, err := nft.Open(c.config.Netns)
	if err != nil {
		return nil, err
	}
	return &target{cli: c, conn: conn, force: force}, nil
}

// close ends the connection. Nothing depends on it any more, so a failure is only worth a line in the log.
func (t *target) close() {
	if err := t.conn.Close(); err != nil {
		t.cli.log.Debug("closing the connection to nftables", "error", err)
	}
}

// read reads our tables. Tables of our name that svcctl did not write are a conflict, unless it is told to take them over.
func (t *target) read(ctx context.Context) (*nft.State, error) {
	st, err := t.conn.Read(ctx, t.cli.config.Table)
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
	for _, what := range st.Unknown {
		t.cli.log.Warn("not of svcctl's making", "what", what)
	}
	t.cli.log.Debug("read the kernel", "generation", st.Generation, "tables", len(st.Ruleset.Tables))
	return st, nil
}

// planner makes a plan from what is in the kernel.
type planner func(observed *graph.Ruleset) *plan.Plan

// change is what a commit did.
type change struct {
	observed   *graph.Ruleset // before it
	plan       *plan.Plan
	generation uint32 // after it
}

// apply makes a plan and carries it out, once more from the start whenever somebody else was faster. With dryRun it stops
// before the kernel changes. An empty plan is not sent.
func (t *target) apply(ctx context.Context, decide planner, dryRun bool) (*change, error) {
	for try := 1; ; try++ {
		st, err := t.read(ctx)
		if err != nil {
			return nil, err
		}
		ch := &change{observed: st.Ruleset, plan: decide(st.Ruleset), generation: st.Generation}
		if ch.plan.Empty() || dryRun {
			return ch, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// From here on an interruption is too late: the transaction is one message, and its answer decides what is said
		// and recorded.
		err = t.commit(context.WithoutCancel(ctx), ch)
		if err == nil {
			return ch, nil
		}
		if !errors.Is(err, nft.ErrConflict) {
			return nil, refused(err)
		}
		t.cli.log.Info("nftables changed in the meantime, planning again", "try", try, "generation", st.Generation)
		if try == maxTries {
			return nil, fmt.Errorf("gave up after %d tries: %w", maxTries, err)
		}
	}
}

func (t *target) commit(ctx context.Context, ch *change) error {
	start := t.cli.env.now()
	if err := t.conn.Commit(ctx, ch.plan, ch.generation); err != nil {
		return err
	}
	n := ch.plan.Count()
	t.cli.log.Info("committed", "duration", t.cli.env.now().Sub(start), "tables", n.Tables, "chains", n.Chains,
		"elementsAdded", n.ElementsAdded, "elementsDeleted", n.ElementsDeleted)
	generation, err := t.conn.Generation(ctx)
	if err != nil {
		return err
	}
	ch.generation = generation
	return nil
}

// refused says whose part of the transaction the kernel refused, where that is known.
func refused(err error) error {
	var kernel *nft.KernelError
	if errors.As(err, &kernel) && kernel.Owner != nil {
		o := kernel.Owner
		return systemError("the kernel refused %s (%s): nothing was changed: %w", o.Service, o.Pos, err)
	}
	return err
}

// forgetGone removes remembered clients of endpoints that a change took away. The change did so for those it knew of;
// until it was committed the packet path went on learning, and after it nothing leads to these endpoints any more.
func (t *target) forgetGone(ctx context.Context, ch *change, desired *graph.Ruleset) error {
	if !removesEndpoints(ch.plan) || !remembers(desired) {
		return nil
	}
	stale := func(observed *graph.Ruleset) *plan.Plan { return plan.StaleAffinity(observed, desired) }
	after, err := t.apply(ctx, stale, false)
	if err != nil {
		return fmt.Errorf("forgetting the clients of endpoints that are gone: %w", err)
	}
	ch.generation = after.generation
	return nil
}

func removesEndpoints(p *plan.Plan) bool {
	for i := range p.Tables {
		for _, e := range p.Tables[i].Elements {
			if e.Set.Name == graph.EndpointsMap && len(e.Del) > 0 {
				return true
			}
		}
	}
	return false
}

// remembers reports whether some chain of the ruleset learns clients.
func remembers(rs *graph.Ruleset) bool {
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				for _, s := range r.Stmts {
					if _, ok := s.(graph.Update); ok {
						return true
					}
				}
			}
		}
	}
	return false
}
