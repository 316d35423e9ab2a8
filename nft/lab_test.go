package nft

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests change nftables, and never the host's: each gets a network namespace of its own, which ends with the thread
// that made it. An ordinary user gets there through a user namespace, into which TestMain starts the tests again.

const inUserNamespace = "SVCCTL_NFT_TEST_USERNS"

func TestMain(m *testing.M) {
	if os.Geteuid() == 0 || os.Getenv(inUserNamespace) != "" {
		os.Exit(m.Run())
	}
	os.Exit(rerun(m))
}

// rerun runs the tests in a user namespace, or here where that is not possible.
func rerun(m *testing.M) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inUserNamespace+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = userNamespace()
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return m.Run()
	}
}

// userNamespace is a user namespace in which the user is root.
func userNamespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// enterPrivateNetns moves the goroutine of a test into a new network namespace.
func enterPrivateNetns(tb testing.TB) {
	tb.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("SVCCTL_REQUIRE_NETNS") != "" {
			tb.Fatalf("a network namespace of its own: %v", err)
		}
		tb.Skipf("needs the privilege to make a network namespace: %v", err)
	}
}

// openPrivate opens a connection to a new network namespace.
func openPrivate(tb testing.TB) *Conn {
	tb.Helper()
	enterPrivateNetns(tb)
	c, err := Open("")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// needNFT skips a test where there is no nft binary to compare with.
func needNFT(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		tb.Skipf("needs nft to compare with: %v", err)
	}
}

// nftCommand runs nft in the network namespace of the calling test.
func nftCommand(tb testing.TB, stdin string, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "nft", args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		tb.Fatalf("nft %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

func listRuleset(tb testing.TB) string {
	tb.Helper()
	return nftCommand(tb, "", "list", "ruleset")
}
