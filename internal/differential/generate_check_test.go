package differential

import (
	"math/rand/v2"
	"testing"
)

// TestGenerated makes sure that what is generated is valid input, and that it compiles without a lab too.
func TestGenerated(t *testing.T) {
	seed := number(t, seedEnv, rand.Uint64())
	t.Logf("%s=%d", seedEnv, seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		sc := generate(r)
		if _, err := sc.compile(); err != nil {
			t.Fatalf("%v\n%s", err, sc)
		}
	}
}
