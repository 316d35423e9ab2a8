package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
	"github.com/svcctl/svcctl/nft"
	"github.com/svcctl/svcctl/render"
)

// bench is one run: what to measure, and what came out.
type bench struct {
	svcctl                      string
	dir                         string
	services, endpoints, rounds int

	manifest, changed, text  string // paths: the workload, the same less one endpoint, and the first rendered
	ruleset, changedRuleset  *graph.Ruleset
	nft, commit              samples // nft -f of the rendered text; netlink commit of the compiled graph
	change                   samples // plan and commit of one endpoint less
	first, again, oneChanged samples // whole processes: svcctl apply
}

func (b *bench) run(ctx context.Context) error {
	if err := b.prepare(); err != nil {
		return err
	}
	for range b.rounds {
		if err := b.round(ctx); err != nil {
			return err
		}
	}
	b.report()
	return errors.Join(b.growth(), b.dns(ctx))
}

// prepare writes the inputs and compiles them once.
func (b *bench) prepare() error {
	var full bytes.Buffer
	if err := (workload.Workload{Services: b.services, Endpoints: b.endpoints}).WriteYAML(&full); err != nil {
		return err
	}
	// The first address of the workload: its endpoint is gone.
	one := bytes.Replace(full.Bytes(), []byte("- addresses: [10.0.0.1]\n  conditions: {ready: true}\n  nodeName: node-0\n"), nil, 1)
	b.manifest, b.changed = filepath.Join(b.dir, "full", "all.yaml"), filepath.Join(b.dir, "less", "all.yaml")
	var err error
	if b.ruleset, err = b.write(b.manifest, full.Bytes()); err != nil {
		return err
	}
	if b.changedRuleset, err = b.write(b.changed, one); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := render.NFT(&text, b.ruleset); err != nil {
		return err
	}
	b.text = filepath.Join(b.dir, "all.nft")
	return os.WriteFile(b.text, text.Bytes(), 0o600)
}

func (b *bench) write(path string, text []byte) (*graph.Ruleset, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	bundle, found := manifest.Decode([]manifest.Source{{Name: path, Data: text}}, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolve.Config{})
	if err := append(found, more...).Err(); err != nil {
		return nil, err
	}
	// The defaults of the command line, so that a process after the in-process commits finds nothing to change.
	return compiler.Compile(m, compiler.Config{
		Table: "svcctl", AffinityMapSize: 65536,
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")},
	})
}

// round measures everything once, each first load in a namespace of its own.
func (b *bench) round(ctx context.Context) error {
	byText, err := netlab.New(ctx, netlab.Options{})
	if err != nil {
		return err
	}
	defer byText.Close()
	if err := b.nft.process(ctx, byText.Node, "nft", "-f", b.text); err != nil {
		return err
	}
	byNetlink, err := netlab.New(ctx, netlab.Options{})
	if err != nil {
		return err
	}
	defer byNetlink.Close()
	if err := b.inProcess(ctx, byNetlink.Node); err != nil {
		return err
	}
	byProcess, err := netlab.New(ctx, netlab.Options{})
	if err != nil {
		return err
	}
	defer byProcess.Close()
	return b.processes(ctx, byProcess.Node)
}

// inProcess measures the way from the compiled graph to the kernel, and of one endpoint less.
func (b *bench) inProcess(ctx context.Context, ns *netlab.Namespace) error {
	c, err := nft.Open(ns.Path())
	if err != nil {
		return err
	}
	defer c.Close()
	err = b.commit.measure(func() error { return c.Commit(ctx, plan.Diff(&graph.Ruleset{}, b.ruleset), 0) })
	if err != nil {
		return err
	}
	return b.change.measure(func() error { return c.Commit(ctx, plan.Diff(b.ruleset, b.changedRuleset), 0) })
}

// processes measures svcctl as its users start it: the first apply, the same again, and one endpoint less.
func (b *bench) processes(ctx context.Context, ns *netlab.Namespace) error {
	state, err := os.MkdirTemp(b.dir, "state-")
	if err != nil {
		return err
	}
	apply := func(s *samples, path string) error {
		return s.process(ctx, ns, b.svcctl, "apply", "-f", path, "-o", "name",
			"--config", os.DevNull, "--state-dir", state, "--netns", ns.Path())
	}
	if err := apply(&b.first, b.manifest); err != nil {
		return err
	}
	if err := apply(&b.again, b.manifest); err != nil {
		return err
	}
	return apply(&b.oneChanged, b.changed)
}

func (b *bench) report() {
	fmt.Printf("%d Services × %d endpoints, median of %d rounds\n\n", b.services, b.endpoints, b.rounds)
	fmt.Println("| what | median | fastest–slowest | peak memory | ratio to `nft -f` | budget |")
	fmt.Println("|---|---|---|---|---|---|")
	row := func(what string, s *samples, budget string) {
		memory := "–"
		if s.memory > 0 {
			memory = fmt.Sprintf("%d MiB", s.memory>>20)
		}
		fmt.Printf("| %s | %s | %s–%s | %s | %.3f | %s |\n", what, round(s.median()), round(s.times[0]),
			round(s.times[len(s.times)-1]), memory, float64(s.median())/float64(b.nft.median()), budget)
	}
	b.nft.sort()
	for _, s := range []*samples{&b.commit, &b.change, &b.first, &b.again, &b.oneChanged} {
		s.sort()
	}
	row("`nft -f` of the rendered text", &b.nft, "1")
	row("plan and commit of the compiled graph", &b.commit, "≤ 0.2")
	row("plan and commit of one endpoint less", &b.change, "≤ 5 ms")
	row("`svcctl apply`, first", &b.first, "≤ 1.0, memory ≤ nft's")
	row("`svcctl apply`, again, unchanged", &b.again, "–")
	row("`svcctl apply`, one endpoint less", &b.oneChanged, "–")
}

func round(d time.Duration) time.Duration {
	if d > 100*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
