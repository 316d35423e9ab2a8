// Package golden holds the cases that say what svcctl makes of its input.
//
// golden/cases/NAME has the input, written by hand: manifests, config.yaml where the case needs one, and base/ where the
// case is a change. golden/want/NAME has the output in every format, written by `make golden` and read by people. The one
// test here runs them all; a file in want that no case makes is an error.
package golden

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sebdah/goldie/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/compiler/envvars"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/config"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/source"
	"github.com/svcctl/svcctl/render"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// result is everything that comes out of a case.
type result struct {
	name          string
	diags         diag.List
	model         *resolve.Model
	base, desired *graph.Ruleset // nil where the input is refused; base is nil where the case has none
	files         map[string][]byte
}

// pictured are the cases whose services are drawn.
var pictured = []string{"dual-stack", "local-policy", "many-endpoints", "review", "source-ranges", "weights"}

func TestCases(t *testing.T) {
	entries, err := os.ReadDir("cases")
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			r := run(t, e.Name())
			for _, name := range sortedNames(r.files) {
				path := filepath.Join(e.Name(), name)
				made[path] = true
				// The fixture directory is not goldie's to clean: a mistyped flag must not delete what people wrote.
				goldie.New(t, goldie.WithFixtureDir("want"), goldie.WithNameSuffix(""),
					goldie.WithDiffEngine(goldie.ColoredDiff)).Assert(t, path, r.files[name])
			}
			if r.desired != nil {
				t.Run("permuted", func(t *testing.T) { checkPermuted(t, r) })
				t.Run("kernel", func(t *testing.T) { checkKernel(t, r) })
			}
		})
	}
	if !t.Failed() {
		checkOrphans(t, made)
	}
}

func run(t *testing.T, name string) *result {
	t.Helper()
	dir := filepath.Join("cases", name)
	cfg := loadConfig(t, dir)
	r := &result{name: name, files: map[string][]byte{}}
	r.desired = r.compile(t, cfg, read(t, dir))
	var found bytes.Buffer
	for _, d := range r.diags {
		found.WriteString(d.String() + "\n")
	}
	if found.Len() > 0 {
		r.files["diagnostics.txt"] = found.Bytes()
	}
	if r.desired == nil {
		return r
	}
	r.write(t, "ruleset.nft", func(b *bytes.Buffer) error { return render.NFT(b, r.desired) })
	r.write(t, "ruleset.json", func(b *bytes.Buffer) error { return render.JSON(b, r.desired) })
	r.write(t, "ruleset.dot", func(b *bytes.Buffer) error { return render.DOT(b, r.desired) })
	if slices.Contains(pictured, name) {
		b := behaviour.Of(r.desired, nil)
		r.write(t, "services.svg", func(w *bytes.Buffer) error { return render.ServicesSVG(w, b) })
		r.write(t, "services.dot", func(w *bytes.Buffer) error { return render.ServicesDOT(w, b) })
	}
	r.write(t, "get.txt", func(b *bytes.Buffer) error { return writeTables(b, r.model) })
	r.write(t, "describe.txt", func(b *bytes.Buffer) error {
		return render.DescribeServices(b, r.model.Services, r.model.ServicePorts, nil)
	})
	r.names(t, cfg)
	r.write(t, "env.txt", func(b *bytes.Buffer) error { return writeEnv(b, r.model) })

	if base := filepath.Join(dir, "base"); exists(base) {
		b := &result{name: name}
		if r.base = b.compile(t, cfg, read(t, base)); r.base == nil {
			t.Fatalf("the base is refused: %v", b.diags)
		}
		p := plan.Diff(r.base, r.desired)
		d := behaviour.Compare(behaviour.Of(r.base, nil), behaviour.Of(r.desired, nil),
			plan.StaleFlows(p, r.base, r.desired, nil))
		r.write(t, "plan.txt", func(b *bytes.Buffer) error {
			return render.PlanText(b, p, render.PlanOptions{Observed: r.base, Desired: r.desired})
		})
		r.write(t, "plan.nft", func(b *bytes.Buffer) error { return render.PlanNFT(b, p) })
		r.write(t, "plan.json", func(b *bytes.Buffer) error { return render.PlanJSON(b, p, d, nil) })
		r.write(t, "review.txt", func(b *bytes.Buffer) error {
			return render.ReviewText(b, p, d, render.ReviewOptions{})
		})
		r.write(t, "summary.txt", func(b *bytes.Buffer) error {
			return render.ReviewText(b, p, d, render.ReviewOptions{Summary: true})
		})
		r.write(t, "review.md", func(b *bytes.Buffer) error {
			return render.ReviewMarkdown(b, p, d, render.ReviewOptions{})
		})
	}
	return r
}

// names writes the zones and the hosts file. Zones with nothing in them, of ranges that the configuration has, are left out.
func (r *result) names(t *testing.T, cfg config.Config) {
	t.Helper()
	zones, found := dns.Build(r.model, dns.Config{
		ClusterDomain: dns.DefaultClusterDomain, TTL: dns.DefaultTTL, NameServers: []dns.Name{dns.DefaultNameServer},
		ReverseCIDRs: slices.Concat(cfg.ServiceCIDRs, cfg.ClusterCIDRs),
	})
	zones.Zones = slices.DeleteFunc(zones.Zones, (*dns.Zone).Empty)
	r.write(t, "dns.zone", func(b *bytes.Buffer) error {
		for _, d := range found {
			b.WriteString("; " + d.String() + "\n")
		}
		for _, z := range zones.Zones {
			if err := render.Zone(b, z); err != nil {
				return err
			}
		}
		return nil
	})
	r.write(t, "hosts", func(b *bytes.Buffer) error { return render.Hosts(b, zones.Hosts) })
}

// writeTables writes all Services, their Endpoints and their EndpointSlices, as get -A -o wide does.
func writeTables(b *bytes.Buffer, m *resolve.Model) error {
	opts := render.TableOptions{
		AllNamespaces: true, Wide: true, WithKind: true,
		Now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), // ages must not depend on the day
	}
	var endpoints []*corev1.Endpoints
	var all []*discoveryv1.EndpointSlice
	for _, s := range m.Services {
		if e := render.Endpoints(s); e != nil {
			endpoints = append(endpoints, e)
		}
		for _, slice := range s.Slices {
			all = append(all, slice.EndpointSlice)
		}
	}
	for _, write := range []func(io.Writer) error{
		func(w io.Writer) error { return render.ServiceTable(w, m.Services, opts) },
		func(w io.Writer) error { return render.EndpointsTable(w, endpoints, opts) },
		func(w io.Writer) error { return render.EndpointSliceTable(w, all, opts) },
	} {
		var table bytes.Buffer
		if err := write(&table); err != nil {
			return err
		}
		if b.Len() > 0 && table.Len() > 0 {
			b.WriteByte('\n')
		}
		b.Write(table.Bytes())
	}
	return nil
}

// writeEnv writes the environment of every namespace, and what two Services claim there.
func writeEnv(b *bytes.Buffer, m *resolve.Model) error {
	namespace := ""
	for _, s := range m.Services {
		if s.Ref.Namespace == namespace {
			continue
		}
		namespace = s.Ref.Namespace
		fmt.Fprintf(b, "# namespace %s\n", namespace)
		variables, collisions := envvars.Of(m.Services, envvars.Options{Namespace: namespace, ServiceLinks: true})
		for _, c := range collisions {
			fmt.Fprintf(b, "# %s: %s and %s, which has it\n", c.Name, c.Loser, c.Winner)
		}
		if _, err := render.Env(b, "dotenv", variables); err != nil {
			return err
		}
	}
	return nil
}

// compile runs the phases. It gives nil where the input is refused.
func (r *result) compile(t *testing.T, cfg config.Config, sources []manifest.Source) *graph.Ruleset {
	t.Helper()
	bundle, found := manifest.Decode(sources, manifest.Options{})
	allocated, lacking := allocate.Allocate(bundle, cfg.Allocate(), nil)
	var more diag.List
	r.model, more = resolve.Resolve(allocated.Bundle, cfg.Resolve())
	r.diags = append(append(found, lacking...), more...)
	r.diags.Sort()
	if r.diags.HasErrors() {
		return nil
	}
	rs, err := compiler.Compile(r.model, cfg.Compiler())
	if err != nil {
		t.Fatal(err)
	}
	if err := graph.Check(rs); err != nil {
		t.Fatal(err)
	}
	return rs
}

func (r *result) write(t *testing.T, name string, f func(*bytes.Buffer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	r.files[name] = b.Bytes()
}

// checkPermuted compiles the case's documents in the reverse order, a file each: the same bytes must come out.
func checkPermuted(t *testing.T, r *result) {
	t.Helper()
	dir := filepath.Join("cases", r.name)
	bundle, _ := manifest.Decode(read(t, dir), manifest.Options{})
	sources := bundle.Sources()
	slices.Reverse(sources)
	again := &result{name: r.name}
	var was, is bytes.Buffer
	if err := render.NFT(&was, r.desired); err != nil {
		t.Fatal(err)
	}
	if err := render.NFT(&is, again.compile(t, loadConfig(t, dir), sources)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(was.Bytes(), is.Bytes()) {
		t.Errorf("another order of documents gives another ruleset:\n%s", is.String())
	}
	again.files = map[string][]byte{}
	again.names(t, loadConfig(t, dir))
	if names := again.files["dns.zone"]; !bytes.Equal(names, r.files["dns.zone"]) {
		t.Errorf("another order of documents gives other zones:\n%s", names)
	}
}

func checkOrphans(t *testing.T, made map[string]bool) {
	t.Helper()
	err := filepath.WalkDir("want", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if rel, _ := filepath.Rel("want", path); !made[rel] {
			t.Errorf("%s: no case makes this file; delete it", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// loadConfig reads the case's own configuration. The name of the node is fixed: goldens must not depend on the host.
func loadConfig(t *testing.T, dir string) config.Config {
	t.Helper()
	file := filepath.Join(dir, "config.yaml")
	if !exists(file) {
		file = "config.yaml"
	}
	cfg, err := config.Load(config.Source{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func read(t *testing.T, dir string) []manifest.Source {
	t.Helper()
	sources, err := source.Read(t.Context(), []string{dir}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(sources, func(s manifest.Source) bool {
		return slices.Contains([]string{"config.yaml", flowsName}, filepath.Base(s.Name))
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func sortedNames(files map[string][]byte) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
