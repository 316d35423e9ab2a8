package compiler

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/compiler/resolve"
)

func TestSlotCountLeavesAnEighthEmpty(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 7: 8, 8: 16, 14: 16, 15: 32, 28: 32} {
		if got := slotCount(n); got != want {
			t.Errorf("slotCount(%d) = %d, want %d", n, got, want)
		}
	}
	for n := 5; n <= resolve.MaxEndpoints; n++ {
		p := slotCount(n)
		if p&(p-1) != 0 || p-p/8 < n || (p > 8 && p/2-p/16 >= n) {
			t.Fatalf("slotCount(%d) = %d: not the smallest power of two with an eighth to spare", n, p)
		}
	}
	if got := slotCount(resolve.MaxEndpoints); got != localSlots {
		t.Errorf("the largest number of endpoints takes %d slots, there are %d", got, localSlots)
	}
}

// The number of tries is the one at which all of them miss with a chance of 10⁻⁵, to the nearest whole number, when the
// slots are at their emptiest.
func TestTriesFollowFromTheEmptiestSlots(t *testing.T) {
	for p := 4; p <= localSlots; p *= 2 {
		fewest := 1
		for slotCount(fewest) < p {
			fewest++
		}
		miss := 1 - float64(fewest)/float64(p)
		want := int(math.Round(math.Log(1e-5) / math.Log(miss)))
		if got := tries(p); got != want {
			t.Errorf("tries(%d) = %d, want %d: %d endpoints at the fewest", p, got, want, fewest)
		}
	}
}

func randomEndpoints(r *rand.Rand, n int) []resolve.Endpoint {
	out := make([]resolve.Endpoint, n)
	for i := range out {
		a := netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(i)})
		out[i].Addr = netip.AddrPortFrom(a, uint16(8000+i/256))
	}
	return out
}

// slotsOf gives the placement as slot → endpoint, which does not depend on the order of the endpoints.
func slotsOf(endpoints []resolve.Endpoint) map[int]netip.AddrPort {
	out := map[int]netip.AddrPort{}
	for slot, i := range new(placer).place(endpoints) {
		if i >= 0 {
			out[slot] = endpoints[i].Addr
		}
	}
	return out
}

func TestPlacementDoesNotDependOnOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 4, 5, 7, 14, 56, 449, 896} {
		endpoints := randomEndpoints(r, n)
		want := slotsOf(endpoints)
		if len(want) != n {
			t.Fatalf("%d endpoints in %d slots", n, len(want))
		}
		if _, ok := want[0]; !ok {
			t.Fatalf("%d endpoints: slot 0 is empty", n)
		}
		for range 20 {
			r.Shuffle(n, func(i, j int) { endpoints[i], endpoints[j] = endpoints[j], endpoints[i] })
			for slot, addr := range slotsOf(endpoints) {
				if want[slot] != addr {
					t.Fatalf("%d endpoints in another order: slot %d holds %s, not %s", n, slot, addr, want[slot])
				}
			}
		}
	}
}

// operations counts the element deletions and additions between two placements.
func operations(a, b map[int]netip.AddrPort) int {
	n := 0
	for slot, addr := range a {
		if b[slot] != addr {
			n++
		}
	}
	for slot, addr := range b {
		if a[slot] != addr {
			n++
		}
	}
	return n
}

// The budget of DESIGN: at most 5 element operations per endpoint added or removed on average, at most 16 ever, as long
// as the number of slots stays.
func TestPlacementIsStable(t *testing.T) {
	const rounds = 40
	r := rand.New(rand.NewPCG(3, 4))
	for n := 2; n <= 1000; n += 1 + n/20 {
		if slotCount(n) != slotCount(n+1) {
			continue
		}
		sum, most := 0, 0
		for range rounds {
			endpoints := randomEndpoints(r, n+1)
			ops := operations(slotsOf(endpoints[:n]), slotsOf(endpoints))
			sum, most = sum+ops, max(most, ops)
		}
		if average := float64(sum) / rounds; average > 5 || most > 16 {
			t.Errorf("%d → %d endpoints: %.1f operations on average, %d at most", n, n+1, average, most)
		}
	}
}

// Choices nest: when the slots double, an endpoint's choice modulo the old number is its old choice, so most endpoints
// keep a slot number and cost nothing.
func TestPlacementNestsWhenSlotsDouble(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{28, 112, 448} {
		endpoints := randomEndpoints(r, n+1)
		ops := operations(slotsOf(endpoints[:n]), slotsOf(endpoints))
		if perEndpoint := float64(ops) / float64(n); perEndpoint > 1.5 {
			t.Errorf("%d → %d endpoints: %.2f operations per endpoint", n, n+1, perEndpoint)
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	endpoints := randomEndpoints(rand.New(rand.NewPCG(7, 8)), 1000)
	for b.Loop() {
		new(placer).place(endpoints)
	}
}
