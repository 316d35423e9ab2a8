package netlab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace. It lives as long as its lab, whatever runs in it.
type Namespace struct {
	Name  string
	Addr4 netip.Addr // the first address of the family; not valid for none
	Addr6 netip.Addr

	fd int

	// sctp lets one SCTP request at a time out: the kernel tells every raw socket between two addresses of an ICMP error.
	sctp sync.Mutex

	mu      sync.Mutex // guards closers
	closers []io.Closer
}

// newNamespace makes a namespace with nothing in it but a loopback device that is down.
func newNamespace(name string) (*Namespace, error) {
	ns := &Namespace{Name: name}
	done := make(chan error)
	go func() {
		// Never unlocked: the runtime ends the thread with the goroutine, so nobody else ever runs in the namespace.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return nil, fmt.Errorf("new network namespace %s: %w", name, err)
	}
	return ns, nil
}

// Path is a file that stands for the namespace, for this process and its children, as long as the lab lives.
func (ns *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.fd) }

// Addr gives the namespace's first address of the family that another address has.
func (ns *Namespace) Addr(family netip.Addr) netip.Addr {
	if family.Is4() {
		return ns.Addr4
	}
	return ns.Addr6
}

// Do runs a function in the namespace, on an operating-system thread of its own that ends with it. Sockets belong to the
// namespace they were created in, so what the function opens can be used anywhere afterwards. The function must not start
// goroutines that open sockets, nor end its goroutine (as testing.T's FailNow does).
func (ns *Namespace) Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked, see newNamespace
		err := unix.Setns(ns.fd, unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("%s: %w", ns.Name, err)
	}
	return nil
}

// Run runs a command in the namespace and gives what it printed. The error has its standard error.
func (ns *Namespace) Run(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := ns.Do(func() error {
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
		}
		return nil
	})
	return stdout.String(), err
}

// atClose has something closed with the lab.
func (ns *Namespace) atClose(c io.Closer) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.closers = append(ns.closers, c)
}

func (ns *Namespace) close() {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, c := range ns.closers {
		_ = c.Close() // nothing depends on how a listener ends
	}
	ns.closers = nil
	if ns.fd > 0 {
		_ = unix.Close(ns.fd)
		ns.fd = -1
	}
}
