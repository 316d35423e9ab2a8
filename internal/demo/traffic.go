package main

import (
	"context"
	"net/netip"
	"sync"
)

// tally is what came of a number of requests.
type tally struct {
	answers map[netip.Addr]int // by the pod that answered
	lost    int
	err     error // why, for one of the lost
}

func (c *tally) total() int {
	sum := c.lost
	for _, n := range c.answers {
		sum += n
	}
	return sum
}

func (c *tally) add(pod netip.Addr, err error) {
	if err != nil {
		c.lost++
		c.err = err
		return
	}
	c.answers[pod]++
}

// send makes so many requests, one after the other.
func (n *network) send(ctx context.Context, requests int, to netip.AddrPort) *tally {
	c := &tally{answers: map[netip.Addr]int{}}
	for range requests {
		c.add(n.get(ctx, to))
	}
	return c
}

// stream sends requests, several at a time, for as long as something else runs and then until enough were made.
func (n *network) stream(ctx context.Context, to netip.AddrPort, atLeast int, during func() error) (*tally, error) {
	const atOnce = 4
	c := &tally{answers: map[netip.Addr]int{}}
	var mu sync.Mutex
	done := make(chan struct{})
	started := make(chan struct{})
	enough := func() bool {
		select {
		case <-done:
			mu.Lock()
			defer mu.Unlock()
			return c.total() >= atLeast
		default:
			return false
		}
	}
	var wait sync.WaitGroup
	var once sync.Once
	for range atOnce {
		wait.Go(func() {
			for !enough() && ctx.Err() == nil {
				pod, err := n.get(ctx, to)
				mu.Lock()
				c.add(pod, err)
				mu.Unlock()
				once.Do(func() { close(started) })
			}
		})
	}
	<-started
	err := during()
	close(done)
	wait.Wait()
	return c, err
}
