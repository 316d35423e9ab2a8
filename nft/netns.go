package nft

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// netnsDir is where "ip netns" keeps the namespaces it names (man 8 ip-netns).
const netnsDir = "/run/netns"

// netnsPath gives the file of a network namespace: a name as in "ip netns", or a path, which has a slash.
func netnsPath(netns string) string {
	if strings.Contains(netns, "/") {
		return netns
	}
	return filepath.Join(netnsDir, netns)
}

// inNetns runs fn in a network namespace. Only the thread that runs fn enters it, and that thread ends with fn, so that
// nothing else of the process ever runs there.
func inNetns(path string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the runtime then destroys the thread
		if unix.Gettid() != unix.Getpid() {
			done <- enterNetns(path, fn)
			return
		}
		// This is the main thread. It can not end, and what /proc says about the namespaces of the process is said of
		// this thread. As it is locked, the inner call gets another one.
		done <- inNetns(path, fn)
		runtime.UnlockOSThread()
	}()
	return <-done
}

// enterNetns moves the calling thread into a network namespace and runs fn.
func enterNetns(path string, fn func() error) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return netnsError(path, err)
	}
	defer unix.Close(fd) //nolint:errcheck // only read from
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return netnsError(path, err)
	}
	return fn()
}

func netnsError(path string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("entering network namespace %s needs CAP_SYS_ADMIN: %w", path, ErrPermission)
	}
	return fmt.Errorf("entering network namespace %s: %w", path, err)
}
