package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// outsideEnv tells a process started by [Main] which network namespace it must not be in: the one it was started from.
const outsideEnv = "SVCCTL_NETLAB_OUTSIDE"

// errUnavailable is why no lab can be built in this process, nil in one that [Main] has isolated.
var errUnavailable = errors.New("netlab.Main was not called")

// Main runs a program in a network namespace of its own and gives its exit code. It starts the program's own executable
// once more with the same arguments: as root in a new network namespace, as an ordinary user in a new user namespace too.
// Where the system allows neither, the program runs as it is, and [New] and [Start] say why there is no lab.
//
//	func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }
func Main(run func() int) int {
	if outside := os.Getenv(outsideEnv); outside != "" {
		errUnavailable = enter(outside)
		return run()
	}
	code, err := startIsolated()
	if err != nil {
		errUnavailable = err
		return run()
	}
	return code
}

// enter makes sure that the process is where Main put it, and can work there.
func enter(outside string) error {
	inside, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("which network namespace is this: %w", err)
	}
	if inside == outside {
		return fmt.Errorf("still in the network namespace it was started from, %s", outside)
	}
	// The first act with consequences: systems that hand out user namespaces without any privilege in them refuse it.
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("no privilege in the new network namespace: %w", err)
	}
	return nil
}

// startIsolated runs the program again in new namespaces. The error is why that is not possible.
func startIsolated() (code int, err error) {
	outside, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, fmt.Errorf("which network namespace is this: %w", err)
	}
	var refused []error
	for _, attr := range isolations() {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Args[0] = os.Args[0]
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), outsideEnv+"="+outside)
		cmd.SysProcAttr = attr
		code, err := runBound(cmd)
		if err == nil {
			return code, nil
		}
		refused = append(refused, err)
	}
	return 0, fmt.Errorf("new network namespace: %w", errors.Join(refused...))
}

// isolations are the ways to try. Root may lack CAP_SYS_ADMIN, in a container for one, and still have user namespaces.
func isolations() []*syscall.SysProcAttr {
	asUser := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		return []*syscall.SysProcAttr{asUser}
	}
	return []*syscall.SysProcAttr{{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}, asUser}
}

// runBound runs a command that does not outlive this process. The error is that it could not be started.
func runBound(cmd *exec.Cmd) (code int, err error) {
	// The kernel sends the parent-death signal when the thread that started the child ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Args[0], err)
		return 1, nil
	}
	return cmd.ProcessState.ExitCode(), nil
}
