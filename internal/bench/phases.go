package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/workload"
)

// The budget of resolving and compiling.
const purePer100000 = 100 * time.Millisecond

// growth is how the cost of the pure phases grows with the number of Services.
type growth struct {
	workload                 workload.Workload
	decode, resolve, compile samples
	chains, rules            int
}

// phases measures the pure phases with every feature mixed in, and counts the chains and rules that come out.
func (b *bench) phases(ctx context.Context) error {
	const endpoints = 10
	t := table{head: []string{
		"Services", "chains + rules", "the same as with 100", "decode", "resolve", "compile",
		"resolve + compile per 100,000 endpoints", "≤ 100 ms",
	}}
	program := 0
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		note("phases: %d", n)
		g := &growth{workload: workload.Workload{Services: n, Endpoints: endpoints, Mixed: true}}
		for range max(min(b.rounds, 3), 1) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := g.round(); err != nil {
				return err
			}
		}
		if program == 0 {
			program = g.chains + g.rules
		}
		per := (g.resolve.median() + g.compile.median()) * 100_000 / time.Duration(n*endpoints)
		pure := "–" // a hundred Services have the cost of the program itself, and no more to divide it by
		if n >= 1000 {
			pure = b.within(per, purePer100000)
		}
		t.add(thousands(n), fmt.Sprintf("%d + %d", g.chains, g.rules), b.verdict(g.chains+g.rules == program),
			g.decode.text(), g.resolve.text(), g.compile.text(), short(per), pure)
	}
	t.print(b.out)
	return nil
}

// round takes the workload through the phases once.
func (g *growth) round() (*graph.Ruleset, error) {
	var text bytes.Buffer
	if err := g.workload.WriteYAML(&text); err != nil {
		return nil, err
	}
	var bundle *manifest.Bundle
	if err := g.decode.measure(func() error {
		found, diags := manifest.Decode([]manifest.Source{{Name: "all.yaml", Data: text.Bytes()}}, manifest.Options{})
		bundle = found
		return diags.Err()
	}); err != nil {
		return nil, err
	}
	// As the command line does: nearly all that these phases make stays until the end of the process.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var model *resolve.Model
	if err := g.resolve.measure(func() error {
		m, found := resolve.Resolve(bundle, resolve.Config{NodeName: "node-1"})
		model = m
		return found.Err()
	}); err != nil {
		return nil, err
	}
	var rs *graph.Ruleset
	if err := g.compile.measure(func() (err error) {
		rs, err = compiler.Compile(model, compileConfig())
		return err
	}); err != nil {
		return nil, err
	}
	g.chains, g.rules = 0, 0
	for _, t := range rs.Tables {
		g.chains += len(t.Chains)
		for _, ch := range t.Chains {
			g.rules += len(ch.Rules)
		}
	}
	return rs, nil
}
