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
	// strangers is the part of all clients that may move from one endpoint that stays to another one. Few do as long as the
	// number of slots stays: when an endpoint takes a better slot, or leaves it to another. Where it doubles most do, because
	// an endpoint still has one slot: half of the clients who drew it now draw an empty one, and draw again.
	strangers float64
}

var changes = []hashChange{
	{"one of 24 leaves, 32 slots stay", ones(24), without(ones(24), 7), 0.05},
	{"a 24th joins, 32 slots stay", without(ones(24), 7), ones(24), 0.05},
	{"a 29th joins, 32 slots become 64", ones(28), ones(29), 0.65},
	{"one of 29 leaves, 64 slots become 32", ones(29), ones(28), 0.65},
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

// check counts whom a change moves: the clients of an endpoint that leaves have to, those that a new one takes may; of the
// others nearly all stay.
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
	if limit := int(c.strangers * float64(len(before))); strangers > limit {
		t.Errorf("%s: %d others moved, want at most %d", c.name, strangers, limit)
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

// TestSourceHashMoves counts the same over many endpoints that can leave, by the model alone, which the test above has
// shown to be right.
func TestSourceHashMoves(t *testing.T) {
	const leavers, clients = 12, 2000
	for _, n := range []int{12, 24, 50, 100, 400} {
		full := followModel(t, crowdService(t, graph.IPv4, ones(n), true), graph.IPv4, clients)
		var own, strangers, worst int
		for leaver := range leavers {
			after := followModel(t, crowdService(t, graph.IPv4, without(ones(n), leaver), true), graph.IPv4, clients)
			a := nth(farm[graph.IPv4], leaver+1)
			moved := 0
			for i := range full {
				switch {
				case full[i] == a:
					own++
				case full[i] != after[i]:
					moved++
				}
			}
			strangers += moved
			worst = max(worst, moved)
		}
		// By how much others move beyond those who have to is what the slots cost; it is bounded, on average by about as
		// many again.
		if 2*strangers > 3*own || worst*n > 5*clients {
			t.Errorf("one of %d leaves: in %d cases %d clients had to move and %d others did, %d at worst", n, leavers, own, strangers, worst)
		}
		percent := func(moved, cases int) float64 { return 100 * float64(moved) / float64(cases*clients) }
		t.Logf("one of %d leaves: on average %.2f%% of the clients were its own, %.2f%% others moved, %.2f%% at worst",
			n, percent(own, leavers), percent(strangers, leavers), percent(worst, 1))
	}
}
