package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
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
)

// updateRounds is how often each change is made and taken back.
const updateRounds = 15

// updateTimes are the times of one kind of change.
type updateTimes struct {
	what         string
	plan, commit samples
	both         samples
	elements     int // added and deleted in one transaction
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
	t.print()
	fmt.Print("The floor is a bare batch that changes one verdict of the same map, in the same kernel, in turn with the changes.\n\n")
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
				var floor *samples
				if k.slots {
					floor = &samples{}
				}
				if err := toAndFro(ctx, ns, c, s, base, changed, forth, back, floor); err != nil {
					return err
				}
				if k.back == k.forth {
					forth.join(back)
					b.updateRow(t, s, forth, floor)
					continue
				}
				b.updateRow(t, s, forth, floor)
				b.updateRow(t, s, back, floor)
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

// toAndFro makes a change and takes it back, over and over, and with floor changes a verdict barely in between.
func toAndFro(
	ctx context.Context, ns *netlab.Namespace, c *nft.Conn, s size, base, changed *graph.Ruleset,
	forth, back *updateTimes, floor *samples,
) error {
	// What a change of one endpoint allocates is little, and the collector would look through two whole rulesets.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for i := range updateRounds + 1 {
		warm := i == 0 // the first change meets what the commit of everything left to do
		if err := forth.make(ctx, c, base, changed, warm); err != nil {
			return fmt.Errorf("%s: %w", forth.what, err)
		}
		if err := back.make(ctx, c, changed, base, warm); err != nil {
			return fmt.Errorf("%s: %w", back.what, err)
		}
		if floor != nil {
			if err := bareVerdicts(ns, s, floor, warm); err != nil {
				return err
			}
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

// bareVerdicts sends the third Service elsewhere and back, once per family at a time.
func bareVerdicts(ns *netlab.Namespace, s size, floor *samples, warm bool) error {
	var batches [2][][]byte
	for _, stack := range []workload.Stack{workload.IPv4, workload.IPv6} {
		if s.stack != stack && s.stack != workload.DualStack {
			continue
		}
		family := uint8(unix.NFPROTO_IPV4)
		if stack == workload.IPv6 {
			family = unix.NFPROTO_IPV6
		}
		key := workload.ClusterIP(stack, 2).String() + " . tcp . 80"
		for way, verdicts := range [2][2]string{{"random-8", "random-16"}, {"random-16", "random-8"}} {
			batch, err := verdictChange(family, key, verdicts[0], verdicts[1])
			if err != nil {
				return err
			}
			batches[way] = append(batches[way], batch)
		}
	}
	fd, err := batchSocket(ns, 1<<16)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing depends on how it ends
	for _, way := range batches {
		var took time.Duration
		for _, batch := range way {
			start := time.Now()
			if err := exchange(fd, batch); err != nil {
				return err
			}
			took += time.Since(start)
		}
		if !warm {
			floor.add(took)
		}
	}
	return nil
}

func (b *bench) updateRow(t *table, s size, u *updateTimes, floor *samples) {
	both, commit := u.both.median(), u.commit.median()
	if floor == nil {
		t.add(s.String(), u.what, fmt.Sprint(u.elements), u.plan.text(), u.commit.text(), u.both.text(),
			"both ≤ 5 ms, commit ≤ 1 ms", b.verdict(both <= updateLimit && commit <= updateCommitLimit))
		return
	}
	ratio := float64(commit) / float64(floor.median())
	t.add(s.String(), u.what, fmt.Sprint(u.elements), u.plan.text(), u.commit.text(), u.both.text(),
		fmt.Sprintf("both ≤ 15 ms, commit ≤ 1.2 × the floor of %s: %s", short(floor.median()), ratioText(ratio)),
		b.verdict(both <= slotsLimit && ratio <= slotsToFloor))
}
