package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/netlab"
)

// The environment variables of the test: how many configurations, and where the random numbers begin. 10,000 take more
// than the ten minutes that go test allows by itself: give it -timeout 1h.
const (
	countEnv = "SVCCTL_DIFFERENTIAL"
	seedEnv  = "SVCCTL_SEED"
)

const (
	defaultConfigurations = 200
	packetsEach           = 10
	// freshEvery is how often the listing is compared with that of a fresh namespace.
	freshEvery = 20
	// walkers share the configurations, each with a network of its own.
	walkers = 2
)

// TestDifferential walks from one random configuration to the next and sends packets through each: what the model says is
// what has to happen. On the way it checks that every change arrives at what was asked for, wherever it began.
//
// A failure names the seed of its walker: with that as [seedEnv] the first walker goes the same way, until the
// configuration of the same number. What packets do to it, where endpoints are drawn at random, is another time another.
func TestDifferential(t *testing.T) {
	configurations, seed := int(number(t, countEnv, defaultConfigurations)), number(t, seedEnv, rand.Uint64())
	t.Logf("%s=%d", seedEnv, seed)
	seen := &tally{counts: map[string]int{}}
	t.Run("walk", func(t *testing.T) {
		for i := range walkers {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				walk(t, seed+uint64(i), configurations/walkers, seen)
			})
		}
	})
	t.Logf("%d packets in %d configurations: %s", seen.total(), configurations, seen)
	if t.Failed() || configurations < defaultConfigurations {
		return
	}
	// What never came up was not compared.
	for _, what := range []string{
		"refused tcp", "refused udp", "refused sctp", "silent tcp", "silent udp", "silent sctp", "answered tcp", "answered udp",
		"answered sctp",
	} {
		if seen.counts[what] < configurations/50 {
			t.Errorf("%s: only %d packets", what, seen.counts[what])
		}
	}
}

func walk(t *testing.T, seed uint64, configurations int, seen *tally) {
	t.Helper()
	w, fresh := newWorld(t), netlab.Start(t, netlab.Options{})
	r := rand.New(rand.NewPCG(seed, 0))
	var before *scenario
	for i := range configurations {
		sc := generate(r)
		rs, err := sc.compile()
		if err != nil {
			t.Fatalf("configuration %d of seed %d is refused: %v\n%s", i, seed, err, sc)
		}
		if err := apply(t, w.conn, rs); err != nil {
			t.Fatalf("configuration %d of seed %d: %v\nfrom\n%s\nto\n%s", i, seed, err, before, sc)
		}
		found := w.exchange(t, rs, sc.shortestAffinity(), w.packets(r, rs, packetsEach), seen.add)
		if len(found) > 0 {
			w.report(t, fmt.Sprintf("configuration %d of seed %d", i, seed), before, sc, found)
			return
		}
		if i%freshEvery == freshEvery-1 {
			if err := w.sameAsFresh(t, fresh, rs); err != nil {
				t.Fatalf("configuration %d of seed %d: %v\n%s", i, seed, err, sc)
			}
		}
		before = sc
	}
}

// report shrinks the first disagreement and says all there is to know about it.
func (w *world) report(t *testing.T, what string, before, sc *scenario, found []disagreement) {
	t.Helper()
	for _, d := range found {
		t.Errorf("%s: %s", what, d)
	}
	// Before anything is changed: does it happen again, and does what got lost once get lost again?
	for range 3 {
		again := &trial{packet: found[0].packet, predicted: found[0].predicted}
		again.run(t.Context(), w)
		t.Logf("sent again at once: %s", again.answer)
	}
	small, d := w.shrink(t, sc, found[0].packet)
	if d == nil {
		t.Errorf("it does not happen again from an empty table, so it needs the change from\n%s\nto\n%s", before, sc)
		return
	}
	t.Errorf("the smallest case:\n%s\n%s", d, small)
}

func number(t *testing.T, env string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// tally counts packets by what came of them.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(p packet, is prediction) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[is.outcome.String()+" "+p.proto.String()]++
	if is.outcome != netlab.Answered {
		return
	}
	if is.endpoint == p.to {
		y.counts["of these untouched"]++
	}
	if !slices.Contains(is.sources, p.from) {
		y.counts["of these masqueraded"]++
	}
	if graph.IPv6.Of(p.from) {
		y.counts["of these IPv6"]++
	}
}

func (y *tally) total() int {
	n := 0
	for what, k := range y.counts {
		if !strings.HasPrefix(what, "of these") {
			n += k
		}
	}
	return n
}

func (y *tally) String() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(y.counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", what, y.counts[what]))
	}
	return strings.Join(parts, ", ")
}
