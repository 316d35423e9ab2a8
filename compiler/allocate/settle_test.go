package allocate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/compiler/resolve"
)

func claims(names []string) []*claim[int32] {
	out := make([]*claim[int32], len(names))
	for i, n := range names {
		c := newClaim[int32](n)
		out[i] = &c
	}
	return out
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("claim-%d", i)
	}
	return out
}

// Every claim comes by every place once, those of the first band first.
func TestPreferences(t *testing.T) {
	for _, r := range []resolve.PortRange{
		{First: 1, Last: 1},
		{First: 5, Last: 6},
		{First: 5, Last: 7},
		{First: 1, Last: 16},
		{First: 1, Last: 17},
		{First: 30000, Last: 32767},
		{First: 1, Last: 65535},
	} {
		bands := portBands(r)
		for _, c := range claims(names(3)) {
			seen := map[int32]bool{}
			for {
				p, ok := c.next(bands)
				if !ok {
					break
				}
				if seen[p] || !r.Contains(p) {
					t.Fatalf("%v: %d is met twice or out of range", r, p)
				}
				if low := p < bands[0].at(0); low && len(seen) < int(bands[0].size) {
					t.Fatalf("%v: %d of the low band is choice %d", r, p, len(seen))
				}
				seen[p] = true
			}
			if len(seen) != int(r.Last-r.First)+1 {
				t.Errorf("%v: %d places are met", r, len(seen))
			}
		}
	}
}

// The outcome is stable in the sense of Gale and Shapley: nobody prefers a place to his own whose holder would have to
// yield it. And it does not depend on the order of the claims.
func TestSettle(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := resolve.PortRange{First: 100, Last: 100 + uint16(rnd.IntN(80))}
		taken := map[int32]bool{}
		for range rnd.IntN(20) {
			taken[90+rnd.Int32N(100)] = true
		}
		free := 0
		for p := int32(r.First); p <= int32(r.Last); p++ {
			if !taken[p] {
				free++
			}
		}
		n := 1 + rnd.IntN(100)
		all := names(n)
		got := outcome(t, all, r, taken)
		if len(got) != min(n, free) {
			t.Fatalf("seed %d: %d of %d claims have one of %d places", seed, len(got), n, free)
		}
		if n <= free {
			checkStable(t, all, r, taken, got)
		}
		rnd.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
		for name, p := range outcome(t, all, r, taken) {
			if got[name] != p {
				t.Fatalf("seed %d: in another order %s gets %d, not %d", seed, name, p, got[name])
			}
		}
	}
}

func outcome(t *testing.T, all []string, r resolve.PortRange, taken map[int32]bool) map[string]int32 {
	t.Helper()
	cs := claims(all)
	settle(cs, portBands(r), taken, r.Contains)
	out, by := map[string]int32{}, map[int32]string{}
	for i, c := range cs {
		if !c.ok {
			continue
		}
		if other, twice := by[c.place]; twice || taken[c.place] || !r.Contains(c.place) {
			t.Fatalf("%s gets %d, which is taken, out of range, or %q's", all[i], c.place, other)
		}
		out[all[i]], by[c.place] = c.place, all[i]
	}
	return out
}

func checkStable(t *testing.T, all []string, r resolve.PortRange, taken map[int32]bool, got map[string]int32) {
	t.Helper()
	rank := map[string]map[int32]uint64{}
	order := map[string]uint64{}
	holder := map[int32]string{}
	for i, c := range claims(all) {
		rank[all[i]], order[all[i]] = map[int32]uint64{}, c.order
		for {
			p, ok := c.next(portBands(r))
			if !ok {
				break
			}
			rank[all[i]][p] = c.choice
		}
		holder[got[all[i]]] = all[i]
	}
	for _, name := range all {
		for p, choice := range rank[name] {
			if taken[p] || choice >= rank[name][got[name]] {
				continue
			}
			h, held := holder[p]
			if !held || choice < rank[h][p] || choice == rank[h][p] && order[name] < order[h] {
				t.Errorf("%s has its choice %d, and would get its choice %d from %q", name, rank[name][got[name]], choice, h)
			}
		}
	}
}

func TestRanges(t *testing.T) {
	for _, x := range []struct {
		prefix, first, last string
		size, reserved      uint64
	}{
		{"10.96.0.0/12", "10.96.0.1", "10.111.255.254", 1<<20 - 2, 256},
		{"10.96.0.0/24", "10.96.0.1", "10.96.0.254", 254, 16},
		{"10.96.0.0/22", "10.96.0.1", "10.96.3.254", 1022, 64},
		{"10.96.0.0/28", "10.96.0.1", "10.96.0.14", 14, 0},
		{"10.96.0.0/27", "10.96.0.1", "10.96.0.30", 30, 16},
		{"10.96.0.0/31", "10.96.0.0", "10.96.0.1", 2, 0},
		{"10.96.0.7/32", "10.96.0.7", "10.96.0.7", 1, 0},
		{"0.0.0.0/0", "0.0.0.1", "255.255.255.254", 1<<32 - 2, 256},
		{"fd00::/112", "fd00::1", "fd00::ffff", 1<<16 - 1, 256},
		{"fd00::ff00/120", "fd00::ff01", "fd00::ffff", 255, 16},
		{"fd00::/8", "fd00::1", "fd00::3fff:ffff:ffff:ffff", 1<<62 - 1, 256},
	} {
		r := rangeOf(netip.MustParsePrefix(x.prefix))
		if first, last := r.at(0).String(), r.at(r.size-1).String(); first != x.first || last != x.last ||
			r.size != x.size || r.reserved != x.reserved {
			t.Errorf("%s: %s to %s, %d addresses, %d reserved", x.prefix, first, last, r.size, r.reserved)
		}
		for _, a := range []netip.Addr{r.at(0), r.at(r.size - 1)} {
			if !r.contains(a) {
				t.Errorf("%s does not contain %s", x.prefix, a)
			}
		}
		for _, a := range []netip.Addr{r.at(0).Prev(), r.at(r.size - 1).Next()} {
			if a.IsValid() && r.contains(a) {
				t.Errorf("%s contains %s", x.prefix, a)
			}
		}
	}
}
