package nft

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// sendOverhead is what a datagram may not use of the send buffer (net/netlink/af_netlink.c, netlink_sendmsg).
	sendOverhead = 32
	// receiveBuffer holds every answer of a transaction in which each of some thousand messages fails.
	receiveBuffer = 8 << 20
	// datagramSize is enough for any datagram: the kernel makes dumps of at most 32 KiB (netlink_recvmsg) and cuts the
	// messages it refuses to their header (NETLINK_CAP_ACK).
	datagramSize = 64 << 10
)

// errNoAnswer says that the kernel took a request and did not answer, or not to the end.
var errNoAnswer = errors.New("nf_tables: the kernel's answer was lost")

// wire is the two system calls through which everything that is said to the kernel and by it passes. Whatever can go
// wrong between the two goes wrong here.
type wire interface {
	// send gives the kernel one datagram, whole or not at all. When it returns, the kernel has dealt with it.
	send(datagram []byte) error
	// receive fills buf with the next datagram and gives the datagram's length, which may be more than fits. It never
	// waits: where there is none the error is unix.EAGAIN.
	receive(buf []byte) (int, error)
}

// descriptor is the wire: the file descriptor of a netlink socket.
type descriptor int

func (fd descriptor) send(datagram []byte) error {
	return unix.Sendto(int(fd), datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (fd descriptor) receive(buf []byte) (int, error) {
	n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	return n, err
}

// socket is a netlink socket, mostly to nf_tables. The kernel serves it synchronously: what it has to say is there when a system
// call returns, so that no call here ever waits.
type socket struct {
	fd   int
	wire wire
	seq  uint32
	buf  []byte
}

// openSocket opens a socket of a netlink protocol in the network namespace of the calling thread.
func openSocket(protocol int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_NETLINK)", err)
	}
	s := &socket{fd: fd, wire: descriptor(fd), buf: make([]byte, datagramSize)}
	if err := s.configure(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *socket) configure() error {
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("bind(AF_NETLINK)", err)
	}
	// Extended acknowledgements name the element at fault; both options are older than every kernel with the maps that
	// the program needs.
	for _, opt := range [...]int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, opt, 1); err != nil {
			return os.NewSyscallError("setsockopt(SOL_NETLINK)", err)
		}
	}
	return s.growBuffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer)
}

// growBuffer sets the size of a buffer of the socket. Beyond the limits in net.core this takes CAP_NET_ADMIN in the
// initial user namespace; without it the buffer becomes as large as the limit.
func (s *socket) growBuffer(force, plain, size int) error {
	err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, size)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, plain, size)
	}
	return os.NewSyscallError("setsockopt(SOL_SOCKET)", err)
}

func (s *socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// sendLimit gives the largest datagram that the send buffer takes.
func (s *socket) sendLimit() (int, error) {
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	return n - sendOverhead, os.NewSyscallError("getsockopt(SO_SNDBUF)", err)
}

// reserve makes the send buffer large enough for a datagram of n bytes.
func (s *socket) reserve(n int) error {
	limit, err := s.sendLimit()
	if err != nil || n <= limit {
		return err
	}
	if err := s.growBuffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, n+sendOverhead); err != nil {
		return err
	}
	if limit, err = s.sendLimit(); err != nil || n <= limit {
		return err
	}
	return &BatchSizeError{Bytes: n, Limit: limit}
}

// send gives the kernel one datagram. With an error the kernel did not get it.
func (s *socket) send(b []byte) error {
	for {
		err := s.wire.send(b)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("sendmsg", err)
		}
	}
}

// sendError makes the error of a datagram of n bytes that could not be sent.
func (s *socket) sendError(n int, err error) error {
	if !errors.Is(err, unix.EMSGSIZE) {
		return fmt.Errorf("%d bytes: %w", n, err)
	}
	limit, limitErr := s.sendLimit()
	if limitErr != nil {
		return errors.Join(err, limitErr)
	}
	return &BatchSizeError{Bytes: n, Limit: limit}
}

// receive gives the next datagram, or nil where there is none. It is valid until the next call. The error unix.ENOBUFS
// says that something before it was lost; what was not is there still.
func (s *socket) receive() ([]byte, error) {
	for {
		n, err := s.wire.receive(s.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil, nil
		case err != nil:
			return nil, os.NewSyscallError("recvmsg", err)
		case n > len(s.buf):
			return nil, fmt.Errorf("netlink: datagram of %d bytes does not fit", n)
		}
		return s.buf[:n], nil
	}
}

// drain throws away what an abandoned request left behind.
func (s *socket) drain() {
	for {
		if b, err := s.receive(); b == nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// answer is what the kernel said to a request: the messages of its type go to a callback, this is the rest.
type answer struct {
	ack
	changed bool // the dump was interrupted by a change, or part of it was lost: it is inconsistent
}

// request sends one message to nf_tables and gives every message of the answer to fn: the family and the attributes, valid
// only during the call. With unix.NLM_F_DUMP in flags the answer is a list.
func (s *socket) request(
	ctx context.Context, msg, flags uint16, family uint8, attributes []byte, fn func(family uint8, attributes []byte),
) (answer, error) {
	return s.exchange(ctx, nftType(msg), flags, family, attributes, func(payload []byte) {
		if family, body, ok := familyPayload(payload); ok {
			fn(family, body)
		}
	})
}

// exchange is request for a message of any type. What follows the family's four bytes is body, and fn gets the messages of
// the answer whole.
func (s *socket) exchange(
	ctx context.Context, typ, flags uint16, family uint8, body []byte, fn func(payload []byte),
) (answer, error) {
	return s.exchangeHeader(ctx, typ, flags, [familyHeader]byte{family}, body, fn)
}

// exchangeHeader is exchange where the four bytes before the body say more than the family.
func (s *socket) exchangeHeader(
	ctx context.Context, typ, flags uint16, first [familyHeader]byte, body []byte, fn func(payload []byte),
) (answer, error) {
	s.drain()
	s.seq++
	b, start := appendHeader(make([]byte, 0, messageHeader+familyHeader+len(body)),
		header{typ: typ, flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | flags, seq: s.seq}, first[0], 0)
	copy(b[start+messageHeader:], first[:])
	b = append(b, body...)
	closeMessage(b, start)
	if err := s.send(b); err != nil {
		return answer{}, err
	}
	var a answer
	for {
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
		d, err := s.receive()
		if errors.Is(err, unix.ENOBUFS) {
			a.changed = true
			continue
		}
		if err != nil {
			return answer{}, err
		}
		if d == nil {
			return answer{}, errNoAnswer
		}
		if !s.take(d, &a, fn) {
			continue
		}
		if a.changed && flags&unix.NLM_F_DUMP == 0 {
			return answer{}, errNoAnswer // what came before the end is lost
		}
		return a, nil
	}
}

// take handles one datagram of an answer and reports whether the answer is complete.
func (s *socket) take(datagram []byte, a *answer, fn func(payload []byte)) (complete bool) {
	for h, p := range messages(datagram) {
		if h.seq != s.seq {
			continue
		}
		a.changed = a.changed || h.flags&unix.NLM_F_DUMP_INTR != 0
		switch h.typ {
		case unix.NLMSG_ERROR:
			if k, ok := parseAck(h, p); ok {
				a.ack = k
			}
			complete = true
		case unix.NLMSG_DONE:
			if k, ok := parseDone(h, p); ok {
				a.ack = k
			}
			complete = true
		default:
			fn(p)
		}
	}
	return complete
}
