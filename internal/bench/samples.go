package main

import (
	"bytes"
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

// process times a process from start to end, in a namespace. It is started by a small process of its own ([child]): the
// kernel counts what a parent occupied at the fork as its child's.
func (s *samples) process(ctx context.Context, ns *netlab.Namespace, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"-child", name}, args...)...)
	cmd.Stderr = os.Stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := ns.Do(cmd.Run); err != nil {
		return fmt.Errorf("%s %v: %w", name, args, err)
	}
	var elapsed, memory int64
	if _, err := fmt.Sscan(out.String(), &elapsed, &memory); err != nil {
		return fmt.Errorf("%s %v: %w", name, args, err)
	}
	s.times = append(s.times, time.Duration(elapsed))
	s.memory = max(s.memory, memory)
	return nil
}

// child runs a command and prints how long it took, in nanoseconds, and the largest resident set it had, in bytes.
func child(ctx context.Context, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return err
	}
	elapsed := time.Since(start)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Println(elapsed.Nanoseconds(), usage.Maxrss<<10) // Linux counts it in KiB
	return nil
}
