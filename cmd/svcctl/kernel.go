package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/nft"
)

// maxTries is how often a transaction is sent again because somebody else changed nftables in the meantime.
const maxTries = 20

// target is the tables of ours in one network namespace.
type target struct {
	cli       *cli
	conn      *nft.Conn
	committer committer
	force     bool // take over tables that are not ours
	// expected are the rulesets that the kernel may have, the most likely one first.
	expected []expectation
	thorough bool     // all elements are read, whatever is expected
	foreign  []string // what was found in our tables that no change of parts removes
	warned   bool     // about a kernel that has something else
	quiet    bool     // nothing is said about it
	// complete, if not nil, is told of every plan towards a ruleset, and may add to the ruleset what the plan shows it to
	// lack: the owners of elements. It reports whether it did.
	complete func(*plan.Plan) bool
}

// committer carries out plans: an [nft.Conn].
type committer interface {
	Commit(ctx context.Context, p *plan.Plan, generation uint32) error
}

// openTarget connects to the kernel.
func (c *cli) openTarget(force bool) (*target, error) {
	conn, err := nft.Open(c.config.Netns)
	if err != nil {
		return nil, c.netnsError(err)
	}
	return &target{cli: c, conn: conn, committer: conn, force: force}, nil
}

// close ends the connection. Nothing depends on it any more, so a failure is only worth a line in the log.
func (t *target) close() {
	if err := t.conn.Close(); err != nil {
		t.cli.log.Debug("closing the connection to nftables", "error", err)
	}
}

// planner makes a plan from what is in the kernel.
type planner func(observed *graph.Ruleset) *plan.Plan

// change is what a commit did.
type change struct {
	*observation                // before it
	observed     *graph.Ruleset // the ruleset of it
	plan         *plan.Plan
	generation   uint32 // after it
	flowsCut     int    // how many flows were cut after it or, before a commit, would be
}

// apply makes a plan and carries it out, once more whenever somebody else was faster. With dryRun it stops before the
// kernel changes. An empty plan is not sent.
//
// Where the answer to a commit is lost, observing the kernel tells whether it is in force: then there is nothing left to
// plan.
func (t *target) apply(ctx context.Context, decide planner, dryRun bool) (*change, error) {
	var d doubt
	tries := 0
	for {
		ch, err := t.plan(ctx, decide)
		if err != nil {
			return nil, d.addTo(err)
		}
		if ch.plan.Empty() || dryRun {
			return d.since(ch), nil
		}
		d.settle(ch)
		for tries++; ; tries++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			// From here on an interruption is too late: the transaction is one message, and its answer decides what is said
			// and recorded.
			err = t.commit(context.WithoutCancel(ctx), ch)
			if err == nil {
				return d.since(ch), nil
			}
			var (
				lost    *nft.LostAnswerError
				partial *nft.PartialError
			)
			switch {
			case errors.As(err, &lost):
				t.cli.log.Warn("the kernel's answer was lost, looking again", "try", tries, "generation", ch.generation, "error", err)
				d.arise(ch, lost)
			case errors.Is(err, nft.ErrConflict):
				t.cli.log.Info("nftables changed in the meantime, planning again", "try", tries, "generation", ch.generation)
			default:
				return nil, d.addTo(t.refused(err))
			}
			if tries >= maxTries {
				return nil, d.addTo(fmt.Errorf("gave up after %d tries: %w: \"nft monitor\" shows what", tries, err))
			}
			if d.change != nil || errors.As(err, &partial) {
				ctx = context.WithoutCancel(ctx) // that something was changed is not left behind unsaid
			}
			if lost != nil {
				break // and plan again
			}
			// Mostly somebody changed tables of their own. Then the plan is still right, and is sent at once: somebody who
			// does that a thousand times a second leaves no time to plan.
			if same, err := t.still(ctx, ch); err != nil {
				return nil, d.addTo(err)
			} else if !same {
				break // and plan again
			}
		}
	}
}

// converge makes the tables what a ruleset says, and does what has to follow. Where the commit was made but something after
// it failed, there is both a change and an error. tell, where given, says what the change is to every Service.
func (t *target) converge(
	ctx context.Context, desired *graph.Ruleset, dryRun bool, tell func(*change) []result,
) (*change, error) {
	ch, err := t.apply(ctx, t.towards(desired), dryRun)
	if err != nil {
		return ch, err
	}
	var told []result
	if tell != nil {
		told = tell(ch)
	}
	if dryRun {
		return ch, nil
	}
	t.cli.phase("checking what was committed")
	after := context.WithoutCancel(ctx) // the commit is made: what follows only tidies up and keeps the books
	var problems []error
	if !ch.plan.Empty() {
		problems = append(problems, t.checkCounts(after, ch, desired), t.forgetGone(after, ch, desired))
	}
	// The clients of endpoints that are gone are forgotten by now, or the next packet of a flow would go there again.
	problems = append(problems, t.cutFlows(after, ch, desired, told))
	if err = errors.Join(problems...); err != nil && !errors.Is(err, errMeddled) {
		err = systemError("the kernel has the new rules, but %w", err)
	}
	return ch, err
}

// errMeddled says that somebody changed our tables as soon as they were committed.
var errMeddled = errors.New("another program changed svcctl's tables right after the commit: \"svcctl verify\" names what")

// checkCounts makes sure that every set has as many elements as were committed: that some could be lost without an error
// has been seen in other programs.
func (t *target) checkCounts(ctx context.Context, ch *change, desired *graph.Ruleset) error {
	var count *nft.CountError
	err := t.conn.VerifyCounts(ctx, desired)
	if errors.Is(err, nft.ErrConflict) { // a set or table went away while they were listed
		return conflictError("%w: %w", errMeddled, err)
	}
	if !errors.As(err, &count) {
		return err
	}
	if now, generationErr := t.conn.Generation(ctx); generationErr == nil && now != ch.generation {
		return conflictError("%w: %w", errMeddled, err)
	}
	return err
}

// towards plans what makes the tables what a ruleset says. What no change of parts removes from a table goes with it.
func (t *target) towards(desired *graph.Ruleset) planner {
	decide := func(observed *graph.Ruleset) *plan.Plan {
		if len(t.foreign) > 0 {
			return plan.ReplaceAll(observed, desired)
		}
		return plan.Diff(observed, desired, t.local()...)
	}
	return func(observed *graph.Ruleset) *plan.Plan {
		p := decide(observed)
		if t.complete != nil && t.complete(p) {
			p = decide(observed)
		}
		return p
	}
}

// local gives the node's addresses. Without them the node is taken for a client from outside, and may lose the endpoint
// that is remembered for it: no reason to refuse an apply.
func (t *target) local() []netip.Addr {
	addrs, err := nft.LocalAddrs(t.cli.config.Netns)
	if err != nil {
		t.cli.log.Warn("the node's own addresses are not known", "error", err)
	}
	return addrs
}

// plan observes the kernel and makes a plan from what is there.
func (t *target) plan(ctx context.Context, decide planner) (*change, error) {
	obs, err := t.observe(ctx)
	if err != nil {
		return nil, err
	}
	if obs.difference != "" && !t.warned && !t.quiet {
		t.warned = true
		t.cli.notef("warning: the kernel does not have what was applied: %s", obs.difference)
	}
	ch := &change{observation: obs, observed: obs.ruleset, plan: decide(obs.ruleset), generation: obs.generation}
	if !removesEndpoints(ch.plan) && !replaces(ch.plan) {
		return ch, nil
	}
	// Clients that are remembered at what goes are forgotten in the same transaction, and a table that is made again keeps
	// the others.
	some, err := t.learn(ctx, obs)
	if err == nil && some {
		ch.plan = decide(obs.ruleset)
	}
	return ch, err
}

// still reports whether our tables are what the plan was made from, and moves it to the present generation.
func (t *target) still(ctx context.Context, ch *change) (bool, error) {
	st, err := t.survey(ctx)
	if err != nil {
		return false, err
	}
	ch.generation = st.Generation
	return st.Same(ch.survey), nil
}

func (t *target) commit(ctx context.Context, ch *change) error {
	start := t.cli.env.now()
	n := ch.plan.Count()
	t.cli.phase("committing %s to the kernel", count(n.ElementsAdded+n.ElementsDeleted, "element", "elements"))
	if err := t.committer.Commit(ctx, ch.plan, ch.generation); err != nil {
		return err
	}
	t.cli.log.Info("committed", "duration", t.cli.env.now().Sub(start), "tables", n.Tables, "chains", n.Chains,
		"elementsAdded", n.ElementsAdded, "elementsDeleted", n.ElementsDeleted)
	ch.generation = t.conn.After(ch.plan, ch.generation)
	return nil
}

// forgetGone removes remembered clients of endpoints that a change took away. The change did so for those it knew of;
// until it was committed the packet path went on learning, and after it nothing leads to these endpoints any more.
// Whether anything is learnt from now on does not matter: a Service that lost its last endpoint, and gets another one later,
// must not find its clients at the old one.
func (t *target) forgetGone(ctx context.Context, ch *change, desired *graph.Ruleset) error {
	if !removesEndpoints(ch.plan) || !remembers(ch.observed) {
		return nil
	}
	var err error
	for range maxTries {
		if err = t.forgetOnce(ctx, ch, desired); !errors.Is(err, nft.ErrConflict) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("forgetting the clients of endpoints that are gone: %w", err)
	}
	return nil
}

func (t *target) forgetOnce(ctx context.Context, ch *change, desired *graph.Ruleset) error {
	st, err := t.conn.ReadLearnt(ctx, t.cli.config.Table)
	if err != nil {
		return err
	}
	p := plan.StaleAffinity(st.Ruleset, desired, t.local()...)
	if p.Empty() {
		return nil
	}
	if err := t.committer.Commit(ctx, p, st.Generation); err != nil {
		return err
	}
	if st.Generation == ch.generation { // else somebody else was there in between, and it must not look as if nobody was
		ch.generation = t.conn.After(p, st.Generation)
	}
	return nil
}

// removesEndpoints reports whether a plan keeps some client from an endpoint that it may have had: because the endpoint
// goes, or because another chain chooses for its service.
func removesEndpoints(p *plan.Plan) bool {
	for i := range p.Tables {
		for _, e := range p.Tables[i].Elements {
			if (e.Set.Name == graph.EndpointsMap || e.Set.Name == graph.ServicesMap) && e.Del.Len() > 0 {
				return true
			}
		}
	}
	return false
}

func replaces(p *plan.Plan) bool {
	return slices.ContainsFunc(p.Tables, func(c plan.TableChange) bool { return c.Op == plan.Replace })
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
