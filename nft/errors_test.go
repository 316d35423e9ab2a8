package nft

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/diag"
	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

func isConflict(err error) bool { return errors.Is(err, ErrConflict) }

func TestStaleGeneration(t *testing.T) {
	c := openPrivate(t)
	before, err := c.Generation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one, two := createPlan(plan.Create, programTable(g.IPv4)), createPlan(plan.Create, programTable(g.IPv6))
	if err := c.Commit(t.Context(), one, before); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(t.Context(), two, before); !isConflict(err) {
		t.Errorf("a stale generation: got %v, want a conflict", err)
	}
	s := read(t, c)
	if len(s.Ruleset.Tables) != 1 {
		t.Errorf("there are %d tables, want 1", len(s.Ruleset.Tables))
	}
	if err := c.Commit(t.Context(), two, s.Generation); err != nil {
		t.Errorf("the generation as read: %v", err)
	}
}

// TestKernelError breaks a large transaction at one place and wants just that place named.
func TestKernelError(t *testing.T) {
	owner := &g.Owner{Service: diag.Object{Kind: "service", Namespace: "demo", Name: "web"}}
	const bad = 2123
	const anywhere = "" // which of the jumps of a loop is at fault is the kernel's choice
	manyServices := func(w words, s *g.Set) {
		s.Elements = g.Elements{}
		for port := range uint16(3000) {
			s.Elements.Append(w.verdicts(verdictAt{"10.96.0.1", g.TCP, port, gotoChain("random-4")}).At(0))
		}
		s.Size = 4096
	}
	tests := []struct {
		name  string
		edit  func(w words, t *g.Table)
		errno unix.Errno
		what  string
		owned bool
	}{
		{"a chain that is not there", func(w words, t *g.Table) {
			s := t.Set("services")
			manyServices(w, s)
			editElement(s, bad, func(e *g.Element) { e.Data.Verdict.Chain, e.Owner = "nowhere", owner })
		}, unix.ENOENT, "ip svcctl map services element 10.96.0.1 . tcp . 2123", true},
		{"two data for a key", func(w words, t *g.Table) {
			s := t.Set("services")
			manyServices(w, s)
			editElement(s, bad, func(e *g.Element) {
				e.Key.Port, e.Data.Verdict, e.Owner = 17, g.Verdict{Op: g.Drop}, owner
			})
		}, unix.EEXIST, "ip svcctl map services element 10.96.0.1 . tcp . 17", true},
		{"a full set", func(w words, t *g.Table) {
			s := t.Set("services")
			manyServices(w, s)
			s.Size = bad
			editElement(s, bad, func(e *g.Element) { e.Owner = owner })
		}, unix.ENFILE, "ip svcctl map services element 10.96.0.1 . tcp . 2123", true},
		{"overlapping ranges", func(w words, t *g.Table) {
			t.Set("cluster-cidrs").Elements = w.ranges("10.1.0.0", "10.1.255.255", "10.1.1.2", "10.1.1.2")
		}, unix.EEXIST, "ip svcctl set cluster-cidrs element 10.1.1.2", false},
		{"a rule with a set that is not there", func(_ words, t *g.Table) {
			c := t.Chain("unserved")
			c.Owner = owner
			c.Rules[1] = rule(g.MatchSet{X: g.DestAddr, Set: "nowhere"})
		}, unix.ENOENT, "ip svcctl chain unserved rule 2", true},
		{"a set twice", func(_ words, t *g.Table) {
			t.Sets = append(t.Sets, &g.Set{Name: "hairpin", Key: []g.Field{g.AddrField}})
		}, unix.EEXIST, "ip svcctl set hairpin", false},
		{"a chain twice", func(_ words, t *g.Table) {
			t.Chains = append(t.Chains, &g.Chain{Name: "learn"})
		}, unix.EEXIST, "ip svcctl chain learn", false},
		{"a loop", func(_ words, t *g.Table) {
			t.Chain("learn").Rules = []g.Rule{rule(do(jumpChain("translated")))}
		}, unix.EMLINK, anywhere, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openPrivate(t)
			table := programTable(g.IPv4)
			tt.edit(words{family: g.IPv4}, table)
			err := c.Commit(t.Context(), createPlan(plan.Create, table), 0)
			var k *KernelError
			if !errors.As(err, &k) {
				t.Fatalf("got %v, want a KernelError", err)
			}
			if k.Errno != tt.errno || tt.what != anywhere && k.What != tt.what || (k.Owner == owner) != tt.owned {
				t.Errorf("got %v (owner %v), want %v at %s", err, k.Owner, tt.errno, tt.what)
			}
			if n := len(read(t, c).Ruleset.Tables); n != 0 {
				t.Errorf("there are %d tables after the refusal", n)
			}
		})
	}
}

// TestDeletionError deletes an element that is not there.
func TestDeletionError(t *testing.T) {
	c := openPrivate(t)
	table := programTable(g.IPv6)
	commit(t, c, createPlan(plan.Create, table))
	s := table.Set("endpoints")
	missing := s.Elements.At(5)
	missing.Key.Slot = 77
	err := c.Commit(t.Context(), &plan.Plan{Tables: []plan.TableChange{{
		Op: plan.Update, Family: g.IPv6, Name: "svcctl",
		Elements: []plan.ElementChange{{Set: s, Del: g.ElementsOf([]g.Element{s.Elements.At(0), missing, s.Elements.At(1)})}},
	}}}, 0)
	var k *KernelError
	if !errors.As(err, &k) || k.Errno != unix.ENOENT || !strings.HasSuffix(k.What, " . 77") {
		t.Errorf("got %v, want ENOENT at the element with slot 77", err)
	}
	if n := read(t, c).Ruleset.Table(g.IPv6).Set("endpoints").Elements.Len(); n != s.Elements.Len() {
		t.Errorf("%d elements are left of %d", n, s.Elements.Len())
	}
}

func TestPermission(t *testing.T) {
	enterPrivateNetns(t)
	// The thread ends with the test, and its capabilities with it.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &make([]unix.CapUserData, 2)[0]); err != nil {
		t.Fatal(err)
	}
	c, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := c.Read(t.Context(), "svcctl"); !errors.Is(err, ErrPermission) {
		t.Errorf("reading: got %v, want ErrPermission", err)
	}
	if err := c.Commit(t.Context(), createPlan(plan.Create, programTable(g.IPv4)), 0); !errors.Is(err, ErrPermission) {
		t.Errorf("committing: got %v, want ErrPermission", err)
	}
	if _, err := Open("/proc/1/ns/net"); !errors.Is(err, ErrPermission) {
		t.Errorf("entering the namespace of process 1: got %v, want ErrPermission", err)
	}
}

// TestBatchSize commits what is too large for an unprivileged socket.
func TestBatchSize(t *testing.T) {
	if os.Getenv(unprivilegedTest) == "" {
		inUserNamespaceRun(t)
		return
	}
	c := openPrivate(t)
	limit, err := os.ReadFile("/proc/sys/net/core/wmem_max")
	t.Logf("net.core.wmem_max %s %v", strings.TrimSpace(string(limit)), err)
	table := largeTable(200_000)
	err = c.Commit(t.Context(), createPlan(plan.Create, table), 0)
	var size *BatchSizeError
	if !errors.As(err, &size) || size.Bytes <= size.Limit {
		t.Fatalf("got %v, want a BatchSizeError", err)
	}
	commit(t, c, createPlan(plan.Create, largeTable(size.Limit/100)))
}

// unprivilegedTest marks a test that runs in a user namespace even for root.
const unprivilegedTest = "SVCCTL_NFT_TEST_UNPRIVILEGED"

// inUserNamespaceRun runs the calling test alone in a user namespace.
func inUserNamespaceRun(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inUserNamespace+"=1", unprivilegedTest+"=1")
	cmd.SysProcAttr = userNamespace()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in a user namespace: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("%s", out)
	}
}

func TestOpen(t *testing.T) {
	own := openPrivate(t)
	commit(t, own, createPlan(plan.Create, programTable(g.IPv4)))
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	// The test's own namespace by path, asked for from another thread, which is elsewhere.
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := "/proc/self/fd/" + itoa(int(f.Fd()))
	done := make(chan error)
	go func() {
		c, err := Open(path)
		if err == nil {
			var s *State
			if s, err = c.Read(t.Context(), "svcctl"); err == nil && len(s.Ruleset.Tables) != 1 {
				err = errors.New("the table is not there")
			}
			err = errors.Join(err, c.Close())
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// No other thread of the process stays in the namespace. The one that opened the socket ends a little later.
	for tries := 0; ; tries++ {
		others := threadsIn(t, here)
		if len(others) == 0 {
			break
		}
		if tries == 100 {
			t.Fatalf("threads %v are in %s", others, here)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := Open("svcctl-no-such-namespace"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a name that is not there: got %v", err)
	}
	runtime.KeepAlive(f)
}

// threadsIn gives the threads of the process that are in a network namespace, but for the calling one.
func threadsIn(t *testing.T, namespace string) []string {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var in []string
	for _, task := range tasks {
		ns, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && ns == namespace && task.Name() != itoa(unix.Gettid()) {
			in = append(in, task.Name())
		}
	}
	return in
}
