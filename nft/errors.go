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
	Set     string       // the name of the set or map that it is or belongs to, "" for none
	Owner   *graph.Owner // the Service port behind the object, nil where nobody's or unknown
	Message string       // the kernel's own words (extended acknowledgement), mostly empty
}

// Error names the object and what the kernel said about it.
func (e *KernelError) Error() string {
	said := e.Errno.Error()
	if meaning := meanings[e.Errno]; meaning != "" {
		said = meaning + " (" + unix.ErrnoName(e.Errno)
		if e.Message != "" {
			said += ": " + e.Message
		}
		said += ")"
	} else if e.Message != "" {
		said += " (" + e.Message + ")"
	}
	return e.What + ": " + said
}

// meanings are what nf_tables means by those error numbers whose own words say something else, or too little
// (net/netfilter/nf_tables_api.c).
var meanings = map[unix.Errno]string{
	unix.EBUSY:  "something still refers to it",
	unix.EEXIST: "there is one already, with other content",
	unix.ELOOP:  "the jumps make a loop",
	unix.EMLINK: "the jumps make a loop or are nested too deeply",
	unix.ENFILE: "the set is full",
	unix.ENOENT: "it is not there, or what it refers to is not, or a module of the kernel is missing",
	unix.ENOMEM: "the kernel has no memory for it",
	unix.ERANGE: "a name or number in it is larger than the kernel takes",
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

// PartialError says that a plan was carried out in part. What is in force of it changes nothing for packets, and the next
// plan, made from what is there then, makes use of it or takes it away.
type PartialError struct {
	Enacted string // what is in force, in words
	Err     error  // why not the rest
}

// Error says what is in force and why not the rest.
func (e *PartialError) Error() string {
	return fmt.Sprintf("%v; in force of the change: %s", e.Err, e.Enacted)
}

// Unwrap gives the reason.
func (e *PartialError) Unwrap() error { return e.Err }

// LostAnswerError says that the kernel dealt with a transaction and that its answer was lost, for want of memory or of
// room in the socket: the transaction is in force or refused. Reading the tables again tells.
type LostAnswerError struct {
	Before uint32 // the generation that the transaction was conditional on, 0 for any
	After  uint32 // the generation found afterwards, 0 where that could not be read
	Err    error  // what is known of the reason, mostly nil
}

// Refused reports whether it is certain that nothing of the transaction is in force: no transaction of anybody's was
// since the generation it was made for. Where it is not certain, another program's transaction may be the one.
func (e *LostAnswerError) Refused() bool { return e.Before != 0 && e.After == e.Before }

// Error says what is known.
func (e *LostAnswerError) Error() string {
	s := errNoAnswer.Error() + ", so that it is not known whether the transaction is in force"
	if e.Refused() {
		s = errNoAnswer.Error() + "; it refused the transaction, for a reason that is lost with it"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives what is known of the reason.
func (e *LostAnswerError) Unwrap() error { return e.Err }

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
