package packet

import (
	"math"
	"net/netip"
	"testing"
)

// falseAlarm is the probability with which a test of this file fails although every choice is uniform, all of its parts
// taken together. The choices are the kernel's (numgen random), so there is no seed to log.
const falseAlarm = 1e-6

// New connections are spread evenly over three endpoints (a size with an empty slot) and five (a larger one).
func TestSpread(t *testing.T) {
	t.Parallel()
	const perEndpoint = 150
	n := start(t, 5)
	three := service{name: "three", number: 1, nodePort: 30001}
	five := service{name: "five", number: 2, nodePort: 30002}
	n.apply(t, three.String(), endpoints("three", n.Pods[:3]...), five.String(), endpoints("five", n.Pods...))
	targets := func(f family) map[netip.AddrPort]int {
		return map[netip.AddrPort]int{
			three.at(f): 3, netip.AddrPortFrom(f.of(n.Node), three.nodePort): 3,
			five.at(f): 5, netip.AddrPortFrom(f.of(n.Node), five.nodePort): 5,
		}
	}
	bound := falseAlarm / float64(len(families)*len(protocols)*len(targets(ipv4)))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			for to, k := range targets(tr.family) {
				counts := count(t, k*perEndpoint, n.Client, tr.protocol, to)
				observed := make([]int, k)
				for i := range observed {
					observed[i] = counts[n.Pods[i].Name]
				}
				if p := uniform(observed); p < bound {
					t.Errorf("%s: answers %v: as uneven as this happens with probability %.2g, bound %.2g", to, counts, p, bound)
				}
			}
		})
	}
}

// uniform gives the probability that counts as uneven as these, or more so, come of a uniform choice: Pearson's
// chi-squared test. There must be an odd number of counts: the distribution has a closed form for even degrees of freedom.
func uniform(counts []int) float64 {
	if len(counts)%2 == 0 {
		panic("uniform: even number of counts")
	}
	total := 0
	for _, c := range counts {
		total += c
	}
	expected := float64(total) / float64(len(counts))
	x := 0.0
	for _, c := range counts {
		x += (float64(c) - expected) * (float64(c) - expected) / expected
	}
	term, sum := 1.0, 0.0
	for i := range (len(counts) - 1) / 2 {
		if i > 0 {
			term *= x / 2 / float64(i)
		}
		sum += term
	}
	return math.Exp(-x/2) * sum
}

// The test of the test: known values of the distribution, and what an uneven program would give.
func TestUniform(t *testing.T) {
	// By hand: the statistic is 0, 13.52, 0 and 18, its tail exp(-x/2) for three counts, exp(-x/2)(1+x/2) for five.
	for _, c := range []struct {
		counts []int
		p      float64
	}{
		{[]int{100, 100, 100}, 1},
		{[]int{126, 74, 100}, math.Exp(-13.52 / 2)},
		{[]int{100, 100, 100, 100, 100}, 1},
		{[]int{130, 70, 100, 100, 100}, math.Exp(-9) * 10},
	} {
		if p := uniform(c.counts); math.Abs(p-c.p) > 1e-9 {
			t.Errorf("uniform(%v) = %g, want %g", c.counts, p, c.p)
		}
	}
	// Were an empty slot to fall through to slot 0 at once, three endpoints in four slots would get these.
	if p := uniform([]int{225, 113, 112}); p > falseAlarm/1000 {
		t.Errorf("a doubled share passes as uniform with %g", p)
	}
	if p := uniform([]int{225, 225, 0}); p > falseAlarm/1000 {
		t.Errorf("an endpoint left out passes as uniform with %g", p)
	}
}
