// Package bootlab boots the systemd of this machine a second time, for a test: process, mount, host name, control group and
// IPC namespaces of its own, a copy of the root file system that is thrown away, and a network namespace that the test
// gives it. What units, timers and the journal do can be seen there, and nothing of it reaches the machine itself.
//
// It is no phase of the compiler and knows nothing of Services. It takes [Options] and gives a [Machine], which runs
// commands, has files, can be rebooted and halted. It may assume Linux, root and an installed systemd; what is missing is an
// error that names it.
//
// Three processes take part, all of them this program, told apart by [Main]. The test starts a keeper, which holds the
// mounts in a mount namespace of its own and lives as long as its standard input is open: until the test ends, in whatever
// way. The keeper starts the first process of every boot, which becomes systemd and is killed when the keeper dies, and with
// it, by the kernel, everything in its process namespace. The keeper then removes the control groups, which are all that
// namespaces leave behind.
package bootlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// Options say what to boot.
type Options struct {
	// Network is the network namespace of the machine: a path to open it by, as [netlab.Namespace] gives.
	Network string
}

// unavailableError says why no machine can be booted here, which is no fault of the lab.
type unavailableError struct{ reason string }

func (e *unavailableError) Error() string { return e.reason }

// manager is the path of systemd, on distributions that merged /usr and on those that did not.
const manager = "/lib/systemd/systemd"

// available reports, as an error, what speaks against booting a machine here.
func available() error {
	if os.Geteuid() != 0 {
		return &unavailableError{"it needs root"}
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}
	if strings.Join(strings.Fields(string(ids)), " ") != "0 0 4294967295" {
		return &unavailableError{"it needs root outside of any user namespace"}
	}
	if _, err := os.Stat(manager); err != nil {
		return &unavailableError{"systemd is not installed: " + err.Error()}
	}
	if _, err := exec.LookPath("nsenter"); err != nil {
		return &unavailableError{"util-linux is not installed: " + err.Error()}
	}
	return nil
}

// Start makes a machine for a test, and takes it away when the test is over. Where there can be none the test is skipped
// with the reason, or fails where [netlab.RequireEnv] says so. The machine is not booted yet.
func Start(tb testing.TB) *Machine {
	tb.Helper()
	m, err := New()
	var unavailable *unavailableError
	switch {
	case errors.As(err, &unavailable) && os.Getenv(netlab.RequireEnv) != "1":
		tb.Skipf("systemd cannot be booted here: %v", err)
	case err != nil:
		tb.Fatalf("a machine to boot: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() && m.Running() {
			if journal, err := m.Journal("--lines=200"); err == nil {
				tb.Logf("the journal:\n%s", journal)
			}
		}
		if err := m.Close(); err != nil {
			tb.Errorf("taking the machine away: %v", err)
		}
	})
	return m
}

// MustBoot boots a machine for a test.
func (m *Machine) MustBoot(tb testing.TB, opts Options) {
	tb.Helper()
	if err := m.Boot(tb.Context(), opts); err != nil {
		tb.Fatal(fmt.Errorf("booting: %w", err))
	}
}
