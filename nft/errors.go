package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

var (
	// ErrConflict says that somebody else changed the nftables of the namespace since the generation that the caller
	// knows, or kept changing it while it was read. Nothing was changed by us; reading again and trying again is safe.
	ErrConflict = errors.New("nftables was changed by another program at the same time")

	// ErrPermission says that the process lacks CAP_NET_ADMIN over the network namespace.
	ErrPermission = errors.New("changing or reading nftables needs CAP_NET_ADMIN in the network namespace")
)

// KernelError is the refusal of a transaction by the kernel. Nothing of the transaction is in force.
type KernelError struct {
	Errno   unix.Errno
	What    string       // the object refused: "ip svcctl map services element 10.96.0.1 . tcp . 80"
	Owner   *graph.Owner // the Service port behind the object, nil where nobody's or unknown
	Message string       // the kernel's own words (extended acknowledgement), mostly empty
}

// Error names the object and what the kernel said about it.
func (e *KernelError) Error() string {
	s := e.What + ": " + e.Errno.Error()
	if e.Message != "" {
		s += " (" + e.Message + ")"
	}
	return s
}

// Unwrap gives the error number, so that errors.Is works with unix.EEXIST and the like.
func (e *KernelError) Unwrap() error { return e.Errno }

// BatchSizeError says that a transaction is larger than the kernel lets this process send at once. It happens only
// without CAP_NET_ADMIN in the initial user namespace, as in "unshare -rn": root may exceed the limit.
type BatchSizeError struct {
	Bytes int // size of the transaction
	Limit int // largest size that the socket takes
}

// Error names the system setting that raises the limit.
func (e *BatchSizeError) Error() string {
	// The kernel doubles the value it is given (man 7 socket, SO_SNDBUF).
	return fmt.Sprintf("the transaction has %d bytes and an unprivileged socket takes %d: "+
		"set net.core.wmem_max to at least %d on the host, or run with CAP_NET_ADMIN outside of a user namespace",
		e.Bytes, e.Limit, e.Bytes/2+sendOverhead)
}

// CountError says that a set in the kernel does not have as many elements as it should.
type CountError struct {
	Set       string // "ip svcctl map endpoints"
	Want, Got int    // Got is -1 where there is no such set
}

// Error names the set and both numbers.
func (e *CountError) Error() string {
	if e.Got < 0 {
		return e.Set + ": is not in the kernel"
	}
	return fmt.Sprintf("%s: has %d elements in the kernel, should have %d", e.Set, e.Got, e.Want)
}

// err gives the error of a refused request.
func (a ack) err() error {
	switch {
	case a.errno == 0:
		return nil
	case a.message != "":
		return fmt.Errorf("%w (%s)", permission(a.errno), a.message)
	default:
		return permission(a.errno)
	}
}

// permission replaces EPERM by [ErrPermission], which says what is missing.
func permission(err error) error {
	if errors.Is(err, unix.EPERM) {
		return ErrPermission
	}
	return err
}
