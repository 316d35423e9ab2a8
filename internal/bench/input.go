package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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

// size is a number of Services and of endpoints each, and their families.
type size struct {
	services, endpoints int
	stack               workload.Stack
}

func (s size) String() string {
	return fmt.Sprintf("%s × %d, %s", thousands(s.services), s.endpoints,
		[...]string{"IPv4", "IPv6", "dual stack"}[s.stack])
}

// elements is how many there are in the map of endpoints, of all families.
func (s size) elements() int {
	n := s.services * s.endpoints
	if s.stack == workload.DualStack {
		n *= 2
	}
	return n
}

// roundsFor is how often to measure a size: a large one takes long, and a single one of its times means more.
func (b *bench) roundsFor(s size) int {
	if s.elements() > 250_000 {
		return max(min(b.rounds, 3), 1)
	}
	return b.rounds
}

// thousands writes a number with a comma before every three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// parseSizes reads "10000x10/ipv4,…".
func parseSizes(list string) ([]size, error) {
	var out []size
	for word := range strings.SplitSeq(list, ",") {
		numbers, family, _ := strings.Cut(word, "/")
		services, endpoints, _ := strings.Cut(numbers, "x")
		var s size
		var errs [2]error
		s.services, errs[0] = strconv.Atoi(services)
		s.endpoints, errs[1] = strconv.Atoi(endpoints)
		known := false
		for _, stack := range []workload.Stack{workload.IPv4, workload.IPv6, workload.DualStack} {
			if family == stack.String() {
				s.stack, known = stack, true
			}
		}
		if errors.Join(errs[:]...) != nil || !known || s.services < 10 || s.endpoints < 1 {
			return nil, fmt.Errorf("workload %q: want SERVICES (10 or more), x, ENDPOINTS, and /ipv4, /ipv6 or /dual", word)
		}
		out = append(out, s)
	}
	return out, nil
}

// The first Services have these numbers of endpoints, whatever the others have. Ten may become nine or eleven in the same
// 16 slots; seven fill 8 slots to the limit, so that one more takes 16. The third keeps the chain of 8 slots in use.
const (
	someEndpoints = 10
	fullEndpoints = 7
)

// workload gives the manifests of a size.
func (s size) workload() workload.Workload {
	return workload.Workload{
		Services: s.services, Endpoints: s.endpoints, Stack: s.stack,
		First: []int{someEndpoints, fullEndpoints, fullEndpoints},
	}
}

// The workloads that differ from that of a size in one endpoint (one per family).
func (s size) less() workload.Workload      { return s.first(someEndpoints-1, fullEndpoints) }
func (s size) moreSlots() workload.Workload { return s.first(someEndpoints, fullEndpoints+1) }

func (s size) replaced() workload.Workload {
	w := s.workload()
	w.Replaced = true
	return w
}

func (s size) first(a, b int) workload.Workload {
	w := s.workload()
	w.First = []int{a, b, fullEndpoints}
	return w
}

// manifests writes a workload to a file.
func (b *bench) manifests(name string, w workload.Workload) (path string, err error) {
	var text bytes.Buffer
	if err := w.WriteYAML(&text); err != nil {
		return "", err
	}
	// Nothing of an earlier size stays behind.
	path = filepath.Join(b.dir, name+".yaml")
	return path, os.WriteFile(path, text.Bytes(), 0o600)
}

// compileConfig has the defaults of the command line.
func compileConfig() compiler.Config {
	return compiler.Config{
		Table: "svcctl", AffinityMapSize: 65536,
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")},
	}
}

// compileWorkload takes a workload through the pure phases.
func compileWorkload(w workload.Workload) (*graph.Ruleset, error) {
	return compileAs(w, compileConfig())
}

func compileAs(w workload.Workload, cfg compiler.Config) (*graph.Ruleset, error) {
	var text bytes.Buffer
	if err := w.WriteYAML(&text); err != nil {
		return nil, err
	}
	bundle, found := manifest.Decode([]manifest.Source{{Name: "workload.yaml", Data: text.Bytes()}}, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolve.Config{})
	if err := append(found, more...).Err(); err != nil {
		return nil, err
	}
	return compiler.Compile(m, cfg)
}

// rendered writes a ruleset as text for nft -f.
func (b *bench) rendered(rs *graph.Ruleset) (path string, err error) {
	var text bytes.Buffer
	if err := render.NFT(&text, rs); err != nil {
		return "", err
	}
	path = filepath.Join(b.dir, "all.nft")
	return path, os.WriteFile(path, text.Bytes(), 0o600)
}

// inLab gives a function a network namespace with nothing in it.
func inLab(ctx context.Context, f func(ns *netlab.Namespace) error) error {
	lab, err := netlab.New(ctx, netlab.Options{})
	if err != nil {
		return err
	}
	defer lab.Close()
	err = f(lab.Node)
	// Taking a large table down with its namespace would be work beside the next measurement.
	_, flushErr := lab.Node.Run(ctx, "", "nft", "flush", "ruleset")
	return errors.Join(err, flushErr)
}

// withConn gives a function a connection to the kernel.
func withConn(ns *netlab.Namespace, f func(c *nft.Conn) error) error {
	c, err := nft.Open(ns.Path())
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// commitAll puts a ruleset into a kernel that has nothing of it.
func commitAll(ctx context.Context, c *nft.Conn, rs *graph.Ruleset) error {
	return c.Commit(ctx, plan.Diff(&graph.Ruleset{}, rs), 0)
}

// isThere makes sure that the kernel has a ruleset: the number of elements of every set, and with thorough everything.
func isThere(ctx context.Context, c *nft.Conn, rs *graph.Ruleset, thorough bool) error {
	if err := c.VerifyCounts(ctx, rs); err != nil || !thorough {
		return err
	}
	st, err := c.Read(ctx, "svcctl")
	if err != nil {
		return err
	}
	if p := plan.Diff(st.Ruleset, rs); !p.Empty() {
		return fmt.Errorf("the kernel does not have what was committed: %+v", p.Count())
	}
	return nil
}
