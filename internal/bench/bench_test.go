package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
)

func TestMain(m *testing.M) {
	if command, ok := asChild(); ok {
		os.Exit(child(context.Background(), command))
	}
	os.Exit(netlab.Main(m.Run))
}

// The sections that need the kernel work, at sizes that say nothing about speed: every one checks what it measures, so
// that a section without an error has loaded, changed and sent what it says.
func TestSections(t *testing.T) {
	netlab.Start(t, netlab.Options{}) // or skip
	dir := t.TempDir()
	svcctl := filepath.Join(dir, "svcctl")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", svcctl, "../../cmd/svcctl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"commit", "update", "apply", "packets"} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			b := &bench{
				svcctl: svcctl, dir: dir, rounds: 1, out: &out,
				workloads: []size{{12, 3, workload.DualStack}},
				packets:   packetOptions{services: 20, rounds: 1, series: 256},
			}
			s, err := choose(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := s[0].run(b, t.Context()); err != nil {
				t.Fatal(err)
			}
			if b.met+b.missed == 0 || strings.Count(out.String(), "met") < b.met+b.missed {
				t.Errorf("want a verdict for every budget:\n%s", out.String())
			}
		})
	}
}

// A packet that is not translated does not go unnoticed.
func TestSeriesWithoutServices(t *testing.T) {
	netlab.Start(t, netlab.Options{}) // or skip
	x, err := newCrossing(t.Context(), workload.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	b := &bench{packets: packetOptions{series: 8}}
	w := workload.Workload{Services: 2, Endpoints: 2, UDP: true}
	if _, err := x.series(t.Context(), b.aim(workload.IPv4, w, false)); err == nil {
		t.Error("packets to Services that are not there count as arrived")
	}
}

func TestOperations(t *testing.T) {
	m, err := oneService()
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{10: 2 * operationsSamples, 14: 0} { // 14 endpoints fill 16 slots: one more takes 32
		c, err := operationsAt(m, n)
		if err != nil {
			t.Fatal(err)
		}
		if c.changes != want {
			t.Errorf("%d endpoints: %d changes, want %d", n, c.changes, want)
		}
		if c.changes > 0 && (c.endpoints < c.changes || c.all != c.endpoints+c.changes) {
			t.Errorf("%d endpoints: %+v; want one element of hairpin per change, and one of endpoints at least", n, c)
		}
	}
}

func TestDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	const page = "before\n<!-- one -->\n\nold\n\n<!-- /one -->\nafter\n<!-- two -->\n<!-- /two -->\n"
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	d := document(path)
	if err := d.replace("one", "new\n\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(page, "old", "new", 1); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := d.replace("three", "new"); err == nil {
		t.Error("a section without a place is written nowhere, and that is no error")
	}
}

// Every section has a place in the documentation.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"machine", "growth"}
	for _, s := range sections {
		names = append(names, s.name)
	}
	for _, name := range names {
		for _, comment := range []string{"<!-- %s -->", "<!-- /%s -->"} {
			if c := fmt.Sprintf(comment, name); strings.Count(string(page), c) != 1 {
				t.Errorf("docs/benchmarks.md does not have %q once", c)
			}
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{7: "7", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
