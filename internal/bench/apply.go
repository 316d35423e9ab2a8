package main

import (
	"context"
	"fmt"
	"os"

	"github.com/svcctl/svcctl/internal/netlab"
)

// The budgets of whole processes: the first apply against nft -f of the text that was rendered before, and an apply of one
// endpoint less against both.
const (
	firstToNFT  = 1.0
	lessToFirst = 0.25
	lessToNFT   = 0.3
)

// applyTimes is how long the processes take.
type applyTimes struct{ nft, first, again, less samples }

// applies measures svcctl as its users start it: the first apply, the same again, and one endpoint less.
func (b *bench) applies(ctx context.Context) error {
	times := table{head: []string{
		"Services × endpoints", "`nft -f`", "first", "to `nft -f`", "≤ 1.0",
		"again, unchanged", "one endpoint less", "to first", "≤ 0.25", "to `nft -f`", "≤ 0.3",
	}}
	memory := table{head: []string{
		"Services × endpoints", "`nft -f`", "first", "again, unchanged", "one endpoint less", "first ≤ nft's", "all ≤ nft's",
	}}
	cpu := table{head: []string{
		"Services × endpoints", "`nft -f`", "first", "again, unchanged", "one endpoint less", "first to `nft -f`", "less to first",
		"less to `nft -f`",
	}}
	for _, s := range b.workloads {
		note("apply: %s", s)
		a, err := b.applyTimes(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		first, lessFirst, lessNFT := a.first.ratio(&a.nft), a.less.ratio(&a.first), a.less.ratio(&a.nft)
		times.add(s.String(), a.nft.text(), a.first.text(), ratioText(first), b.atMost(first, firstToNFT),
			a.again.text(), a.less.text(), ratioText(lessFirst), b.atMost(lessFirst, lessToFirst),
			ratioText(lessNFT), b.atMost(lessNFT, lessToNFT))
		cpu.add(s.String(), short(median(a.nft.cpu)), short(median(a.first.cpu)), short(median(a.again.cpu)),
			short(median(a.less.cpu)), ratioText(a.first.cpuRatio(&a.nft)), ratioText(a.less.cpuRatio(&a.first)),
			ratioText(a.less.cpuRatio(&a.nft)))
		memory.add(s.String(), mib(a.nft.memory), mib(a.first.memory), mib(a.again.memory), mib(a.less.memory),
			b.verdict(a.first.memory <= a.nft.memory),
			b.verdict(max(a.first.memory, a.again.memory, a.less.memory) <= a.nft.memory))
	}
	times.print(b.out)
	fmt.Fprint(b.out, "Processor time, of all threads and in the kernel, which a busy machine makes worse but little:\n\n")
	cpu.print(b.out)
	fmt.Fprint(b.out, "Peak memory, the largest of all rounds:\n\n")
	memory.print(b.out)
	return nil
}

func (b *bench) applyTimes(ctx context.Context, s size) (*applyTimes, error) {
	full, err := b.manifests("services", s.workload())
	if err != nil {
		return nil, err
	}
	less, err := b.manifests("less", s.less())
	if err != nil {
		return nil, err
	}
	rs, err := compileWorkload(s.workload())
	if err != nil {
		return nil, err
	}
	changed, err := compileWorkload(s.less())
	if err != nil {
		return nil, err
	}
	text, err := b.rendered(rs)
	if err != nil {
		return nil, err
	}
	a := &applyTimes{}
	byNFT := func() error {
		return inLab(ctx, func(ns *netlab.Namespace) error { return a.nft.process(ctx, ns, "nft", "-f", text) })
	}
	bySvcctl := func() error {
		return inLab(ctx, func(ns *netlab.Namespace) error {
			state, err := os.MkdirTemp(b.dir, "state-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(state)
			apply := func(s *samples, path string) error {
				return s.process(ctx, ns, b.svcctl, applyArgs(ns, state, path)...)
			}
			if err := errIn("first", apply(&a.first, full), checkIn(ctx, ns, rs, false)); err != nil {
				return err
			}
			if err := errIn("again", apply(&a.again, full), checkIn(ctx, ns, rs, false)); err != nil {
				return err
			}
			return errIn("one endpoint less", apply(&a.less, less), checkIn(ctx, ns, changed, false))
		})
	}
	for round := range b.roundsFor(s) {
		ways := []func() error{byNFT, bySvcctl}
		for i := range ways {
			if err := ways[(i+round)%len(ways)](); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func applyArgs(ns *netlab.Namespace, state, path string) []string {
	return []string{
		"apply", "-f", path, "-o", "name", "--config", os.DevNull, "--state-dir", state, "--netns", ns.Path(),
	}
}
