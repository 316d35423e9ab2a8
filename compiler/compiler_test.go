package compiler_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/workload"
)

var (
	resolveConfig  = resolve.Config{NodeName: "node-1"}
	compilerConfig = compiler.Config{
		Table: "svcctl", AffinityMapSize: 65536,
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/10")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")},
	}
)

// model resolves manifests that have to be right.
func model(tb testing.TB, text []byte) *resolve.Model {
	tb.Helper()
	bundle, found := manifest.Decode([]manifest.Source{{Name: "input.yaml", Data: text}}, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolveConfig)
	if err := append(found, more...).Err(); err != nil {
		tb.Fatal(err)
	}
	return m
}

func generate(tb testing.TB, l workload.Workload) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := l.WriteYAML(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func compile(tb testing.TB, m *resolve.Model) *graph.Ruleset {
	tb.Helper()
	rs, err := compiler.Compile(m, compilerConfig)
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

// The program is constant: the number of chains and rules depends on the shapes in use and not on the number of services.
func TestProgramDoesNotGrowWithServices(t *testing.T) {
	count := func(rs *graph.Ruleset) (chains, rules int) {
		for _, table := range rs.Tables {
			chains += len(table.Chains)
			for _, ch := range table.Chains {
				rules += len(ch.Rules)
			}
		}
		return chains, rules
	}
	var chains, rules int
	for i, services := range []int{100, 1000, 10_000} {
		rs := compile(t, model(t, generate(t, workload.Workload{Services: services, Endpoints: 3, Mixed: true})))
		c, r := count(rs)
		t.Logf("%d services: %d chains, %d rules", services, c, r)
		if i > 0 && (c != chains || r != rules) {
			t.Errorf("%d services: %d chains and %d rules, fewer services had %d and %d", services, c, r, chains, rules)
		}
		chains, rules = c, r
		if n := rs.Table(graph.IPv4).Set(graph.EndpointsMap).Elements.Len(); n < 3*services {
			t.Fatalf("%d services: only %d endpoints", services, n)
		}
	}
}

// Every pass leaves a graph that passes the check, and the passes that After sees are the ones that Passes lists.
func TestAfterSeesEveryPass(t *testing.T) {
	m := model(t, generate(t, workload.Workload{Services: 20, Endpoints: 6, Mixed: true}))
	var seen []string
	_, err := compiler.Compile(m, compilerConfig, compiler.After(func(pass string, rs *graph.Ruleset) {
		seen = append(seen, pass)
		if err := graph.Check(rs); err != nil {
			t.Errorf("after %s: %v", pass, err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, p := range compiler.Passes() {
		listed = append(listed, p.Name)
	}
	if d := cmp.Diff(listed, seen); d != "" {
		t.Errorf("listed (-), seen (+):\n%s", d)
	}
}

// Every element has an owner and a line, but for those of the configuration.
func TestEveryElementHasAnOrigin(t *testing.T) {
	configured := map[string]bool{"cluster-cidrs": true, "service-cidrs": true, "node-port-addresses": true}
	rs := compile(t, model(t, generate(t, workload.Workload{Services: 20, Endpoints: 6, Mixed: true})))
	for _, table := range rs.Tables {
		for _, s := range table.Sets {
			for e := range s.Elements.All() {
				if !configured[s.Name] && (e.Owner == nil || e.Owner.Service.Name == "" || e.Pos.Line == 0) {
					t.Errorf("%s %+v: owner %+v, place %s", s.Name, e.Key, e.Owner, e.Pos)
				}
			}
		}
		for _, ch := range table.Chains {
			if ch.Pass == "" {
				t.Errorf("chain %s: made by no pass", ch.Name)
			}
		}
	}
}

// FuzzCompile: whatever the input, if it is accepted it compiles to a graph that passes the check, and the same documents
// in another order compile to the same graph.
func FuzzCompile(f *testing.F) {
	cases, err := filepath.Glob("../golden/cases/*/*.yaml")
	if err != nil || len(cases) == 0 {
		f.Fatalf("no golden cases: %v", err)
	}
	for i, path := range cases {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), uint64(i))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		bundle, found := manifest.Decode([]manifest.Source{{Name: "a.yaml", Data: []byte(text)}}, manifest.Options{})
		m, more := resolve.Resolve(bundle, resolveConfig)
		if found.HasErrors() || more.HasErrors() {
			return
		}
		rs := compile(t, m)
		if err := graph.Check(rs); err != nil {
			t.Fatal(err)
		}
		sources := bundle.Sources()
		rand.New(rand.NewPCG(seed, seed)).Shuffle(len(sources), func(i, j int) {
			sources[i], sources[j] = sources[j], sources[i]
		})
		again, found := manifest.Decode(sources, manifest.Options{})
		if err := found.Err(); err != nil {
			t.Fatalf("its own sources are refused: %v", err)
		}
		m, more = resolve.Resolve(again, resolveConfig)
		if err := more.Err(); err != nil {
			t.Fatalf("another order is refused: %v", err)
		}
		if a, b := fingerprint(rs), fingerprint(compile(t, m)); a != b {
			t.Errorf("another order of documents gives another graph:\n%s", cmp.Diff(a, b))
		}
	})
}

// fingerprint writes down everything of a graph but where it came from.
func fingerprint(rs *graph.Ruleset) string {
	var b strings.Builder
	for _, table := range rs.Tables {
		for _, ch := range table.Chains {
			fmt.Fprintf(&b, "%s %s %+v %+v\n", table.Family, ch.Name, ch.Hook, ch.Rules)
		}
		for _, s := range table.Sets {
			fmt.Fprintf(&b, "%s %s %v %v %d\n", table.Family, s.Name, s.Key, s.Data, s.Size)
			for e := range s.Elements.All() {
				fmt.Fprintf(&b, "  %+v %+v\n", e.Key, e.Data)
			}
		}
	}
	return b.String()
}

func BenchmarkCompile(b *testing.B) {
	for _, services := range []int{100, 1000, 10_000} {
		m := model(b, generate(b, workload.Workload{Services: services, Endpoints: 10, Mixed: true}))
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				compile(b, m)
			}
		})
	}
}
