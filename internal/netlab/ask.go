package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Outcome is how a request ended.
type Outcome uint8

// The outcomes.
const (
	Failed      Outcome = iota // none of the others: the lab itself is at fault
	Answered                   // an endpoint answered
	Refused                    // a TCP reset, or an ICMP message that the port or protocol is unreachable
	Unreachable                // an ICMP message that the host or network is unreachable
	Silent                     // nothing came back in time: dropped somewhere
)

// String gives the outcome as a word.
func (o Outcome) String() string {
	return [...]string{"failed", "answered", "refused", "unreachable", "silent"}[o]
}

// DefaultPatience is how long a request waits for an answer where it does not say otherwise: long enough for a busy
// machine and a few retransmissions, so that only what is really lost counts as lost.
const DefaultPatience = 5 * time.Second

// Request is one attempt to reach an address.
type Request struct {
	Protocol Protocol
	To       netip.AddrPort
	From     netip.Addr    // the source address; not valid: the kernel chooses
	Patience time.Duration // 0: DefaultPatience
}

// Answer is what came of a request. Where Outcome is Answered, Endpoint is the name of the namespace that answered, Local
// the address that it was reached at and Source the source address that it saw.
type Answer struct {
	Outcome       Outcome
	Endpoint      string
	Local, Source netip.AddrPort
	Err           error // for all outcomes but Answered
}

// String gives an answer in one line.
func (a Answer) String() string {
	if a.Outcome == Answered {
		return fmt.Sprintf("answered by %s at %s, which saw %s", a.Endpoint, a.Local, a.Source)
	}
	return fmt.Sprintf("%s (%v)", a.Outcome, a.Err)
}

// Ask makes a request from the namespace: a TCP connection that is closed after the greeting, one UDP datagram, or one
// SCTP INIT. Each has a source port of its own, so that it is a new connection to the kernel.
func (ns *Namespace) Ask(ctx context.Context, r Request) Answer {
	if r.Protocol == SCTP {
		ns.sctp.Lock()
		defer ns.sctp.Unlock()
	}
	patience := r.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var g greeting
	var err error
	switch r.Protocol {
	case TCP:
		g, err = ns.askTCP(ctx, r)
	case UDP:
		g, err = ns.askUDP(ctx, r)
	case SCTP:
		g, err = ns.askSCTP(ctx, r)
	default:
		panic(fmt.Sprintf("netlab: unknown protocol %d", uint8(r.Protocol)))
	}
	if err != nil {
		return Answer{Outcome: outcome(err), Err: err}
	}
	return Answer{Outcome: Answered, Endpoint: g.endpoint, Local: g.local, Source: g.source}
}

// udpPorts and sctpPorts count the source ports of requests.
var udpPorts, sctpPorts atomic.Uint32

// nextPort gives a source port that no request has used for a long time. Left to itself the kernel hands out ports at
// random; now and then one comes back while connection tracking still knows the flow that it was used for, and what
// looked like a new request would go where the old one went. (Of TCP connections it knows that they are over.)
func nextPort(ports *atomic.Uint32) int {
	const first, count = 10000, 50000
	return first + int(ports.Add(1)%count)
}

// DialContext connects from the namespace. It has the shape that net/http.Transport wants; addr must be an IP address and
// port, for a name would be looked up by goroutines outside of the namespace.
func (ns *Namespace) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, err
	}
	return ns.dial(ctx, &net.Dialer{}, network, addr)
}

func (ns *Namespace) dial(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
	d.SetMultipathTCP(false)
	var conn net.Conn
	err := ns.Do(func() (err error) {
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

func (ns *Namespace) askTCP(ctx context.Context, r Request) (greeting, error) {
	d := &net.Dialer{}
	if r.From.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: r.From.AsSlice()}
	}
	conn, err := ns.dial(ctx, d, "tcp", r.To.String())
	if err != nil {
		return greeting{}, err
	}
	defer func() { _ = conn.Close() }()
	defer expireWith(ctx, conn)()
	return readGreeting(conn)
}

func (ns *Namespace) askUDP(ctx context.Context, r Request) (greeting, error) {
	d := &net.Dialer{Control: reportErrors, LocalAddr: &net.UDPAddr{IP: r.From.AsSlice(), Port: nextPort(&udpPorts)}}
	conn, err := ns.dial(ctx, d, "udp", r.To.String())
	if err != nil {
		return greeting{}, err
	}
	defer func() { _ = conn.Close() }()
	defer expireWith(ctx, conn)()
	if err := send(conn, []byte("?")); err != nil {
		return greeting{}, err
	}
	buf := make([]byte, 2048)
	n, err := conn.Read(buf)
	if err != nil {
		return greeting{}, err
	}
	return parseGreeting(string(buf[:n]))
}

// send sends one packet. A verdict in the sender's own output hook is "operation not permitted" here, a reject and a drop
// alike; which one it was is told by the ICMP message that follows, or does not.
func send(conn net.Conn, packet []byte) error {
	if _, err := conn.Write(packet); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

// reportErrors has a UDP or raw socket told of all ICMP errors: without it the kernel keeps unreachable hosts and networks
// to itself, for they may come back.
func reportErrors(network, _ string, raw syscall.RawConn) error {
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if strings.HasPrefix(network, "udp6") || strings.HasPrefix(network, "ip6") {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	var err error
	if controlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); controlErr != nil {
		return controlErr
	}
	return err
}

// expireWith ends a connection's reads and writes when the context is over. The function it gives undoes that.
func expireWith(ctx context.Context, conn net.Conn) func() {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func outcome(err error) Outcome {
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return Refused
	case errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.EPROTO):
		return Refused // the host speaks no SCTP: ICMP protocol unreachable, ICMPv6 unrecognized next header
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return Unreachable
	case errors.Is(err, unix.EACCES):
		return Unreachable // ICMPv6 administratively prohibited; of ICMP it is EHOSTUNREACH
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Silent
	default:
		return Failed
	}
}
