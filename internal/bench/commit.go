package main

import (
	"context"
	"fmt"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/nft"
)

// The budgets of a commit of everything: against nft -f of the rendered text, and against a bare batch.
const (
	commitToNFT  = 0.2
	commitToBare = 1.3
)

// commitTimes is how long three ways of putting the same ruleset into the kernel take.
type commitTimes struct{ nft, bare, commit samples }

// commits measures planning and committing of everything, beside nft -f of the rendered text and a bare batch.
func (b *bench) commits(ctx context.Context) error {
	t := table{head: []string{
		"Services × endpoints", "`nft -f`", "bare batch", "plan and commit", "to `nft -f`", "≤ 0.2", "to the batch", "≤ 1.3",
		"processor time to the batch",
	}}
	for _, s := range b.workloads {
		note("commit: %s", s)
		c, err := b.commitTimes(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		toNFT, toBare := c.commit.ratio(&c.nft), c.commit.ratio(&c.bare)
		t.add(s.String(), c.nft.text(), c.bare.text(), c.commit.text(),
			ratioText(toNFT), b.atMost(toNFT, commitToNFT), ratioText(toBare), b.atMost(toBare, commitToBare),
			ratioText(c.commit.cpuRatio(&c.bare)))
	}
	t.print(b.out)
	return nil
}

func (b *bench) commitTimes(ctx context.Context, s size) (*commitTimes, error) {
	rs, err := compileWorkload(s.workload())
	if err != nil {
		return nil, err
	}
	text, err := b.rendered(rs)
	if err != nil {
		return nil, err
	}
	bare, err := readBare(text)
	if err != nil {
		return nil, err
	}
	c := &commitTimes{}
	ways := []func(thorough bool) error{
		func(thorough bool) error {
			return inLab(ctx, func(ns *netlab.Namespace) error {
				return errIn("nft -f", c.nft.process(ctx, ns, "nft", "-f", text), checkIn(ctx, ns, rs, thorough))
			})
		},
		func(thorough bool) error {
			return inLab(ctx, func(ns *netlab.Namespace) error {
				return errIn("bare batch", bare.load(ctx, ns, &c.bare), checkIn(ctx, ns, rs, thorough))
			})
		},
		func(thorough bool) error {
			return inLab(ctx, func(ns *netlab.Namespace) error {
				return withConn(ns, func(conn *nft.Conn) error {
					err := c.commit.measure(func() error { return commitAll(ctx, conn, rs) })
					return errIn("commit", err, func() error { return isThere(ctx, conn, rs, thorough) })
				})
			})
		},
	}
	for round := range b.roundsFor(s) {
		// Everything is read back once, where that does not take longer than all else.
		thorough := round == 0 && s.elements() <= 150_000
		for i := range ways {
			if err := ways[(i+round)%len(ways)](thorough); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// checkIn is isThere with a connection of its own.
func checkIn(ctx context.Context, ns *netlab.Namespace, rs *graph.Ruleset, thorough bool) func() error {
	return func() error {
		return withConn(ns, func(c *nft.Conn) error { return isThere(ctx, c, rs, thorough) })
	}
}

// errIn runs a check unless there is an error already, and says where an error is from.
func errIn(what string, err error, check func() error) error {
	if err == nil {
		err = check()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
