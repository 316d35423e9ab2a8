package differential

import (
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/trace"
)

// hashClients is how many clients, each with an address of its own, are followed.
const hashClients = 10_000

// TestSourceHash follows every client through the model and through the kernel, which have to name the same endpoint; and
// it counts whom an endpoint that leaves or joins moves.
func TestSourceHash(t *testing.T) {
	for _, f := range graph.Families {
		t.Run(f.String(), func(t *testing.T) {
			x := newFlood(t, f)
			for _, c := range changes {
				before, after := x.followHash(t, c.before), x.followHash(t, c.after)
				c.check(t, before, after)
			}
		})
	}
}

// hashChange is a change of the endpoints: weights as for crowdService, 0 for an endpoint that is not there.
type hashChange struct {
	name          string
	before, after []int
	// dealtAnew says that the number of slots changes, and with it everything.
	dealtAnew bool
}

var changes = []hashChange{
	{"one of 24 leaves", ones(24), without(ones(24), 7), false},
	{"a 24th joins", without(ones(24), 7), ones(24), false},
	{"one of 3 leaves", ones(3), without(ones(3), 0), false},
	{"a second joins", ones(1), ones(2), false},
	{"a 32nd joins", ones(31), ones(32), false},
	{"a 33rd joins, and 2,048 slots become 32,768", ones(32), ones(33), true},
}

func without(weights []int, i int) []int {
	weights[i] = 0
	return weights
}

// followHash gives the endpoint of every client, by the model and by the kernel.
func (x *flood) followHash(t *testing.T, weights []int) []netip.Addr {
	t.Helper()
	rs := crowdService(t, x.family, weights, true)
	if err := apply(t, x.conn, rs); err != nil {
		t.Fatal(err)
	}
	predicted := followModel(t, rs, x.family, hashClients)
	wrong := 0
	x.run(t, hashClients, crowdAddress(x.family), func(client int, endpoint netip.Addr) {
		if predicted[client] == endpoint {
			return
		}
		if wrong++; wrong == 1 {
			t.Errorf("client %s: the model says %s, the kernel %s", nth(crowd[x.family], client), predicted[client], endpoint)
		}
	})
	if wrong > 0 {
		t.Fatalf("%d of %d clients are not where the model says", wrong, hashClients)
	}
	return predicted
}

func followModel(t *testing.T, rs *graph.Ruleset, f graph.Family, clients int) []netip.Addr {
	t.Helper()
	out := make([]netip.Addr, clients)
	for i := range out {
		got := walkFrom(t, rs, nth(crowd[f], i), f)
		if len(got) != 1 || got[0].Fate != trace.Translated {
			t.Fatalf("client %d: %v", i, got)
		}
		out[i] = got[0].Dest.Addr()
	}
	return out
}

// check counts whom a change moves: the clients of an endpoint that leaves, and those that a new one takes. Nobody else.
func (c hashChange) check(t *testing.T, before, after []netip.Addr) {
	t.Helper()
	own, taken, strangers := 0, 0, 0
	left, joined := difference(before, after), difference(after, before)
	for i := range before {
		switch {
		case left[before[i]]:
			own++
		case before[i] == after[i]:
		case joined[after[i]]:
			taken++
		default:
			strangers++
		}
	}
	t.Logf("%s: of %d clients %d had lost theirs, %d went to the new one, %d others moved", c.name, len(before), own, taken, strangers)
	if strangers > 0 != c.dealtAnew {
		t.Errorf("%s: %d others moved", c.name, strangers)
	}
}

// difference gives the endpoints that have clients before and not after.
func difference(before, after []netip.Addr) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, a := range before {
		out[a] = true
	}
	for _, a := range after {
		delete(out, a)
	}
	return out
}

// TestSourceHashShares counts how the clients are shared out, by the model alone, which the test above has shown to be
// right: to a sixth about evenly, or by weight, as hash slots are dealt by chance.
func TestSourceHashShares(t *testing.T) {
	weighted := ones(8)
	weighted[3] = 4
	for _, weights := range [][]int{ones(2), ones(5), ones(10), weighted} {
		total, clients := 0, map[netip.Addr]int{}
		for _, w := range weights {
			total += w
		}
		for _, a := range followModel(t, crowdService(t, graph.IPv4, weights, true), graph.IPv4, hashClients) {
			clients[a]++
		}
		for i, w := range weights {
			got, want := float64(clients[nth(farm[graph.IPv4], i+1)]), float64(hashClients*w)/float64(total)
			t.Logf("endpoint %d of %d, weight %d of %d: %.0f clients, %.0f are its share", i+1, len(weights), w, total, got, want)
			if got < want*5/6 || got > want*7/6 {
				t.Errorf("endpoint %d of %v: %.0f clients, want about %.0f", i+1, weights, got, want)
			}
		}
	}
}
