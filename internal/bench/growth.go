package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/workload"
)

// growth measures how the cost of the pure phases grows with the number of Services, every feature mixed in.
type growth struct {
	services                 int
	decode, resolve, compile samples
	endpoints, chains, rules int
}

func (b *bench) growth() error {
	var rows []*growth
	for _, n := range []int{1000, 10_000, 100_000} {
		g := &growth{services: n, endpoints: n * b.endpoints}
		if err := g.run(b.endpoints, b.rounds); err != nil {
			return err
		}
		rows = append(rows, g)
	}
	fmt.Printf("\nPure phases, %d endpoints each, every feature mixed in, median of %d rounds\n\n", b.endpoints, b.rounds)
	fmt.Println("| Services | chains + rules | decode | resolve | compile | resolve + compile per 100,000 endpoints | ratio |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, g := range rows {
		fmt.Printf("| %d | %d | %s | %s | %s | %s | %.2f |\n", g.services, g.chains+g.rules, round(g.decode.median()),
			round(g.resolve.median()), round(g.compile.median()), round(g.per(100_000)),
			float64(g.per(100_000))/float64(rows[0].per(100_000)))
	}
	fmt.Println("\nThe budget is 100 ms per 100,000 endpoints after decoding; a ratio of 1 is linear growth.")
	return nil
}

// per gives the time of resolve and compile for a number of endpoints.
func (g *growth) per(endpoints int) time.Duration {
	return (g.resolve.median() + g.compile.median()) * time.Duration(endpoints) / time.Duration(g.endpoints)
}

func (g *growth) run(endpoints, rounds int) error {
	var text bytes.Buffer
	if err := (workload.Workload{Services: g.services, Endpoints: endpoints, Mixed: true}).WriteYAML(&text); err != nil {
		return err
	}
	for range rounds {
		if err := g.round(text.Bytes()); err != nil {
			return err
		}
	}
	for _, s := range []*samples{&g.decode, &g.resolve, &g.compile} {
		s.sort()
	}
	return nil
}

func (g *growth) round(text []byte) error {
	var bundle *manifest.Bundle
	if err := g.decode.measure(func() error {
		found, diags := manifest.Decode([]manifest.Source{{Name: "all.yaml", Data: text}}, manifest.Options{})
		bundle = found
		return diags.Err()
	}); err != nil {
		return err
	}
	// As the command line does: nearly all that these phases make stays until the end of the process.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var model *resolve.Model
	if err := g.resolve.measure(func() error {
		m, found := resolve.Resolve(bundle, resolve.Config{NodeName: "node-1"})
		model = m
		return found.Err()
	}); err != nil {
		return err
	}
	return g.compile.measure(func() error {
		rs, err := compiler.Compile(model, compiler.Config{Table: "svcctl", AffinityMapSize: 65536})
		if err != nil {
			return err
		}
		g.chains, g.rules = 0, 0
		for _, t := range rs.Tables {
			g.chains += len(t.Chains)
			for _, ch := range t.Chains {
				g.rules += len(ch.Rules)
			}
		}
		return nil
	})
}
