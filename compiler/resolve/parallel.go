package resolve

import (
	"runtime"
	"sync"

	"github.com/svcctl/svcctl/compiler/diag"
)

// chunk is how many objects a goroutine takes at a time: enough to make taking them cheap.
const chunk = 256

// parallel calls f for 0 … n-1, on all processors. Each call may write only what belongs to its number. What the calls
// find is added to found in no particular order.
func parallel(n int, found *diag.List, f func(i int, found *diag.List)) {
	chunks := (n + chunk - 1) / chunk
	workers := min(runtime.GOMAXPROCS(0), chunks)
	if workers <= 1 {
		for i := range n {
			f(i, found)
		}
		return
	}
	next := make(chan int, chunks)
	for c := range chunks {
		next <- c
	}
	close(next)
	lists := make([]diag.List, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for c := range next {
				for i := c * chunk; i < min((c+1)*chunk, n); i++ {
					f(i, &lists[w])
				}
			}
		})
	}
	wg.Wait()
	for _, l := range lists {
		*found = append(*found, l...)
	}
}
