package bootlab

import (
	"fmt"
	"os"
)

// roleEnv tells a process started by this package what it is.
const roleEnv = "SVCCTL_BOOTLAB_ROLE"

// outsideEnv tells the keeper which mount namespace it must not be in: the one it was started from.
const outsideEnv = "SVCCTL_BOOTLAB_OUTSIDE"

const (
	keeperRole = "keeper"
	firstRole  = "first process"
)

// Main runs a program whose tests boot machines, and gives its exit code:
//
//	func TestMain(m *testing.M) { os.Exit(bootlab.Main(m.Run)) }
//
// In the processes that this package starts, it does their work instead.
func Main(run func() int) int {
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		return run()
	case keeperRole:
		err = keep(os.Stdin, os.Stdout)
	case firstRole:
		err = becomeManager()
	default:
		err = fmt.Errorf("%s=%s: there is no such role", roleEnv, role)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bootlab: %v\n", err)
		return 1
	}
	return 0
}
