package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/nft"
)

// host is a network namespace with a state directory, in which svcctl runs as a process of its own.
type host struct {
	t       *testing.T
	dir     string
	program string // the test's own, which is svcctl under that name
	conn    *nft.Conn
	states  map[string]*graph.Ruleset // what the manifests of a file compile to
	current string                    // the file that was applied last; "" for none
}

// newHost makes a host with a manifest per number of endpoints, from none to most.
func newHost(t *testing.T, most int) *host {
	t.Helper()
	if ok, err := haveNamespaces(); err != nil {
		t.Fatal(err)
	} else if !ok {
		t.Skipf("needs network namespaces: %s", os.Getenv(insideVariable))
	}
	if err := enterNamespace(); err != nil {
		t.Fatal(err)
	}
	conn, err := nft.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &host{t: t, dir: t.TempDir(), conn: conn, states: map[string]*graph.Ruleset{"": {}}}
	// A name of its own, and no symbolic link: a watchdog is started by it.
	h.program = filepath.Join(h.dir, "svcctl")
	self, err := os.Executable()
	if err == nil && os.Link(self, h.program) != nil { // on another file system
		var program []byte
		if program, err = os.ReadFile(self); err == nil {
			err = os.WriteFile(h.program, program, 0o700)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := range most + 1 {
		file := fmt.Sprintf("%d.yaml", n)
		h.write(file, manifestOf(n))
		h.states[file] = h.compiled(file)
	}
	return h
}

// manifestOf has three Services with n endpoints each, of three kinds.
func manifestOf(n int) string {
	var b bytes.Buffer
	for i, spec := range []string{
		"clusterIP: 10.96.0.1\n  ports: [{port: 80}]",
		"clusterIP: 10.96.0.2\n  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]",
		"clusterIP: 10.96.0.3\n  sessionAffinity: ClientIP\n  ports: [{port: 53, protocol: UDP}]",
	} {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec:\n  %s\n---\n", i, spec)
		proto := map[bool]string{true: "UDP", false: "TCP"}[i == 2]
		fmt.Fprintf(&b, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+
			"metadata: {name: s%d-1, labels: {kubernetes.io/service-name: s%d}}\naddressType: IPv4\n"+
			"ports: [{name: \"\", port: 8080, protocol: %s}]\nendpoints:\n", i, i, proto)
		for k := range n {
			fmt.Fprintf(&b, "- addresses: [10.1.%d.%d]\n", i, k+1)
		}
		if n == 0 {
			b.WriteString("  []\n")
		}
		b.WriteString("---\n")
	}
	return b.String()
}

func (h *host) write(file, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, file), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// svcctl gives the command, ready to start.
func (h *host) svcctl(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), h.program, args...)
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), "SVCCTL_STATE_DIR="+filepath.Join(h.dir, "state"), "SVCCTL_NODE_NAME=node-a",
		"SVCCTL_CONFIG="+os.DevNull, "SVCCTL_CHECK_HOST=false",
		// The race detector waits a second at the end of each process for others to report.
		"GORACE=atexit_sleep_ms=0")
	return cmd
}

// run runs the command and gives its exit code.
func (h *host) run(args ...string) (code int, output string) {
	h.t.Helper()
	out, err := h.svcctl(args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, string(out)
}

func (h *host) compiled(file string) *graph.Ruleset {
	h.t.Helper()
	if code, out := h.run("apply", "-f", file); code != exitDone {
		h.t.Fatalf("apply -f %s: exit code %d: %s", file, code, out)
	}
	rs := h.read()
	if code, out := h.run("delete", "--all"); code != exitDone {
		h.t.Fatalf("delete --all: exit code %d: %s", code, out)
	}
	return rs
}

func (h *host) read() *graph.Ruleset {
	h.t.Helper()
	for {
		st, err := h.conn.Read(h.t.Context(), "svcctl")
		if errors.Is(err, nft.ErrConflict) {
			continue
		}
		if err != nil {
			h.t.Fatal(err)
		}
		return st.Ruleset
	}
}

// mustBe makes sure that the kernel has exactly what one of the files says, and takes that for what is applied. Only chains
// that nothing refers to yet may be there besides.
func (h *host) mustBe(files ...string) {
	h.t.Helper()
	observed := h.read()
	for _, file := range files {
		if same(plan.Diff(observed, h.states[file])) {
			h.current = file
			return
		}
	}
	p := plan.Diff(observed, h.states[files[0]])
	h.t.Fatalf("the kernel has a state that is none of %q; to make it the first takes %+v", files, p.Count())
}

// same reports whether a plan only removes chains: those that come in a transaction before the rest.
func same(p *plan.Plan) bool {
	for i := range p.Tables {
		c := p.Tables[i]
		c.DelChains = nil
		if !(&plan.Plan{Tables: []plan.TableChange{c}}).Count().Zero() || c.Op != plan.Update {
			return false
		}
	}
	return true
}

// roundsOf gives how often to do something that is worth doing n times, a tenth of it where time is short.
func roundsOf(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// A svcctl that is killed at any moment leaves everything as it was or everything as it should be, and the next one
// finishes the work, record and all.
func TestKilled(t *testing.T) {
	rounds := roundsOf(500)
	h := newHost(t, 5)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	start := time.Now()
	if code, out := h.run("apply", "-f", "1.yaml"); code != exitDone {
		t.Fatalf("%d: %s", code, out)
	}
	latest := time.Since(start) // after which a kill comes
	h.mustBe("1.yaml")
	killed := 0
	for i := range rounds {
		file := fmt.Sprintf("%d.yaml", r.IntN(6))
		cmd := h.svcctl("apply", "-f", file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.Int64N(int64(latest))))
		_ = cmd.Process.Kill() // it may have ended
		if cmd.Wait() != nil {
			killed++
			latest += latest / 16
		} else {
			latest -= latest / 16 // the machine is faster than it was
		}
		h.mustBe(h.current, file)
		if i%5 != 0 {
			continue // and the next round is the next apply
		}
		if code, out := h.run("apply", "-f", file); code != exitDone {
			t.Fatalf("round %d: the next apply: exit code %d: %s", i, code, out)
		}
		h.mustBe(file)
		if code, out := h.run("verify"); code != exitDone || out != "" {
			t.Fatalf("round %d: verify: exit code %d: %s", i, code, out)
		}
	}
	t.Logf("%d of %d were killed before they ended", killed, rounds)
	if killed < rounds/5 {
		t.Errorf("only %d of %d were killed before they ended: the test proves little", killed, rounds)
	}
}

// A state directory that is lost, old, damaged or not to be trusted costs time, never correctness.
func TestStateDirectoryLies(t *testing.T) {
	h := newHost(t, 5)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	store, old := filepath.Join(h.dir, "state", "own", "svcctl"), filepath.Join(h.dir, "old")
	copied := func(from, to string) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
	}
	// files gives the paths below the store, in a random order.
	files := func() []string {
		var out []string
		for _, pattern := range []string{"*", "*/*"} {
			found, err := filepath.Glob(filepath.Join(store, pattern))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, found...)
		}
		r.Shuffle(len(out), func(i, k int) { out[i], out[k] = out[k], out[i] })
		return out
	}
	harm := map[string]func(){
		"lost":       func() { os.RemoveAll(store) },
		"old":        func() { copied(old, store) },
		"half of it": func() { f := files(); removeAll(f[:len(f)/2]) },
		"cut": func() {
			for _, f := range files()[:2] {
				if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
					_ = os.Truncate(f, info.Size()/2)
				}
			}
		},
		"flipped": func() {
			for _, f := range files()[:3] {
				if data, err := os.ReadFile(f); err == nil && len(data) > 0 {
					data[r.IntN(len(data))] ^= 1 << r.IntN(8)
					h.write(filepath.Join("state", "own", "svcctl", f[len(store):]), string(data))
				}
			}
		},
		"none": func() {},
	}
	names := []string{"lost", "old", "half of it", "cut", "flipped", "none"}
	for i := range roundsOf(60) {
		file, name := fmt.Sprintf("%d.yaml", r.IntN(6)), "none"
		if i > 0 {
			name = names[r.IntN(len(names))]
			harm[name]()
		}
		if code, out := h.run("apply", "-f", file); code != exitDone {
			t.Fatalf("round %d, state directory %s: exit code %d: %s", i, name, code, out)
		}
		if observed := h.read(); !plan.Diff(observed, h.states[file]).Empty() {
			t.Fatalf("round %d, state directory %s: the kernel is not what was applied: %+v",
				i, name, plan.Diff(observed, h.states[file]).Count())
		}
		if code, out := h.run("verify"); code != exitDone {
			t.Fatalf("round %d, state directory %s: verify: exit code %d: %s", i, name, code, out)
		}
		if i == 0 || r.IntN(4) == 0 {
			copied(store, old)
		}
	}
}

func removeAll(paths []string) {
	for _, p := range paths {
		os.RemoveAll(p)
	}
}

// busy is somebody who changes nftables a thousand times a second.
func (h *host) busy(ctx context.Context, change func(i int) *plan.Plan) (done <-chan int) {
	conn, err := nft.Open("")
	if err != nil {
		h.t.Fatal(err)
	}
	counted := make(chan int, 1)
	go func() {
		defer conn.Close()
		n := 0
		for tick := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-tick.C {
			if err := conn.Commit(context.WithoutCancel(ctx), change(n), 0); err == nil {
				n++
			}
		}
		counted <- n
	}()
	return counted
}

// table is somebody's own table, with a set that has one of two elements.
func otherTable(i int) *plan.Plan {
	set := &graph.Set{Name: "s", Key: []graph.Field{graph.PortField}}
	table := func(port int) *graph.Ruleset {
		s := *set
		if port >= 0 {
			s.Elements = graph.ElementsOf([]graph.Element{{Key: graph.Key{Port: uint16(port)}}})
		}
		return &graph.Ruleset{Tables: []*graph.Table{{Name: "other", Sets: []*graph.Set{&s}}}}
	}
	if i == 0 {
		return plan.Diff(&graph.Ruleset{}, table(0))
	}
	return plan.Diff(table(i-1), table(i))
}

// A thousand commits a second in somebody else's table: apply converges, or says that there is a conflict, and then nothing
// was changed.
func TestBusyWriter(t *testing.T) {
	h := newHost(t, 5)
	ctx, stop := context.WithCancel(t.Context())
	started := time.Now()
	commits := h.busy(ctx, otherTable)
	converged := 0
	rounds := roundsOf(40)
	for i := range rounds {
		file := fmt.Sprintf("%d.yaml", i%6)
		code, out := h.run("apply", "-f", file)
		switch code {
		case exitDone:
			converged++
			h.mustBe(file)
		case exitConflict:
			t.Logf("%s: %s", file, out)
			h.mustBe(h.current)
		default:
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	stop()
	n := <-commits
	t.Logf("%d of %d converged beside %.0f commits a second", converged, rounds, float64(n)/time.Since(started).Seconds())
	// The few of short mode are those of the race detector, with which svcctl may be too slow for every gap.
	if n == 0 || converged == 0 && !testing.Short() {
		t.Errorf("%d foreign commits, %d of %d converged", n, converged, rounds)
	}
	if code, out := h.run("apply", "-f", "0.yaml"); code != exitDone {
		t.Errorf("when it is quiet again: exit code %d: %s", code, out)
	}
	h.mustBe("0.yaml")
}

// Somebody who meddles with our own tables, and flushes everything now and then: no apply fails but by conflict, and once
// they stop, the next one converges.
func TestMeddler(t *testing.T) {
	h := newHost(t, 5)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	scripts := []string{
		"flush ruleset",
		"add rule ip svcctl dispatch counter",
		"add chain ip svcctl stranger",
		"add counter ip svcctl hits",
		"flush map ip svcctl endpoints",
		"flush map ip svcctl services",
		"add element ip svcctl cluster-ips { 10.96.9.9 }",
		"delete table ip6 svcctl",
		"flush chain ip svcctl dispatch",
	}
	for i := range roundsOf(60) {
		file := fmt.Sprintf("%d.yaml", r.IntN(6))
		meddling := exec.CommandContext(t.Context(), "nft", scripts[r.IntN(len(scripts))])
		cmd := h.svcctl("apply", "-f", file)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := errors.Join(cmd.Start(), meddling.Start()); err != nil {
			t.Fatal(err)
		}
		_ = meddling.Wait() // it may be refused: what it meddles with may be missing
		var exit *exec.ExitError
		if err := cmd.Wait(); errors.As(err, &exit) && exit.ExitCode() != exitConflict {
			t.Fatalf("round %d: %s: exit code %d: %s", i, meddling, exit.ExitCode(), out.String())
		}
		if i%3 != 0 {
			continue
		}
		if code, out := h.run("apply", "-f", file); code != exitDone {
			t.Fatalf("round %d: the next apply: exit code %d: %s", i, code, out)
		}
		if observed := h.read(); !plan.Diff(observed, h.states[file]).Empty() {
			t.Fatalf("round %d: the next apply did not converge: %+v", i, plan.Diff(observed, h.states[file]).Count())
		}
		if code, out := h.run("verify"); code != exitDone {
			t.Fatalf("round %d: verify: exit code %d: %s", i, code, out)
		}
	}
}
