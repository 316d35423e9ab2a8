// Package deptest holds the architecture as a test: which package may not know which other, and why. The linter says the
// same while one types; this says it where no linter is installed.
package deptest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/svcctl/svcctl/"

// forbidden lists, for the packages below a path of the module, what they may not import, directly or through others of
// our packages.
var forbidden = []struct {
	below, imports, because string
}{
	{"compiler/", "os/exec", "the compiler is pure"},
	{"compiler/", "golang.org/x/sys/unix", "the running kernel matters only to nft/"},
	{"compiler/", "github.com/google/nftables", "bytes of netlink belong to nft/"},
	{"compiler/", "github.com/mdlayher/netlink", "bytes of netlink belong to nft/"},
	{"compiler/", module + "render", "the compiler does not know how its results are shown"},
	{"compiler/", module + "nft", "the compiler does not know the kernel"},
	{"compiler/", module + "internal/", "the compiler stands alone"},
	{"compiler/graph", "k8s.io/", "a graph knows no Kubernetes types"},
	{"compiler/graph", module + "compiler/resolve", "a graph knows no model"},
	{"compiler/plan", "k8s.io/", "a plan knows no Kubernetes types"},
	{"compiler/plan", module + "compiler/resolve", "a plan knows no model"},
	{"compiler/behaviour", "k8s.io/", "behaviour is read from rules"},
	{"compiler/behaviour", module + "compiler/resolve", "behaviour is read from rules, not from what was asked for"},
	{"compiler/manifest", module + "compiler/resolve", "data flow one way"},
	{"compiler/manifest", module + "compiler/graph", "data flow one way"},
	{"compiler/resolve", module + "compiler/graph", "a model knows no rules"},
	{"compiler/resolve", module + "compiler/dns", "data flow one way"},
	{"compiler/dns", module + "compiler/graph", "names know no rules"},
	{"compiler/dns", "github.com/miekg/dns", "bytes of messages belong to internal/dnsserver"},
	{"compiler/graph", module + "compiler/dns", "a graph knows no names"},
	{"render", "github.com/miekg/dns", "zone files are written here; others' parser reads them in tests"},
	{"render", "github.com/prometheus/", "metrics are written here; others' parser reads them in tests"},
	{"render", module + "nft", "render and nft meet only in tests"},
	{"render", module + "internal/", "render takes everything as arguments"},
	{"nft", module + "render", "render and nft meet only in tests"},
	{"nft", module + "compiler/manifest", "nft knows graphs and plans only"},
	{"nft", module + "compiler/resolve", "nft knows graphs and plans only"},
	{"nft", "os/exec", "svcctl starts no nft binary"},
	{"internal/dnsserver", module + "compiler/graph", "names know no rules"},
	{"internal/dnsserver", module + "nft", "who answers queries does not touch the kernel's rules"},
	{"compiler/foreign", module + "compiler/graph", "others' rules are not svcctl's program"},
	{"compiler/foreign", module + "compiler/resolve", "rules know no manifests"},
	{"internal/preflight", module + "nft", "facts are found out elsewhere, and judged here"},
	{"internal/preflight", module + "internal/hostfacts", "facts are found out elsewhere, and judged here"},
	{"internal/preflight", module + "render", "a finding does not know how it is shown"},
	{"internal/preflight", "golang.org/x/sys/unix", "the judgement is pure"},
	{"internal/hostfacts", module + "render", "facts are no text"},
	{"cmd/", module + "internal/peer", "other people's programs are for tests"},
	{"cmd/", module + "internal/manual", "the program that is shipped does not write its manual"},
	{"internal/dnsserver", module + "render", "answers are made from records, not from their text"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	packages := listPackages(t)
	for _, p := range packages {
		rel := strings.TrimPrefix(p.ImportPath, module)
		for _, rule := range forbidden {
			if !strings.HasPrefix(rel, rule.below) {
				continue
			}
			for _, i := range ourClosure(packages, p.ImportPath) {
				if i.imported == rule.imports || strings.HasPrefix(i.imported, strings.TrimSuffix(rule.imports, "/")+"/") {
					t.Errorf("%s imports %s (through %s): %s", p.ImportPath, i.imported, i.by, rule.because)
				}
			}
		}
	}
}

// TestRulesMatchSomething keeps a renamed folder from switching its rules off.
func TestRulesMatchSomething(t *testing.T) {
	packages := listPackages(t)
	for _, rule := range forbidden {
		found := false
		for path := range packages {
			found = found || strings.HasPrefix(strings.TrimPrefix(path, module), rule.below)
		}
		if !found {
			t.Errorf("no package below %q", rule.below)
		}
	}
}

func listPackages(t *testing.T) map[string]goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string]goPackage{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

type imported struct{ by, imported string }

// ourClosure is everything that a package imports, itself and through packages of ours.
func ourClosure(packages map[string]goPackage, root string) []imported {
	var out []imported
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		for _, i := range packages[path].Imports {
			out = append(out, imported{path, i})
			visit(i)
		}
	}
	visit(root)
	return out
}
