package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
	"github.com/svcctl/svcctl/nft"
)

// counters measures what counting costs: packets, commits, and reading what was counted.
func (b *bench) counters(ctx context.Context) error {
	if err := b.countedPackets(ctx); err != nil {
		return err
	}
	t := table{head: []string{
		"Services × endpoints", "plan and commit of everything", "counting", "ratio", "one endpoint replaced", "counting",
		"read what was counted",
	}}
	for _, s := range b.workloads {
		note("counters: %s", s)
		if err := b.countedCommits(ctx, s, &t); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	t.print(b.out)
	return nil
}

// countedPackets compares the first packet of a connection with and without counters.
func (b *bench) countedPackets(ctx context.Context) error {
	t := table{head: []string{"family", "Services in use", "first packet", "counting", "ratio"}}
	for _, stack := range []workload.Stack{workload.IPv4, workload.IPv6} {
		for _, services := range slices.Compact([]int{min(fewServices, b.packets.services), b.packets.services}) {
			note("counters: packets, %s, %d Services", stack, services)
			plain, counting, err := b.countedPair(ctx, stack, services)
			if err != nil {
				return err
			}
			t.add([...]string{"IPv4", "IPv6"}[stack], thousands(services),
				strconv.FormatInt(plain.perPacket().Nanoseconds(), 10)+" ns",
				strconv.FormatInt(counting.perPacket().Nanoseconds(), 10)+" ns", ratioText(counting.times.ratio(&plain.times)))
		}
	}
	t.print(b.out)
	return nil
}

func (b *bench) countedPair(ctx context.Context, stack workload.Stack, services int) (plain, counting *path, err error) {
	if plain, err = b.newPath(ctx, stack, layouts[0], services); err != nil {
		return nil, nil, err
	}
	defer plain.close()
	if counting, err = b.newPath(ctx, stack, layout{name: "counting", load: loadCounting}, services); err != nil {
		return nil, nil, err
	}
	defer counting.close()
	if err := sendSeries(ctx, []*path{plain, counting}, b.packets.rounds); err != nil {
		return nil, nil, err
	}
	return plain, counting, withConn(counting.Node, func(c *nft.Conn) error {
		return everyConnectionCounted(ctx, c, stack, uint64(b.packets.series))
	})
}

// everyConnectionCounted makes sure that what is measured counts: each series was seen to arrive in full.
func everyConnectionCounted(ctx context.Context, c *nft.Conn, stack workload.Stack, series uint64) error {
	read, err := c.ReadCounters(ctx, "svcctl", nil)
	if err != nil {
		return err
	}
	for _, t := range read.Tables {
		if (t.Family == graph.IPv6) != (stack == workload.IPv6) {
			continue
		}
		for _, set := range []string{graph.ServiceConnectionsSet, graph.EndpointConnectionsSet} {
			n := uint64(0)
			for _, e := range t.Sets[set] {
				n += e.Packets
			}
			if n == 0 || n%series != 0 {
				return fmt.Errorf("%s: %d connections were counted, in series of %d", set, n, series)
			}
		}
	}
	return nil
}

func loadCounting(ctx context.Context, ns *netlab.Namespace, w workload.Workload) error {
	rs, err := compileCounting(w)
	if err != nil {
		return err
	}
	return withConn(ns, func(c *nft.Conn) error { return commitAll(ctx, c, rs) })
}

func compileCounting(w workload.Workload) (*graph.Ruleset, error) {
	cfg := compileConfig()
	cfg.Counters = true
	return compileAs(w, cfg)
}

// countedCommits compares commits with and without counters, and reads the counters.
func (b *bench) countedCommits(ctx context.Context, s size, t *table) error {
	var everything [2]samples
	var one [2]updateTimes
	var read samples
	for i, compile := range []func(workload.Workload) (*graph.Ruleset, error){compileWorkload, compileCounting} {
		base, err := compile(s.workload())
		if err != nil {
			return err
		}
		replaced, err := compile(s.replaced())
		if err != nil {
			return err
		}
		for round := range b.roundsFor(s) {
			err := inLab(ctx, func(ns *netlab.Namespace) error {
				return withConn(ns, func(c *nft.Conn) error {
					if err := everything[i].measure(func() error { return commitAll(ctx, c, base) }); err != nil {
						return err
					}
					if err := b.replaceOnce(ctx, c, base, replaced, &one[i], round == 0); err != nil || i == 0 {
						return err
					}
					return read.measure(func() error {
						_, err := c.ReadCounters(ctx, "svcctl", base)
						return err
					})
				})
			})
			if err != nil {
				return err
			}
		}
	}
	t.add(s.String(), everything[0].text(), everything[1].text(), ratioText(everything[1].ratio(&everything[0])),
		one[0].both.text(), one[1].both.text(), read.text())
	return nil
}

// replaceOnce replaces an endpoint and takes it back, after once without a clock.
func (b *bench) replaceOnce(ctx context.Context, c *nft.Conn, base, replaced *graph.Ruleset, u *updateTimes, check bool) error {
	for _, warm := range []bool{true, false} {
		if err := u.make(ctx, c, base, replaced, warm); err != nil {
			return err
		}
		if err := u.make(ctx, c, replaced, base, warm); err != nil {
			return err
		}
	}
	return isThere(ctx, c, base, check && base.Tables[0].Set(graph.EndpointsMap).Elements.Len() <= 150_000)
}
