package main

import (
	"context"
	"fmt"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// The kernel decides about the first packet of a flow only: UDP and SCTP flows that lost their endpoint with a change go on
// into the void unless they are cut after it.

// staleFlows gives the flows that a change leaves behind. Services that say something else than before, or have other
// endpoints, be they used or not, have all their flows looked at: results, where it is known, says which these are.
func (t *target) staleFlows(
	ctx context.Context, ch *change, desired *graph.Ruleset, results []result,
) ([]plan.StaleFlow, error) {
	if some, err := t.conn.TracksFlows(ctx); err != nil || !some {
		return nil, err
	}
	changed := make(map[string]bool, len(results))
	for _, r := range results {
		changed[r.Namespace+"/"+r.Name] = r.Action != unchanged
	}
	isChanged := func(o *graph.Owner) bool { return changed[serviceKey(o.Service)] }
	return plan.StaleFlows(ch.plan, ch.observed, desired, isChanged), nil
}

// countFlows gives how many flows a change would cut.
func (t *target) countFlows(ctx context.Context, ch *change, desired *graph.Ruleset, results []result) (int, error) {
	stale, err := t.staleFlows(ctx, ch, desired, results)
	n := 0
	if err == nil {
		n, err = t.conn.CountFlows(ctx, stale)
	}
	if err != nil {
		return 0, fmt.Errorf("counting the flows that would be cut: %w", err)
	}
	return n, nil
}

// cutFlows cuts the flows that a change left behind, and notes how many there were. The commit is made.
func (t *target) cutFlows(ctx context.Context, ch *change, desired *graph.Ruleset, results []result) error {
	ctx = context.WithoutCancel(ctx)
	start := t.cli.env.now()
	t.cli.phase("cutting flows to endpoints that are gone")
	stale, err := t.staleFlows(ctx, ch, desired, results)
	if err == nil {
		ch.flowsCut, err = t.conn.DeleteFlows(ctx, stale)
	}
	if err != nil {
		return fmt.Errorf("flows to endpoints that are gone may go on: %w", err)
	}
	if len(stale) > 0 {
		t.cli.log.Info("cut flows", "duration", t.cli.env.now().Sub(start), "addresses", len(stale), "flows", ch.flowsCut)
	}
	return nil
}

// noteFlows says on standard error that flows were cut.
func (c *cli) noteFlows(n int) {
	if n > 0 {
		c.notef("cut %s", flowsText(n))
	}
}

// printFlows says on standard output that flows would be cut.
func (c *cli) printFlows(n int) {
	if n > 0 {
		c.printf("%s would be cut\n", flowsText(n))
	}
}

func flowsText(n int) string {
	if n == 1 {
		return "1 stale flow (UDP or SCTP)"
	}
	return fmt.Sprintf("%d stale flows (UDP or SCTP)", n)
}
