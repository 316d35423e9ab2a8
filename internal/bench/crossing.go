package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
)

// The ports of a Service of the workload over UDP, and of its endpoints.
const (
	servicePort  = 53
	endpointPort = 5353
)

// crossing is a node between a namespace that sends as whomever it likes and one that counts what comes to any endpoint.
// Virtual links hand a packet on at once: when the sender's call returns, the packet has been through the node and is
// counted, all on the processor of the sender. So the time of the call is that of the packet's whole way.
type crossing struct {
	*netlab.Lab
	stack workload.Stack
	sink  *netlab.Namespace
	send  int            // raw socket, whose packets have their own IP headers
	seen  map[string]int // the sink's counters after the last series
}

// The endpoints' networks, and the address of the sink itself, by stack.
var (
	endpointNets = [...]netip.Prefix{netip.MustParsePrefix("10.0.0.0/10"), netip.MustParsePrefix("fd00:10:244::/96")}
	sinkAddrs    = [...]netip.Addr{netip.MustParseAddr("192.168.2.2"), netip.MustParseAddr("fd00:c2::2")}
	senders      = [...]netip.Addr{netip.MustParseAddr("172.16.0.1"), netip.MustParseAddr("fd00:c1::1")}
)

// sinkRules count the translated packets, and all others.
const sinkRules = `
table inet sink {
	counter translated {}
	counter other {}
	chain prerouting {
		type filter hook prerouting priority raw
		ip daddr 10.0.0.0/10 udp dport 5353 counter name translated drop
		ip6 daddr fd00:10:244::/96 udp dport 5353 counter name translated drop
		meta l4proto udp counter name other drop
	}
}
`

func newCrossing(ctx context.Context, stack workload.Stack) (x *crossing, err error) {
	lab, err := netlab.New(ctx, netlab.Options{})
	if err != nil {
		return nil, err
	}
	x = &crossing{Lab: lab, stack: stack, send: -1}
	defer func() {
		if err != nil {
			x.close()
		}
	}()
	x.sink, err = x.Attach(ctx, netlab.Host{
		Name: "sink", Addrs: []netip.Addr{sinkAddrs[stack]}, Gateways: []netip.Addr{netlab.NodeAddr4, netlab.NodeAddr6},
	})
	if err != nil {
		return nil, err
	}
	all := endpointNets[stack]
	if err := x.Node.Do(func() error {
		link, err := netlink.LinkByName("sink")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index, Gw: sinkAddrs[stack].AsSlice(),
			Dst: &net.IPNet{IP: all.Addr().AsSlice(), Mask: net.CIDRMask(all.Bits(), all.Addr().BitLen())},
		})
	}); err != nil {
		return nil, err
	}
	if _, err := x.sink.Run(ctx, sinkRules, "nft", "-f", "-"); err != nil {
		return nil, err
	}
	return x, x.Client.Do(func() (err error) {
		domain := unix.AF_INET
		if stack == workload.IPv6 {
			domain = unix.AF_INET6
		}
		x.send, err = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
}

func (x *crossing) close() {
	if x.send >= 0 {
		_ = unix.Close(x.send) // nothing depends on how it ends
	}
	x.Close()
}

// series sends the packets and gives how long that took. It makes sure that each is a new connection that was translated
// and arrived.
func (x *crossing) series(ctx context.Context, s *shots) (time.Duration, error) {
	before := x.seen
	if err := x.Node.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }); err != nil {
		return 0, err
	}
	took, err := s.fire(x.send)
	if err != nil {
		return 0, err
	}
	tracked, err := x.tracked()
	if err != nil {
		return 0, err
	}
	if x.seen, err = x.arrived(ctx); err != nil {
		return 0, err
	}
	n := len(s.messages)
	if got := x.seen["translated"] - before["translated"]; got != n {
		return 0, fmt.Errorf("%d packets sent, %d arrived translated, %d otherwise", n, got, x.seen["other"]-before["other"])
	}
	if tracked < n || tracked > n+2+n/1000 { // somebody may have asked for something
		return 0, fmt.Errorf("%d connections begun, %d tracked", n, tracked)
	}
	return took, nil
}

// tracked gives the number of connections that the node knows.
func (x *crossing) tracked() (n int, err error) {
	err = x.Node.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err == nil {
			n, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	return n, err
}

// arrived gives the sink's counters.
func (x *crossing) arrived(ctx context.Context) (map[string]int, error) {
	out, err := x.sink.Run(ctx, "", "nft", "-j", "list", "counters", "table", "inet", "sink")
	if err != nil {
		return nil, err
	}
	var list struct {
		Nftables []struct {
			Counter struct {
				Name    string
				Packets int
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, err
	}
	counters := map[string]int{}
	for _, o := range list.Nftables {
		counters[o.Counter.Name] = o.Counter.Packets
	}
	return counters, nil
}

// shots are packets that are ready to be sent: an empty UDP packet each, every one from another address.
type shots struct {
	stack    workload.Stack
	messages []mmsghdr
	vectors  []unix.Iovec
	names4   []unix.RawSockaddrInet4
	names6   []unix.RawSockaddrInet6
	packets  [][]byte
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32
}

// sendAtOnce is how many packets a system call takes (UIO_MAXIOV).
const sendAtOnce = 1024

func newShots(stack workload.Stack, n int) *shots {
	return &shots{
		stack: stack, messages: make([]mmsghdr, n), vectors: make([]unix.Iovec, n), packets: make([][]byte, n),
		names4: make([]unix.RawSockaddrInet4, n), names6: make([]unix.RawSockaddrInet6, n),
	}
}

// add makes the k-th packet.
func (s *shots) add(k int, to netip.Addr, port uint16) {
	s.packets[k] = packet(nth(senders[s.stack], k), to, port)
	s.vectors[k].Base = &s.packets[k][0]
	s.vectors[k].SetLen(len(s.packets[k]))
	h := &s.messages[k].header
	h.Iov, h.Iovlen = &s.vectors[k], 1
	if s.stack == workload.IPv6 {
		s.names6[k] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.As16()}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.names6[k])), unix.SizeofSockaddrInet6
		return
	}
	s.names4[k] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.As4()}
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&s.names4[k])), unix.SizeofSockaddrInet4
}

// fire sends all packets, from one processor.
func (s *shots) fire(fd int) (time.Duration, error) {
	type result struct {
		took time.Duration
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its affinity with it
		took, err := s.fireHere(fd)
		done <- result{took, err}
	}()
	r := <-done
	return r.took, r.err
}

func (s *shots) fireHere(fd int) (time.Duration, error) {
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, err
	}
	for cpu := range 1024 { // the last one: interrupts tend to go to the first
		if allowed.IsSet(cpu) {
			one.Zero()
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return 0, err
	}
	preferred()
	start := time.Now()
	for rest := s.messages; len(rest) > 0; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&rest[0])),
			uintptr(min(len(rest), sendAtOnce)), 0, 0, 0)
		if errno != 0 && !errors.Is(errno, unix.EINTR) {
			return 0, os.NewSyscallError("sendmmsg", errno)
		}
		if errno == 0 {
			rest = rest[n:]
		}
	}
	return time.Since(start), nil
}

// preferred keeps other programs from taking the processor away from the calling thread: a series takes some tenths of a
// second. Where that is not allowed, a busy machine makes the times worse, and the ratios not much.
func preferred() {
	priority := struct{ priority int32 }{1}
	_, _, _ = unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, uintptr(unsafe.Pointer(&priority)))
}

// nth gives the address that is n addresses after another one.
func nth(first netip.Addr, n int) netip.Addr {
	b := first.AsSlice()
	tail := b[len(b)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+uint32(n))
	a, _ := netip.AddrFromSlice(b)
	return a
}

// packet gives an empty UDP packet. The kernel fills in the rest of an IPv4 header (man 7 raw).
func packet(from, to netip.Addr, port uint16) []byte {
	udp := binary.BigEndian.AppendUint16(nil, 40000)
	udp = binary.BigEndian.AppendUint16(udp, port)
	udp = binary.BigEndian.AppendUint16(udp, 8)
	udp = append(udp, 0, 0)
	addresses := append(from.AsSlice(), to.AsSlice()...)
	pseudo := binary.BigEndian.AppendUint16(slices.Clone(addresses), unix.IPPROTO_UDP)
	pseudo = binary.BigEndian.AppendUint16(pseudo, 8)
	binary.BigEndian.PutUint16(udp[6:], checksum(append(pseudo, udp...)))
	header := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	if from.Is6() {
		header = []byte{0x60, 0, 0, 0, 0, 8, unix.IPPROTO_UDP, 64}
	}
	return slices.Concat(header, addresses, udp)
}

// checksum is the Internet checksum of an even number of bytes (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff {
		return 0xffff // 0 would be "no checksum" (RFC 768)
	}
	return ^uint16(sum)
}
