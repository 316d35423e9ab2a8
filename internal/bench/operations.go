package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/workload"
)

// The budget of element operations for one endpoint more or less, where the number of slots stays.
const (
	operationsAverage = 5
	operationsMost    = 16
)

const (
	operationsEndpoints = 1000
	operationsSamples   = 10 // of each number of endpoints
)

// operationCount is how many deletions and additions changes of one endpoint took.
type operationCount struct{ changes, endpoints, all, most int }

func (c *operationCount) average() float64 { return float64(c.endpoints) / float64(c.changes) }

func (c *operationCount) add(o operationCount) {
	c.changes += o.changes
	c.endpoints += o.endpoints
	c.all += o.all
	c.most = max(c.most, o.most)
}

// operations counts the element operations of the plan when one endpoint comes or goes, at every number of endpoints.
func (b *bench) operations(ctx context.Context) error {
	m, err := oneService()
	if err != nil {
		return err
	}
	counts := make([]operationCount, operationsEndpoints+1) // by number of endpoints before
	errs := make([]error, runtime.GOMAXPROCS(0))
	var next atomic.Int64
	var workers sync.WaitGroup
	for k := range errs {
		workers.Go(func() {
			for {
				n := int(next.Add(1)) + 1
				if n >= operationsEndpoints || errs[k] != nil || ctx.Err() != nil {
					return
				}
				counts[n], errs[k] = operationsAt(m, n)
			}
		})
	}
	workers.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return err
	}
	t := table{head: []string{
		"endpoints", "changes", "of the map `endpoints`: average", "worst average of one number of endpoints", "≤ 5",
		"most", "≤ 16", "average of all sets",
	}}
	for _, r := range [][2]int{{2, 10}, {10, 100}, {100, operationsEndpoints}} {
		var sum operationCount
		worst := 0.0
		for _, c := range counts[r[0]:r[1]] {
			if c.changes > 0 {
				sum.add(c)
				worst = max(worst, c.average())
			}
		}
		t.add(fmt.Sprintf("%d–%d", r[0], r[1]), fmt.Sprint(sum.changes), fmt.Sprintf("%.1f", sum.average()),
			fmt.Sprintf("%.1f", worst), b.verdict(worst <= operationsAverage),
			fmt.Sprint(sum.most), b.verdict(sum.most <= operationsMost),
			fmt.Sprintf("%.1f", float64(sum.all)/float64(sum.changes)))
	}
	t.print(b.out)
	return nil
}

// oneService gives the model of a single Service port.
func oneService() (*resolve.Model, error) {
	var text writer
	if err := (workload.Workload{Services: 1, Endpoints: 1}).WriteYAML(&text); err != nil {
		return nil, err
	}
	bundle, found := manifest.Decode([]manifest.Source{{Name: "one.yaml", Data: text}}, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolve.Config{})
	return m, append(found, more...).Err()
}

// writer is text in memory.
type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// operationsAt adds an endpoint to n and takes it away again, for different random endpoints. Where that changes the
// number of slots it counts nothing.
func operationsAt(m *resolve.Model, n int) (operationCount, error) {
	var c operationCount
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for range operationsSamples {
		more := randomEndpoints(r, n+1)
		gone := r.IntN(len(more))
		less := slices.Delete(slices.Clone(more), gone, gone+1)
		small, err := compileWith(m, less)
		if err != nil {
			return c, err
		}
		large, err := compileWith(m, more)
		if err != nil {
			return c, err
		}
		for _, p := range []*plan.Plan{plan.Diff(small, large), plan.Diff(large, small)} {
			if ops, sameSlots := operationsOf(p); sameSlots {
				c.add(ops)
			}
		}
	}
	return c, nil
}

func operationsOf(p *plan.Plan) (c operationCount, sameSlots bool) {
	c.changes = 1
	for i := range p.Tables {
		t := &p.Tables[i]
		for _, e := range t.Elements {
			n := e.Add.Len() + e.Del.Len()
			c.all += n
			switch e.Set.Name {
			case graph.EndpointsMap:
				c.endpoints += n
				c.most = max(c.most, n)
			case graph.ServicesMap:
				return c, false // another verdict: another number of slots
			}
		}
	}
	return c, true
}

// compileWith compiles the one Service port with other endpoints.
func compileWith(m *resolve.Model, endpoints []resolve.Endpoint) (*graph.Ruleset, error) {
	port := *m.ServicePorts[0]
	port.Cluster = endpoints
	with := *m
	with.ServicePorts = []*resolve.ServicePort{&port}
	return compiler.Compile(&with, compileConfig())
}

// randomEndpoints gives that many different endpoints, sorted.
func randomEndpoints(r *rand.Rand, n int) []resolve.Endpoint {
	seen := make(map[netip.AddrPort]bool, n)
	out := make([]resolve.Endpoint, 0, n)
	for len(out) < n {
		addr := netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		at := netip.AddrPortFrom(addr, 8080)
		if !seen[at] {
			seen[at] = true
			out = append(out, resolve.Endpoint{Addr: at, Weight: 1})
		}
	}
	slices.SortFunc(out, func(a, b resolve.Endpoint) int { return a.Addr.Compare(b.Addr) })
	return out
}
