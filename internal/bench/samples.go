package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/internal/netlab"
)

// samples are the measurements of one thing.
type samples struct {
	times []time.Duration // in the order of the rounds
	// cpu is the processor time, of all threads and in the kernel: what the wall clock says beyond that was waiting, most
	// of it for others that use the machine.
	cpu    []time.Duration
	memory int64 // bytes: the largest resident set of any round; 0 for what is no process
}

func (s *samples) add(d time.Duration) { s.times = append(s.times, d) }

func (s *samples) median() time.Duration { return median(s.times) }

// text gives the median and the range around it.
func (s *samples) text() string {
	return fmt.Sprintf("%s (%s–%s)", short(s.median()), short(slices.Min(s.times)), short(slices.Max(s.times)))
}

// ratio gives how long this took for each time unit of other. It is the median of the ratios of each round, so that a
// machine that is slower for a while is so for both.
func (s *samples) ratio(other *samples) float64 { return ratio(s.times, other.times) }

// cpuRatio is ratio for the processor time.
func (s *samples) cpuRatio(other *samples) float64 { return ratio(s.cpu, other.cpu) }

func ratio(a, b []time.Duration) float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = float64(a[i]) / float64(b[i])
	}
	return median(ratios)
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// measure times a function of this process, without the garbage of the one before.
func (s *samples) measure(f func() error) error {
	runtime.GC()
	return s.time(f)
}

// time times a function of this process.
func (s *samples) time(f func() error) error {
	start, cpu := time.Now(), processorTime()
	err := f()
	s.add(time.Since(start))
	s.cpu = append(s.cpu, processorTime()-cpu)
	return err
}

// processorTime is how long this process has used processors.
func processorTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0 // no Linux is without it
	}
	return time.Duration(t.Nano())
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
	var elapsed, cpu, memory int64
	if _, err := fmt.Sscan(out.String(), &elapsed, &cpu, &memory); err != nil {
		return fmt.Errorf("%s %v: %w", name, args, err)
	}
	s.times = append(s.times, time.Duration(elapsed))
	s.cpu = append(s.cpu, time.Duration(cpu))
	s.memory = max(s.memory, memory)
	return nil
}

// asChild gives the command that this process is to run as a child of [samples.process].
func asChild() (command []string, ok bool) {
	if len(os.Args) > 2 && os.Args[1] == "-child" {
		return os.Args[2:], true
	}
	return nil, false
}

// child runs a command and prints how long it took and how much processor time, in nanoseconds, and the largest resident
// set it had, in bytes. It gives an exit code.
func child(ctx context.Context, command []string) int {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	elapsed := time.Since(start)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Println(elapsed.Nanoseconds(), cpu.Nanoseconds(), usage.Maxrss<<10) // Linux counts it in KiB
	return 0
}
