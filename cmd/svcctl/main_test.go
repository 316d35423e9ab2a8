package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// insideVariable tells the test binary that it runs in namespaces of its own: the value is "yes", or why it does not.
const insideVariable = "SVCCTL_TEST_NAMESPACES"

func TestMain(m *testing.M) {
	// The scripts run this binary under the name svcctl, and it is svcctl then.
	if name := filepath.Base(os.Args[0]); name != "svcctl" && name != "confined" && os.Getenv(insideVariable) == "" {
		if code, err := reexec(); err == nil {
			os.Exit(code)
		} else if err := os.Setenv(insideVariable, err.Error()); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){"svcctl": func() { os.Exit(run(wrongClock)) }, "confined": confined})
}

// clockVariable says by how much the clock of svcctl is wrong.
const clockVariable = "SVCCTL_TEST_CLOCK"

func wrongClock() time.Time {
	off, _ := time.ParseDuration(os.Getenv(clockVariable)) // none: it is right
	return time.Now().Add(off)
}

// reexec runs the tests again in network and mount namespaces of their own, so that nothing of the host can be touched: as
// root, or for an ordinary user in a user namespace in which the user is root.
func reexec() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// haveNamespaces reports whether tests may make network namespaces, and why not.
func haveNamespaces() (bool, error) {
	reason := os.Getenv(insideVariable)
	if reason == "yes" {
		return true, nil
	}
	if os.Getenv("SVCCTL_REQUIRE_NETNS") == "1" {
		return false, fmt.Errorf("no network namespaces, and SVCCTL_REQUIRE_NETNS=1 is set: %s", reason)
	}
	return false, nil
}

// enterNamespace puts the calling goroutine into a new network namespace, and with it every process it starts. Its thread
// is never unlocked, so that it ends with the goroutine and nothing else ever runs there.
func enterNamespace() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace: %w", err)
	}
	return nil
}

// privateRun puts a file system of the tests' own over /run, where ip-netns(8) keeps its names.
func privateRun(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("making the mounts private: %v", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatalf("covering /run: %v", err)
	}
}

func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of processes: not in short mode")
	}
	if ok, err := haveNamespaces(); err != nil {
		t.Fatal(err)
	} else if ok {
		privateRun(t)
	} else {
		t.Logf("scripts that need network namespaces are skipped: %s", os.Getenv(insideVariable))
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SVCCTL_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("SVCCTL_NODE_NAME", "node-a")
			env.Setenv("SVCCTL_CHECK_HOST", "false") // an empty namespace can serve nothing, and check.txtar says so
			env.Setenv("SVCCTL_CONFIG", filepath.Join(env.WorkDir, ".config.yaml"))
			return os.WriteFile(filepath.Join(env.WorkDir, ".config.yaml"), nil, 0o600)
		},
		Condition: func(name string) (bool, error) {
			if name == "netns" {
				return haveNamespaces()
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"netns":        scriptNetns,
			"exits":        scriptExits,
			"unprivileged": scriptUnprivileged,
			"lines":        scriptLines,
			"block":        scriptBlock,
			"flow":         scriptFlow,
			"flows":        scriptFlows,
			"awaits":       scriptAwaits,
			"listen":       scriptListen,
			"connect":      scriptConnect,
		},
	})
}

// scriptNetns is the command "netns": everything the script starts from here on runs in a new network namespace.
func scriptNetns(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(enterNamespace()) }

// scriptExits is the command "exits CODE COMMAND [ARGUMENT…]": it runs a command that must end with that exit code.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptUnprivileged is the command "unprivileged CODE COMMAND [ARGUMENT…]": exits, without CAP_NET_ADMIN.
func scriptUnprivileged(ts *testscript.TestScript, neg bool, args []string) {
	if os.Geteuid() == 0 && len(args) > 1 {
		without := []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"}
		args = append([]string{args[0]}, append(without, args[1:]...)...)
	}
	scriptExits(ts, neg, args)
}

// scriptLines is the command "lines (stdout|stderr) N": the output of the last command must have so many lines.
func scriptLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines (stdout|stderr) N")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	text := ts.ReadFile(args[0])
	got := 0
	for _, r := range text {
		if r == '\n' {
			got++
		}
	}
	if got != want {
		ts.Fatalf("%s has %d lines, want %d:\n%s", args[0], got, want, text)
	}
}

// scriptAwaits is the command "awaits FILE PATTERN": it waits until what a command in the background writes to the file
// matches.
func scriptAwaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: awaits FILE PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	deadline := time.Now().Add(time.Minute) // only a failure takes as long
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && pattern.Match(text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not match %q: %v\n%s", args[0], args[1], err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// scriptBlock is the command "block PAGE FILE": it writes the first shell script of a page of the documentation, named from
// the package's directory, to a file, so that what a reader copies is what is tried.
func scriptBlock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: block PAGE FILE")
	}
	page, err := os.ReadFile(args[0])
	ts.Check(err)
	_, text, found := strings.Cut(string(page), "\n```sh\n")
	text, _, ended := strings.Cut(text, "\n```\n")
	if !found || !ended {
		ts.Fatalf("%s has no shell script", args[0])
	}
	file := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
	ts.Check(os.WriteFile(file, []byte(text+"\n"), 0o644))
}
