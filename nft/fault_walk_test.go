package nft

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler"
	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// faultSteps is how many steps the walk with faults takes, unless SOAK says it (`make soak`).
const faultSteps = 120

// TestFaultWalk walks over random configurations while something goes wrong at nearly every step, at a random moment of it.
// Whatever it is, the kernel has either what it had or what was to come, never something else; the next commit, of a plan made
// anew, leads to what is wanted; and nothing is left behind, neither memory nor open files.
func TestFaultWalk(t *testing.T) {
	steps := faultSteps
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if steps, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("SOAK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SOAK_SEED=%d SOAK=%d", seed, steps)
	r := rand.New(rand.NewPCG(seed, 0))
	c, w := openFaulty(t)
	var before, after resources
	happened := map[string]int{}
	for i := range steps {
		switch i {
		case steps / 4: // everything has warmed up
			before = resourcesNow(t)
		case steps - 1:
			after = resourcesNow(t)
		}
		want, err := compiler.Compile(randomModel(r), compiler.Config{
			Table: "svcctl", AffinityMapSize: 1000, MasqueradeAll: r.IntN(2) == 0, Counters: r.IntN(3) > 0,
			ClusterCIDRs: []netip.Prefix{pods},
			ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")},
		})
		if err != nil {
			t.Fatal(err)
		}
		fault := walkFaults[r.IntN(len(walkFaults))]
		fault.arm(t, r, w)
		observed, err := c.Read(t.Context(), "svcctl")
		if err != nil {
			t.Fatalf("step %d, %s: reading: %v", i, fault.name, err)
		}
		p := plan.Diff(observed.Ruleset, want)
		if p.Empty() {
			w.onSend, w.onReceive = nil, nil
			continue
		}
		err = c.Commit(t.Context(), p, observed.Generation)
		w.onSend, w.onReceive = nil, nil
		if !fault.expected(err) {
			t.Fatalf("step %d, %s: %v", i, fault.name, err)
		}
		happened[fault.name]++
		now := read(t, c)
		there, unchanged := plan.Diff(now.Ruleset, want).Empty(), unusedChains(plan.Diff(now.Ruleset, observed.Ruleset))
		switch {
		case err == nil && !there:
			t.Fatalf("step %d, %s: committed, and the kernel has something else", i, fault.name)
		case !there && !unchanged:
			t.Fatalf("step %d, %s: the kernel has neither what it had nor what was to come", i, fault.name)
		case !there:
			commit(t, c, plan.Diff(now.Ruleset, want))
			if again := plan.Diff(read(t, c).Ruleset, want); !again.Empty() {
				t.Fatalf("step %d, after %s: still to do: %+v", i, fault.name, again.Count())
			}
		}
	}
	t.Logf("%v; at a quarter of the walk %+v, at the end %+v", happened, before, after)
	if len(happened) < len(walkFaults) {
		t.Errorf("something never happened: %v", happened)
	}
	if after.files > before.files || after.heap > before.heap+before.heap/2+(4<<20) {
		t.Errorf("something was left behind: %+v, at a quarter of the walk %+v", after, before)
	}
}

// unusedChains reports whether a plan does nothing but remove chains: those that come in a transaction before the rest, and
// that nothing leads to.
func unusedChains(p *plan.Plan) bool {
	for i := range p.Tables {
		c := p.Tables[i]
		c.DelChains = nil
		if c.Op != plan.Update || !(&plan.Plan{Tables: []plan.TableChange{c}}).Count().Zero() {
			return false
		}
	}
	return true
}

// resources are what a walk must give back.
type resources struct {
	files int
	heap  uint64
}

func resourcesNow(t *testing.T) resources {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return resources{len(entries), m.HeapAlloc}
}

// walkFault is what goes wrong on the wire during a step.
type walkFault struct {
	name string
	arm  func(t *testing.T, r *rand.Rand, w *faultyWire)
	// expected says whether an error of the commit is what it leads to.
	expected func(err error) bool
}

func succeeds(err error) bool { return err == nil }

func refusedWith(errno error) func(error) bool {
	return func(err error) bool { return errors.Is(err, errno) }
}

// readFault spoils what arrives at a random moment, once.
func readFault(f faultOf) walkFault {
	return walkFault{f.name, func(_ *testing.T, r *rand.Rand, w *faultyWire) {
		left := r.IntN(60)
		w.onReceive = func(d []byte) ([]byte, error) {
			if left--; left != 0 || !isDump(d) {
				return d, nil
			}
			return f.spoil(d)
		}
	}, succeeds}
}

// refusedBecause has the kernel refuse a random message of the transaction.
func refusedBecause(name string, errno unix.Errno, want error) walkFault {
	return walkFault{name, func(_ *testing.T, r *rand.Rand, w *faultyWire) { w.refuse(r.IntN(3), errno, 0) }, refusedWith(want)}
}

var walkFaults = []walkFault{
	{"nothing", func(*testing.T, *rand.Rand, *faultyWire) {}, succeeds},
	readFault(readFaults[0]), readFault(readFaults[1]), readFault(readFaults[2]), readFault(readFaults[3]),
	refusedBecause("no memory", unix.ENOMEM, unix.ENOMEM), refusedBecause("no room in a set", unix.ENFILE, unix.ENFILE), refusedBecause("no permission", unix.EPERM, ErrPermission),
	{"what is sent does not arrive", func(_ *testing.T, _ *rand.Rand, w *faultyWire) {
		w.onSend = func(d []byte) ([]byte, error) {
			if isBatch(d) {
				return nil, unix.ENOBUFS
			}
			return d, nil
		}
	}, refusedWith(unix.ENOBUFS)},
	{"the answer is lost", func(_ *testing.T, _ *rand.Rand, w *faultyWire) { w.loseAnswers() }, func(err error) bool {
		var lost *LostAnswerError
		return errors.As(err, &lost)
	}},
	{"another is faster", func(t *testing.T, _ *rand.Rand, w *faultyWire) {
		t.Helper()
		w.onSend = func(d []byte) ([]byte, error) {
			if isBatch(d) {
				w.onSend = nil
				other, err := Open("")
				if err != nil {
					return nil, err
				}
				defer other.Close()
				commit(t, other, createPlan(plan.Create, &g.Table{Name: "foreign"}))
				commit(t, other, &plan.Plan{Tables: []plan.TableChange{{Op: plan.Delete, Name: "foreign"}}})
			}
			return d, nil
		}
	}, func(err error) bool { return errors.Is(err, ErrConflict) }},
}
