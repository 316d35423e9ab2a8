package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
)

// samples are the measurements of one thing.
type samples struct {
	times  []time.Duration
	memory int64 // bytes: the largest resident set of any round; 0 for what is no process
}

func (s *samples) sort() { slices.Sort(s.times) }

func (s *samples) median() time.Duration { return s.times[len(s.times)/2] }

// measure times a function of this process, without the garbage of the one before.
func (s *samples) measure(f func() error) error {
	runtime.GC()
	start := time.Now()
	err := f()
	s.times = append(s.times, time.Since(start))
	return err
}

// process times a process from start to end, in a namespace.
func (s *samples) process(ctx context.Context, ns *netlab.Namespace, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	runtime.GC()
	start := time.Now()
	if err := ns.Do(cmd.Run); err != nil {
		return fmt.Errorf("%s %v: %w", name, args, err)
	}
	s.times = append(s.times, time.Since(start))
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	s.memory = max(s.memory, usage.Maxrss<<10) // Linux counts it in KiB
	return nil
}
