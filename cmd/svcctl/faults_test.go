package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// disk puts a file system of a size of its own at the state directory, for as long as the test runs.
func (h *host) disk(kib int) {
	h.t.Helper()
	dir := filepath.Join(h.dir, "state")
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), // nothing is seen outside
		os.MkdirAll(dir, 0o700),
		unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=700", kib)),
	)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	})
}

// resize gives the disk another size, or has it be read only.
func (h *host) resize(kib int, flags uintptr) {
	h.t.Helper()
	err := unix.Mount("tmpfs", filepath.Join(h.dir, "state"), "tmpfs", unix.MS_REMOUNT|flags, fmt.Sprintf("size=%dk,mode=700", kib))
	if err != nil {
		h.t.Fatal(err)
	}
}

// used gives how much of the disk is used, in KiB.
func (h *host) used() int {
	h.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Join(h.dir, "state"), &st); err != nil {
		h.t.Fatal(err)
	}
	return int(int64(st.Blocks-st.Bfree) * st.Bsize >> 10)
}

const roomy = 10 << 10

var (
	nothingChanged = regexp.MustCompile(`(?m)^error: (nothing was changed, for it could not be recorded: writing the lock|noting the change|the watchdog).*no space left on device`)
	notWritten     = regexp.MustCompile(`(?m)^error: the kernel has the new rules, but they could not be recorded: .*no space left on device`)
)

// A disk that has room for more and more of what is written: for no lock at first, for everything at last. Whatever the
// moment, apply says whether the rules are in force, what it says is true, the state before can be gone back to, and the next
// apply records everything.
func TestFullDisk(t *testing.T) {
	h := newHost(t, 5)
	h.disk(roomy)
	// As much as takes some more pages.
	h.write("large.yaml", manifestOf(5)+strings.Repeat("# A comment.\n", 1000))
	h.states["large.yaml"] = h.states["5.yaml"]
	seen := map[string]int{}
	for _, confirm := range []bool{false, true} {
		h.must("apply", "-f", "1.yaml", "--no-cache")
		h.must("apply", "-f", "2.yaml", "--no-cache")
		for room := 0; ; room += 4 {
			h.resize(h.used()+room, 0)
			args := []string{"apply", "-f", "large.yaml", "--no-cache"}
			if confirm {
				args = append(args, "--confirm=1h")
			}
			code, out := h.run(args...)
			full := true
			switch {
			case code == exitSystem && nothingChanged.MatchString(out):
				seen["nothing changed"]++
				h.mustBe("2.yaml")
				h.resize(roomy, 0)
				h.must("verify")
			case code == exitSystem && notWritten.MatchString(out):
				seen["not recorded"]++
				h.mustBe("large.yaml")
				// Nobody takes the old record for what is applied.
				if code, out := h.run("verify", "--repair"); code == exitDone {
					t.Fatalf("room for %d KiB: verify --repair says %s", room, out)
				}
				h.mustBe("large.yaml")
				if room%8 == 0 || confirm {
					// Back, even before there is any room; with more it is recorded.
					if code, out := h.run("rollback"); code != exitDone && !notWritten.MatchString(out) {
						t.Fatalf("room for %d KiB: rollback: exit code %d: %s", room, code, out)
					}
					h.mustBe("2.yaml")
					h.resize(roomy, 0)
					h.must("apply", "-f", "2.yaml", "--no-cache")
					break
				}
				h.resize(roomy, 0)
				h.must("apply", "-f", "large.yaml", "--no-cache")
				h.must("rollback")
			case code == exitDone:
				full = false
				h.mustBe("large.yaml")
				h.resize(roomy, 0)
				h.must("rollback")
			default:
				t.Fatalf("room for %d KiB: exit code %d: %s", room, code, out)
			}
			h.mustBe("2.yaml")
			h.must("verify")
			if left, err := filepath.Glob(filepath.Join(h.dir, "state", "own", "svcctl", "*.new")); err != nil || len(left) > 0 {
				t.Errorf("room for %d KiB: left behind: %q, %v", room, left, err)
			}
			if !full {
				break
			}
			if room > 1000 {
				t.Fatal("never enough")
			}
		}
		h.must("delete", "--all")
	}
	t.Logf("%v", seen)
	if seen["nothing changed"] < 2 || seen["not recorded"] < 3 {
		t.Errorf("too little was tried: %v", seen)
	}
}

// must runs svcctl, which has to succeed.
func (h *host) must(args ...string) string {
	h.t.Helper()
	code, out := h.run(args...)
	if code != exitDone {
		h.t.Fatalf("svcctl %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// On a disk that is full when a rollback is to be recorded, the state that was left is not taken for what is applied.
func TestFullDiskAtRollback(t *testing.T) {
	h := newHost(t, 5)
	h.disk(roomy)
	tried := 0
	for room := 4; ; room += 4 {
		h.must("apply", "-f", "1.yaml", "--no-cache")
		h.must("apply", "-f", "2.yaml", "--no-cache")
		h.resize(h.used()+room, 0)
		code, out := h.run("rollback", "--log-level=error")
		if code == exitDone {
			break
		}
		tried++
		if !notWritten.MatchString(out) {
			t.Fatalf("room for %d KiB: exit code %d: %s", room, code, out)
		}
		h.mustBe("1.yaml")
		if code, out := h.run("verify", "--repair"); code == exitDone {
			t.Fatalf("room for %d KiB: verify --repair says %s", room, out)
		}
		h.mustBe("1.yaml")
		h.resize(roomy, 0)
		h.must("delete", "--all")
	}
	h.mustBe("1.yaml")
	if tried == 0 {
		t.Error("it was never full")
	}
}

// A state directory that cannot be written to any more: nothing changes, what is recorded can be read.
func TestReadOnlyStateDirectory(t *testing.T) {
	h := newHost(t, 2)
	h.disk(roomy)
	h.must("apply", "-f", "1.yaml")
	h.resize(roomy, unix.MS_RDONLY)
	for _, args := range [][]string{
		{"apply", "-f", "2.yaml"},
		{"apply", "-f", "2.yaml", "--confirm=60s"},
		{"rollback"},
		{"delete", "-f", "1.yaml"},
		{"delete", "--all"},
		{"verify", "--repair"},
	} {
		code, out := h.run(args...)
		if code != exitSystem || !strings.Contains(out, "read-only file system") || !strings.Contains(out, "--state-dir names another") {
			t.Errorf("svcctl %s: exit code %d: %s", strings.Join(args, " "), code, out)
		}
		h.mustBe("1.yaml")
	}
	for _, args := range [][]string{
		{"verify"},
		{"status"},
		{"get", "services"},
		{"describe", "services"},
		{"rollback", "--list"},
		{"diff", "-f", "1.yaml"},
		{"apply", "-f", "1.yaml"},
		{"apply", "-f", "2.yaml", "--dry-run"},
		{"stats"},
		{"dns", "zone"},
	} {
		h.must(args...)
	}
	h.resize(roomy, 0)
	h.must("apply", "-f", "2.yaml")
	h.mustBe("2.yaml")
}

// Ten applies at once wait for each other: all succeed, and the kernel has what one of them wanted, whole and recorded.
func TestTenAtOnce(t *testing.T) {
	h := newHost(t, 5)
	h.must("apply", "-f", "0.yaml")
	type ending struct {
		what string
		code int
		out  string
	}
	atOnce := func(commands [][]string) (ends []ending) {
		t.Helper()
		ended := make(chan ending)
		for _, args := range commands {
			cmd := h.svcctl(append(args, "--lock-wait=60s")...)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() {
				_ = cmd.Wait()
				ended <- ending{strings.Join(args, " "), cmd.ProcessState.ExitCode(), out.String()}
			}()
		}
		for range commands {
			ends = append(ends, <-ended)
		}
		return ends
	}
	for range max(1, roundsOf(3)) {
		var commands [][]string
		var wanted []string
		for i := range 10 {
			file := fmt.Sprintf("%d.yaml", i%6)
			commands, wanted = append(commands, []string{"apply", "-f", file}), append(wanted, file)
		}
		for _, e := range atOnce(commands) {
			if e.code != exitDone {
				t.Errorf("%s: exit code %d: %s", e.what, e.code, e.out)
			}
		}
		h.mustBe(wanted...)
		h.must("verify")

		// Ten different ones: each succeeds, or finds that what it is about is not there any more.
		for _, e := range atOnce([][]string{
			{"apply", "-f", "1.yaml"},
			{"apply", "-f", "2.yaml", "--prune=false"},
			{"verify", "--repair"},
			{"rollback"},
			{"delete", "-f", "3.yaml", "--ignore-not-found"},
			{"status"},
			{"get", "services"},
			{"diff", "-f", "3.yaml"},
			{"apply", "-f", "4.yaml", "--dry-run"},
			{"stats"},
		}) {
			differs := strings.HasPrefix(e.what, "diff") && e.code == exitDifferent
			if e.code != exitDone && !differs {
				t.Errorf("%s: exit code %d: %s", e.what, e.code, e.out)
			}
		}
		h.must("verify")
		h.must("apply", "-f", "5.yaml")
		h.mustBe("5.yaml")
	}
}

// Whatever the clock says, the states keep their order, and a change that waits to be confirmed is undone after the time
// that was asked for, neither at once nor never.
func TestClockJumps(t *testing.T) {
	h := newHost(t, 3)
	// at runs svcctl with a clock that is wrong by so much.
	at := func(off time.Duration, args ...string) (int, string) {
		t.Helper()
		cmd := h.svcctl(args...)
		cmd.Env = append(cmd.Env, clockVariable+"="+off.String())
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	must := func(off time.Duration, args ...string) string {
		t.Helper()
		code, out := at(off, args...)
		if code != exitDone {
			t.Fatalf("svcctl %s, the clock off by %s: exit code %d: %s", strings.Join(args, " "), off, code, out)
		}
		return out
	}
	const year = 365 * 24 * time.Hour
	for i, off := range []time.Duration{0, 10 * year, -10 * year, time.Hour, -time.Hour} {
		must(off, "apply", "-f", fmt.Sprintf("%d.yaml", i%4))
	}
	list := strings.Split(strings.TrimSpace(must(-year, "rollback", "--list")), "\n")[1:]
	var states []string
	for _, line := range list {
		states = append(states, strings.Fields(line)[0])
	}
	if want := []string{"5", "4", "3", "2", "1"}; !slices.Equal(states, want) {
		t.Errorf("states %q, want %q", states, want)
	}
	must(20*year, "rollback")
	h.mustBe("3.yaml")
	must(-20*year, "rollback")
	h.mustBe("0.yaml")

	// A change waits. Whoever looks later has another clock, and it still waits: it can be confirmed.
	for _, off := range []time.Duration{10 * year, -10 * year} {
		must(0, "apply", "-f", "1.yaml", "--confirm=1h")
		if code, out := at(off, "apply", "-f", "2.yaml"); code != exitConflict {
			t.Errorf("the clock off by %s, while a change waits: exit code %d: %s", off, code, out)
		}
		h.mustBe("1.yaml")
		must(off, "confirm")
		must(0, "apply", "-f", "0.yaml")
		// The watchdog counts seconds, whatever the clock says.
		must(off, "apply", "-f", "2.yaml", "--confirm=1s")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(h.dir, "state", "own", "svcctl", "unconfirmed")); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the clock off by %s: the change is not undone", off)
			}
		}
		h.mustBe("0.yaml")
	}
}
