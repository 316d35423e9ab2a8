package bootlab_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svcctl/svcctl/internal/bootlab"
	"github.com/svcctl/svcctl/internal/netlab"
)

// diesEnv makes a test boot a machine, say so and wait to be killed.
const diesEnv = "SVCCTL_BOOTLAB_TEST_DIES"

func TestMain(m *testing.M) {
	os.Exit(bootlab.Main(func() int { return netlab.Main(m.Run) }))
}

func TestMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("boots systemd: not in short mode")
	}
	m := bootlab.Start(t)
	lab := netlab.Start(t, netlab.Options{})
	keeper, _ := m.Processes()
	if err := m.WriteFile("/etc/systemd/system/greet.service", `
[Service]
Type=oneshot
ExecStart=/bin/echo hello
ExecStart=/bin/sh -c 'date +%s >> /var/greetings'
`); err != nil {
		t.Fatal(err)
	}
	m.MustBoot(t, bootlab.Options{Network: lab.Node.Path()})
	run := func(args ...string) string {
		t.Helper()
		out, err := m.Run(t.Context(), "", args[0], args[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	if failed := run("systemctl", "list-units", "--failed", "--plain", "--no-legend"); failed != "" {
		t.Errorf("failed units:\n%s", failed)
	}
	if got := run("cat", "/proc/1/comm"); got != "systemd" {
		t.Errorf("the first process is %s", got)
	}
	if got, want := run("readlink", "/proc/1/ns/net"), namespace(t, lab.Node.Path()); got != want {
		t.Errorf("network namespace %s, want %s", got, want)
	}
	if got := run("ls", "-A", "/tmp"); strings.Contains(got, "go-build") {
		t.Errorf("the machine sees /tmp of the test: %s", got)
	}
	if _, err := m.Run(t.Context(), "", "sh", "-c", "echo 1 > /proc/sys/kernel/panic"); err == nil {
		t.Error("the machine can change settings of the kernel")
	}
	run("systemctl", "start", "greet.service")
	journal, err := m.Journal("--unit=greet.service")
	if err != nil || !strings.Contains(journal, "hello\n") {
		t.Errorf("the journal says %q, %v", journal, err)
	}

	// What was written stays, however the machine went.
	for _, end := range []func() error{m.Halt, m.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if m.Running() {
			t.Error("it runs although it was ended")
		}
		m.MustBoot(t, bootlab.Options{Network: lab.Node.Path()})
		run("systemctl", "start", "greet.service")
	}
	if got := run("wc", "--lines", "/var/greetings"); !strings.HasPrefix(got, "3 ") {
		t.Errorf("%s after three boots", got)
	}
	if err := m.Halt(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/var/greetings"); err == nil {
		t.Error("the machine writes to the file system of the test")
	}
	if len(groups(t, keeper)) == 0 {
		t.Error("no control groups are found, so that their absence proves nothing")
	}
}

// Nothing is left of a machine whose test was killed.
func TestKilledTestLeavesNothing(t *testing.T) {
	if os.Getenv(diesEnv) != "" {
		bootAndWait(t)
	}
	if testing.Short() {
		t.Skip("boots systemd: not in short mode")
	}
	if m, err := bootlab.New(); err != nil { // for the reason to skip
		bootlab.Start(t)
	} else if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestKilledTestLeavesNothing$")
	cmd.Env = append(os.Environ(), diesEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var keeper, manager int
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "booted %d %d", &keeper, &manager); n == 2 {
			break
		}
	}
	if manager == 0 {
		t.Fatal("it did not boot")
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	err = netlab.Until(t.Context(), 20*time.Second, func() bool {
		return !runs(keeper) && !runs(manager) && len(groups(t, keeper)) == 0
	})
	if err != nil {
		t.Errorf("left: the keeper %v, systemd %v, control groups %v: %v", runs(keeper), runs(manager), groups(t, keeper), err)
	}
}

func bootAndWait(t *testing.T) {
	t.Helper()
	lab := netlab.Start(t, netlab.Options{})
	m := bootlab.Start(t)
	m.MustBoot(t, bootlab.Options{Network: lab.Node.Path()})
	keeper, manager := m.Processes()
	fmt.Printf("booted %d %d\n", keeper, manager)
	time.Sleep(time.Minute)
	t.Fatal("nobody killed it")
}

// runs reports whether a process does. What waits for its parent to notice its end does not: an orphan's parent is the first
// process of a container, and that may be one that never looks.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}

// groups gives the control groups of a machine.
func groups(t *testing.T, keeper int) []string {
	t.Helper()
	var found []string
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		for _, depth := range []string{"", "*/", "*/*/", "*/*/*/"} {
			dirs, err := filepath.Glob(fmt.Sprintf("%s/%ssvcctl-bootlab-%d", root, depth, keeper))
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, dirs...)
		}
	}
	return found
}

func namespace(t *testing.T, path string) string {
	t.Helper()
	name, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return name
}
