package soak

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// record is what was measured while the walk went on.
type record struct {
	*host
	long    *long
	applies int
	samples []sample
	took    time.Duration
}

// sample is what there was at one moment.
type sample struct {
	applies    int
	rss        []int64 // of each command that runs all along
	files      []int
	stateBytes int64
	stateFiles int
	kernel     int64 // memory of the whole machine's kernel: others are on it, too
}

// howMany samples are taken.
const howMany = 100

func newRecord(h *host, l *long, applies int) *record {
	return &record{host: h, long: l, applies: applies}
}

// sample takes one, if it is time for it.
func (r *record) sample(applies int) {
	if applies*howMany < len(r.samples)*r.applies {
		return
	}
	s := sample{applies: applies}
	for _, c := range r.long.commands {
		rss, files, err := c.usage()
		if err != nil {
			r.t.Fatalf("%s does not run any more: %v: %s", c.name, err, c.out.String())
		}
		s.rss, s.files = append(s.rss, rss), append(s.files, files)
	}
	err := filepath.WalkDir(r.stateDir(), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() {
			s.stateBytes += info.Size()
			s.stateFiles++
		}
		return err
	})
	if err != nil {
		r.t.Logf("the state directory: %v", err) // a watchdog tidies up in it
	}
	s.kernel = kernelMemory(r.t)
	if r.samples = append(r.samples, s); len(r.samples)%(howMany/10) == 0 {
		r.t.Logf("%d applies", applies)
	}
}

// kernelMemory gives what the kernel has allocated for itself and cannot take back.
func kernelMemory(t *testing.T) int64 {
	t.Helper()
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sum int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		name, value, _ := strings.Cut(lines.Text(), ":")
		if slices.Contains([]string{"SUnreclaim", "VmallocUsed", "Percpu"}, name) {
			if _, err := fmt.Sscan(value, &kib); err != nil {
				t.Fatal(err)
			}
			sum += kib << 10
		}
	}
	return sum
}

func (r *record) end(took time.Duration) { r.took = took }

// median gives the median of a figure in a part of the samples.
func median(samples []sample, figure func(sample) int64) int64 {
	var all []int64
	for _, s := range samples {
		all = append(all, figure(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// report prints the figures of docs/soak.md.
func (r *record) report(t *testing.T, did map[string]int) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d applies in %s, %.1f ms each with all that was done besides; the kernel compared %d times, never another than wanted\n",
		r.host.applies, r.took.Round(time.Second), float64(r.took.Milliseconds())/float64(r.host.applies), r.checks)
	fmt.Fprintf(&b, "exit codes: 0 %d times, 4 (conflict) %d times; killed %d times; largest process %d MiB\n\n",
		r.exits[0], r.exits[4], r.killed, r.maxRSS>>20)
	for _, s := range steps {
		fmt.Fprintf(&b, "| %s | %d |\n", s.name, did[s.name])
	}
	fmt.Fprintf(&b, "\n| applies |")
	for _, c := range r.long.commands {
		fmt.Fprintf(&b, " `%s` MiB, files |", c.name)
	}
	fmt.Fprintf(&b, " state directory | kernel, whole machine |\n|---|---|---|---|---|---|\n")
	for i := range 5 {
		s := r.samples[i*(len(r.samples)-1)/4]
		fmt.Fprintf(&b, "| %d |", s.applies)
		for k := range s.rss {
			fmt.Fprintf(&b, " %.1f, %d |", float64(s.rss[k])/(1<<20), s.files[k])
		}
		fmt.Fprintf(&b, " %d KiB in %d files | %d MiB |\n", s.stateBytes>>10, s.stateFiles, s.kernel>>20)
	}
	t.Logf("\n%s", b.String())
}

// mustBeFlat compares the second quarter of the walk, after everything has warmed up, with the last one.
func (r *record) mustBeFlat(t *testing.T) {
	t.Helper()
	n := len(r.samples)
	early, late := r.samples[n/4:n/2], r.samples[n-n/4:]
	flat := func(what string, slack int64, figure func(sample) int64) {
		before, after := median(early, figure), median(late, figure)
		if after > before+before/4+slack {
			t.Errorf("%s has grown from %d to %d", what, before, after)
		}
	}
	for k, c := range r.long.commands {
		flat(c.name+": memory", 4<<20, func(s sample) int64 { return s.rss[k] })
		flat(c.name+": open files", 0, func(s sample) int64 { return 4 * int64(s.files[k]) })
	}
	flat("the state directory", 1<<20, func(s sample) int64 { return s.stateBytes })
	flat("the number of files in the state directory", 8, func(s sample) int64 { return int64(s.stateFiles) })
}
