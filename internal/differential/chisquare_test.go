package differential

import (
	"math"
	"net/netip"
	"testing"
)

// goodness is Pearson's test of how well counts fit shares: the chance p that a draw with these shares strays at least as
// far from them, and the statistic. A count where there is no share does not fit at all.
func goodness(counts map[netip.Addr]int, shares map[netip.Addr]float64) (p, chi2 float64) {
	n := 0
	for a, c := range counts {
		if shares[a] == 0 {
			return 0, math.Inf(1)
		}
		n += c
	}
	for a, share := range shares {
		expected := share * float64(n)
		d := float64(counts[a]) - expected
		chi2 += d * d / expected
	}
	return upperGamma(float64(len(shares)-1)/2, chi2/2), chi2
}

// upperGamma is Q(a, x), the regularised upper incomplete gamma function: by its series where that converges fast, else by
// its continued fraction in Lentz's form (Abramowitz and Stegun 6.5.29 and 6.5.31).
func upperGamma(a, x float64) float64 {
	if x <= 0 {
		return 1
	}
	logGamma, _ := math.Lgamma(a)
	front := math.Exp(a*math.Log(x) - x - logGamma)
	if x < a+1 {
		sum, term := 1/a, 1/a
		for n := a + 1; term > sum*1e-16; n++ {
			term *= x / n
			sum += term
		}
		return 1 - front*sum
	}
	const tiny = 1e-300
	b := x + 1 - a
	c, d := 1/tiny, 1/b
	f := d
	for i := 1.0; ; i++ {
		an := -i * (i - a)
		b += 2
		d = 1 / nonZero(an*d+b, tiny)
		c = nonZero(b+an/c, tiny)
		f *= c * d
		if math.Abs(c*d-1) < 1e-15 {
			return front * f
		}
	}
}

func nonZero(x, tiny float64) float64 {
	if math.Abs(x) < tiny {
		return tiny
	}
	return x
}

// With two and four degrees of freedom the chance has a closed form, with one it is the complementary error function.
func TestUpperGamma(t *testing.T) {
	for _, chi2 := range []float64{0.01, 0.5, 1, 2.7, 5, 9, 20, 60} {
		for freedom, want := range map[float64]float64{
			1: math.Erfc(math.Sqrt(chi2 / 2)),
			2: math.Exp(-chi2 / 2),
			4: math.Exp(-chi2/2) * (1 + chi2/2),
		} {
			if got := upperGamma(freedom/2, chi2/2); math.Abs(got-want) > 1e-12*math.Max(want, 1e-3) {
				t.Errorf("chi-square %v with %v degrees of freedom: p = %v, want %v", chi2, freedom, got, want)
			}
		}
	}
}
