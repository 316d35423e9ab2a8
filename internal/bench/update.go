package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
	"github.com/svcctl/svcctl/nft"
)

// The budgets of a change of one endpoint with the compiled graphs in hand, at 30,000 × 10: where the number of slots
// stays, and where it changes, so that a verdict does and the kernel checks all verdicts of the map again.
const (
	updateLimit       = 5 * time.Millisecond
	updateCommitLimit = time.Millisecond
	slotsLimit        = 15 * time.Millisecond
	slotsToFloor      = 1.2
	slotsServices     = 30_000 // the floor grows with their number: with more the time has no limit of its own
)

// updateRounds is how often each change is made and taken back.
const updateRounds = 15

// updateTimes are the times of one kind of change.
type updateTimes struct {
	what         string
	plan, commit samples
	both         samples
	elements     int // added and deleted in one transaction
	// floor, if not nil, is what the least change of a verdict took right after each of these changes.
	floor *samples
}

// updates measures planning and committing of one endpoint more, less or replaced.
func (b *bench) updates(ctx context.Context) error {
	t := table{head: []string{"Services × endpoints", "change", "elements", "plan", "commit", "both", "budget", "verdict"}}
	for _, s := range b.workloads {
		note("update: %s", s)
		if err := b.updateRows(ctx, s, &t); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	t.print(b.out)
	fmt.Fprint(b.out, "The floor is a bare batch that changes one verdict of the same map in the same kernel,\n"+
		"after each change and after making a plan as large.\n\n")
	return nil
}

func (b *bench) updateRows(ctx context.Context, s size, t *table) error {
	base, err := compileWorkload(s.workload())
	if err != nil {
		return err
	}
	kinds := []struct {
		back, forth string
		w           workload.Workload
		slots       bool
	}{
		{"added", "removed", s.less(), false},
		{"replaced", "replaced", s.replaced(), false},
		{"removed, fewer slots", "added, more slots", s.moreSlots(), true},
	}
	return inLab(ctx, func(ns *netlab.Namespace) error {
		return withConn(ns, func(c *nft.Conn) error {
			if err := commitAll(ctx, c, base); err != nil {
				return err
			}
			for _, k := range kinds {
				changed, err := compileWorkload(k.w)
				if err != nil {
					return err
				}
				forth, back := &updateTimes{what: k.forth}, &updateTimes{what: k.back}
				if k.slots {
					forth.floor, back.floor = &samples{}, &samples{}
				}
				if err := toAndFro(ctx, ns, c, s, base, changed, forth, back); err != nil {
					return err
				}
				if k.back == k.forth {
					forth.join(back)
					b.updateRow(t, s, forth)
					continue
				}
				b.updateRow(t, s, forth)
				b.updateRow(t, s, back)
			}
			return nil
		})
	})
}

// join adds the measurements of the same change the other way round.
func (u *updateTimes) join(o *updateTimes) {
	u.plan.times = append(u.plan.times, o.plan.times...)
	u.commit.times = append(u.commit.times, o.commit.times...)
	u.both.times = append(u.both.times, o.both.times...)
}

// toAndFro makes a change and takes it back, over and over. Where they have a floor, a verdict is barely changed after each.
func toAndFro(
	ctx context.Context, ns *netlab.Namespace, c *nft.Conn, s size, base, changed *graph.Ruleset, forth, back *updateTimes,
) error {
	// What a change of one endpoint allocates is little, and the collector would look through two whole rulesets.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for i := range updateRounds + 1 {
		warm := i == 0 // the first change meets what the commit of everything left to do
		if err := forth.make(ctx, c, base, changed, warm); err != nil {
			return fmt.Errorf("%s: %w", forth.what, err)
		}
		if err := forth.makeFloor(ns, s, base, changed, "random-8", "random-16", warm); err != nil {
			return err
		}
		if err := back.make(ctx, c, changed, base, warm); err != nil {
			return fmt.Errorf("%s: %w", back.what, err)
		}
		if err := back.makeFloor(ns, s, changed, base, "random-16", "random-8", warm); err != nil {
			return err
		}
	}
	return isThere(ctx, c, base, false)
}

// make plans and commits a change once.
func (u *updateTimes) make(ctx context.Context, c *nft.Conn, was, want *graph.Ruleset, warm bool) error {
	start := time.Now()
	p := plan.Diff(was, want)
	planned := time.Now()
	if err := c.Commit(ctx, p, 0); err != nil {
		return err
	}
	end := time.Now()
	if warm {
		return nil
	}
	n := p.Count()
	u.elements = n.ElementsAdded + n.ElementsDeleted
	u.plan.add(planned.Sub(start))
	u.commit.add(end.Sub(planned))
	u.both.add(end.Sub(start))
	return nil
}

// makeFloor sends the third Service to another chain, in each family by a batch of its own. A plan is made before it and
// thrown away, as one is before the commit that the floor is compared with: planning goes through both rulesets, and after it
// the kernel finds nothing of the map in the processor's caches.
func (u *updateTimes) makeFloor(
	ns *netlab.Namespace, s size, before, after *graph.Ruleset, was, now string, warm bool,
) error {
	if u.floor == nil {
		return nil
	}
	fd, err := batchSocket(ns, 1<<16)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing depends on how it ends
	plan.Diff(before, after)
	var took time.Duration
	for _, stack := range []workload.Stack{workload.IPv4, workload.IPv6} {
		if s.stack != stack && s.stack != workload.DualStack {
			continue
		}
		family := uint8(unix.NFPROTO_IPV4)
		if stack == workload.IPv6 {
			family = unix.NFPROTO_IPV6
		}
		batch, err := verdictChange(family, workload.ClusterIP(stack, 2).String()+" . tcp . 80", was, now)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := exchange(fd, batch); err != nil {
			return err
		}
		took += time.Since(start)
	}
	if !warm {
		u.floor.add(took)
	}
	return nil
}

func (b *bench) updateRow(t *table, s size, u *updateTimes) {
	both, commit := u.both.median(), u.commit.median()
	cells := []string{s.String(), u.what, strconv.Itoa(u.elements), u.plan.text(), u.commit.text(), u.both.text()}
	if u.floor == nil {
		t.add(append(cells, "both ≤ 5 ms, commit ≤ 1 ms", b.verdict(both <= updateLimit && commit <= updateCommitLimit))...)
		return
	}
	ratio := u.commit.ratio(u.floor)
	budget := fmt.Sprintf("commit ≤ 1.2 × the floor of %s: %s", short(u.floor.median()), ratioText(ratio))
	met := ratio <= slotsToFloor
	if s.services <= slotsServices {
		budget = "both ≤ 15 ms, " + budget
		met = met && both <= slotsLimit
	}
	t.add(append(cells, budget, b.verdict(met))...)
}
