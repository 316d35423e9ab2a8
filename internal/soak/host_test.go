package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/config"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/source"
	"github.com/svcctl/svcctl/nft"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// host is a network namespace with two builds of svcctl and a state directory.
type host struct {
	t        *testing.T
	ns       *netlab.Namespace
	conn     *nft.Conn
	dir      string
	programs [2]string
	setting  setting
	maxRSS   int64  // of any process that ended, in bytes
	checks   int    // how often the kernel was compared
	applies  int    // how many processes changed what is applied, or tried to
	exits    [5]int // how often they ended with each code
	killed   int
}

// setting is a configuration of svcctl, as variables for the processes and as what it means.
type setting struct {
	variables []string
	config    config.Config
}

// settings gives the configurations that the walk changes between.
func settings(t *testing.T) []setting {
	t.Helper()
	var out []setting
	for _, variables := range [][]string{
		{},
		{"SVCCTL_COUNTERS=true", "SVCCTL_CLUSTER_CIDRS=10.1.0.0/16"},
		{"SVCCTL_MASQUERADE_ALL=true", "SVCCTL_AFFINITY_MAP_SIZE=1000"},
	} {
		for _, name := range []string{"COUNTERS", "CLUSTER_CIDRS", "MASQUERADE_ALL", "AFFINITY_MAP_SIZE"} {
			t.Setenv("SVCCTL_"+name, "")
		}
		t.Setenv("SVCCTL_NODE_NAME", "node-1")
		for _, v := range variables {
			name, value, _ := strings.Cut(v, "=")
			t.Setenv(name, value)
		}
		cfg, err := config.Load(config.Source{File: os.DevNull})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, setting{variables, cfg})
	}
	return out
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, ns: netlab.Start(t, netlab.Options{}).Node, dir: t.TempDir()}
	// Two builds of the same source: who applies after another build must not take its word for what manifests mean.
	for i, flags := range []string{"", "-buildid=another"} {
		h.programs[i] = filepath.Join(h.dir, fmt.Sprintf("svcctl-%d", i))
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags="+flags, "-o", h.programs[i],
			"github.com/svcctl/svcctl/cmd/svcctl")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	var err error
	if err := h.ns.Do(func() error { h.conn, err = nft.Open(""); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.conn.Close() })
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) stateDir() string { return h.path("state") }

// environment is that of every process.
func (h *host) environment() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "SVCCTL_STATE_DIR=" + h.stateDir(), "SVCCTL_NODE_NAME=node-1",
		"SVCCTL_CONFIG=" + os.DevNull, "SVCCTL_LOCK_WAIT=60s",
	}, h.setting.variables...)
}

// command gives a command that starts in the namespace, once it is started there.
func (h *host) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), program, args...)
	cmd.Env, cmd.Dir = h.environment(), h.dir
	return cmd
}

func (h *host) start(cmd *exec.Cmd) {
	h.t.Helper()
	if err := h.ns.Do(cmd.Start); err != nil {
		h.t.Fatal(err)
	}
}

// wait waits for the end of a process, and gives its exit code, -1 for one that was killed.
func (h *host) wait(cmd *exec.Cmd) int {
	h.t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		h.maxRSS = max(h.maxRSS, usage.Maxrss<<10)
	}
	return cmd.ProcessState.ExitCode()
}

// run runs svcctl, and gives its exit code and all that it says.
func (h *host) run(build int, args ...string) (code int, output string) {
	h.t.Helper()
	var out bytes.Buffer
	cmd := h.command(h.programs[build], args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	h.start(cmd)
	code = h.wait(cmd)
	if slices.Contains([]string{"apply", "rollback", "delete", "verify", "confirm"}, args[0]) {
		h.count(code)
	}
	return code, out.String()
}

func (h *host) count(code int) {
	h.applies++
	if code < 0 {
		h.killed++
	} else {
		h.exits[code]++
	}
}

// must runs svcctl, which has to succeed.
func (h *host) must(build int, args ...string) {
	h.t.Helper()
	if code, out := h.run(build, args...); code != 0 {
		h.t.Fatalf("svcctl %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
}

// nft runs a script of nft. It may be refused: what it meddles with may not be there.
func (h *host) nft(script string) {
	h.t.Helper()
	cmd := h.command("nft", script)
	h.start(cmd)
	_ = h.wait(cmd)
}

// understand gives what manifests say, nil where they are wrong, and how much of it had to be allocated: by the functions and
// not by the program.
func (h *host) understand(paths ...string) (m *resolve.Model, allocated int) {
	h.t.Helper()
	sources, err := source.Read(h.t.Context(), paths, source.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	bundle, found := manifest.Decode(sources, manifest.Options{})
	result, lacking := allocate.Allocate(bundle, h.setting.config.Allocate(), nil)
	m, more := resolve.Resolve(result.Bundle, h.setting.config.Resolve())
	if found = append(append(found, lacking...), more...); found.HasErrors() {
		return nil, 0
	}
	return m, len(result.Assignments)
}

// compile gives the ruleset for manifests.
func (h *host) compile(paths ...string) *graph.Ruleset {
	h.t.Helper()
	m, _ := h.understand(paths...)
	if m == nil {
		h.t.Fatalf("%s: invalid", paths)
	}
	rs, err := compiler.Compile(m, h.setting.config.Compiler())
	if err != nil {
		h.t.Fatal(err)
	}
	return rs
}

func (h *host) read() *graph.Ruleset {
	h.t.Helper()
	for {
		st, err := h.conn.Read(context.WithoutCancel(h.t.Context()), "svcctl")
		if errors.Is(err, nft.ErrConflict) {
			continue
		}
		if err != nil {
			h.t.Fatal(err)
		}
		return st.Ruleset
	}
}

// has reports which of some rulesets the kernel has, -1 for none of them. Only chains that nothing refers to yet may be
// there besides, where begun says that a change may have stopped half-way.
func (h *host) has(begun bool, rulesets ...*graph.Ruleset) int {
	h.t.Helper()
	h.checks++
	observed := h.read()
	return slices.IndexFunc(rulesets, func(rs *graph.Ruleset) bool {
		p := plan.Diff(observed, rs)
		return p.Empty() || begun && onlyChains(p)
	})
}

// onlyChains reports whether a plan does nothing but remove chains: those that come in a transaction before the rest.
func onlyChains(p *plan.Plan) bool {
	for i := range p.Tables {
		c := p.Tables[i]
		c.DelChains = nil
		if c.Op != plan.Update || !(&plan.Plan{Tables: []plan.TableChange{c}}).Count().Zero() {
			return false
		}
	}
	return true
}
