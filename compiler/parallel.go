package compiler

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// fewest is how many things are worth a goroutine.
const fewest = 1024

// inParallel calls f for ranges that together are [0, n), on all processors. The calls may write only what belongs to
// their range, so that the result does not depend on how many there are.
func inParallel(n int, f func(from, to int)) {
	workers := min(runtime.GOMAXPROCS(0), n/fewest)
	if workers <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(n*w/workers, n*(w+1)/workers) })
	}
	wg.Wait()
}

// each calls f for every number of [0, n), on all processors: for a few things of very different sizes.
func each(n int, f func(i int)) {
	var next atomic.Int32
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
