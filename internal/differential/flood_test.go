package differential

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/nft"
)

// floodPort is where all endpoints of a flood listen.
const floodPort = 8080

// flood is a node between a namespace that sends as whomever it likes and one that is every endpoint there is. It sees
// where a hundred thousand connections go in seconds: one UDP packet each, from a raw socket to a single listener.
type flood struct {
	*netlab.Lab
	conn   *nft.Conn
	family graph.Family
	send   int // raw socket, whose packets have their own IP headers
	recv   int // UDP socket at all addresses
}

// The networks of a flood, by family: the clients' and the endpoints'.
var (
	crowd    = map[graph.Family]netip.Prefix{graph.IPv4: netip.MustParsePrefix("172.16.0.0/12"), graph.IPv6: netip.MustParsePrefix("fd00:c1::/64")}
	farm     = map[graph.Family]netip.Prefix{graph.IPv4: netip.MustParsePrefix("10.2.0.0/16"), graph.IPv6: netip.MustParsePrefix("fd00:10:2::/64")}
	farmHost = map[graph.Family]netip.Addr{graph.IPv4: netip.MustParseAddr("192.168.2.2"), graph.IPv6: netip.MustParseAddr("fd00:c2::2")}
)

// nth gives the n-th address of a network.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	tail := b[len(b)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+uint32(n))
	a, _ := netip.AddrFromSlice(b)
	return a
}

func newFlood(t *testing.T, f graph.Family) *flood {
	t.Helper()
	x := &flood{Lab: netlab.Start(t, netlab.Options{}), family: f}
	x.conn = open(t, x.Node)
	gateways := []netip.Addr{netlab.NodeAddr4, netlab.NodeAddr6}
	endpoints, err := x.Attach(t.Context(), netlab.Host{Name: "farm", Addrs: []netip.Addr{farmHost[f]}, Gateways: gateways})
	if err != nil {
		t.Fatal(err)
	}
	all := &net.IPNet{IP: farm[f].Addr().AsSlice(), Mask: net.CIDRMask(farm[f].Bits(), farm[f].Addr().BitLen())}
	x.in(t, x.Node, func() error {
		return routeBy("farm", &netlink.Route{Dst: all, Gw: farmHost[f].AsSlice()})
	})
	x.in(t, endpoints, func() (err error) {
		// Every address of the network is this host's own, without having it.
		err = routeBy("lo", &netlink.Route{Dst: all, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST})
		if err != nil {
			return err
		}
		x.recv, err = listener(f)
		return err
	})
	x.in(t, x.Client, func() (err error) {
		x.send, err = unix.Socket(domain(f), unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	t.Cleanup(func() {
		unix.Close(x.send)
		unix.Close(x.recv)
	})
	return x
}

func (x *flood) in(t *testing.T, ns *netlab.Namespace, f func() error) {
	t.Helper()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

func routeBy(link string, r *netlink.Route) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	r.LinkIndex = l.Attrs().Index
	return netlink.RouteAdd(r)
}

func domain(f graph.Family) int {
	if f == graph.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// listener is a UDP socket that is told which address a packet was for.
func listener(f graph.Family) (int, error) {
	fd, err := unix.Socket(domain(f), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	var all unix.Sockaddr = &unix.SockaddrInet4{Port: floodPort}
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if f == graph.IPv6 {
		all = &unix.SockaddrInet6{Port: floodPort}
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return 0, err
	}
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return 0, err
	}
	return fd, unix.Bind(fd, all)
}

// run sends a packet from every client, numbered from 0, to a service address, and tells where each one arrived.
func (x *flood) run(t *testing.T, clients int, to netip.AddrPort, arrived func(client int, endpoint netip.Addr)) {
	t.Helper()
	// As many packets as fit into the listener's buffer whatever the system's limit. Connection tracking is emptied before
	// it is full, and at the beginning: every packet is the first of its connection.
	const batch, tracked = 128, 128 * 128
	for first := 0; first < clients; first += batch {
		if first%tracked == 0 {
			x.in(t, x.Node, func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
		}
		n := min(batch, clients-first)
		for i := first; i < first+n; i++ {
			if err := x.sendFrom(nth(crowd[x.family], i), to); err != nil {
				t.Fatalf("sending: %v", err)
			}
		}
		for range n {
			client, endpoint, err := x.receive()
			if err != nil {
				t.Fatalf("of %d packets from client %d on, not all arrived: %v", n, first, err)
			}
			arrived(client, endpoint)
		}
	}
}

// sendFrom sends an empty UDP packet. The kernel fills in the rest of an IPv4 header (man 7 raw).
func (x *flood) sendFrom(source netip.Addr, to netip.AddrPort) error {
	udp := binary.BigEndian.AppendUint16(nil, 40000)
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, 8)
	udp = append(udp, 0, 0)
	addresses := append(source.AsSlice(), to.Addr().AsSlice()...)
	pseudo := binary.BigEndian.AppendUint16(slices.Clone(addresses), unix.IPPROTO_UDP)
	pseudo = binary.BigEndian.AppendUint16(pseudo, 8)
	binary.BigEndian.PutUint16(udp[6:], checksum(append(pseudo, udp...)))
	if x.family == graph.IPv4 {
		header := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
		return unix.Sendto(x.send, slices.Concat(header, addresses, udp), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
	}
	header := []byte{0x60, 0, 0, 0, 0, 8, unix.IPPROTO_UDP, 64}
	return unix.Sendto(x.send, slices.Concat(header, addresses, udp), 0, &unix.SockaddrInet6{Addr: to.Addr().As16()})
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

func (x *flood) receive() (client int, endpoint netip.Addr, err error) {
	var buf [1]byte
	var control [128]byte
	_, n, _, from, err := unix.Recvmsg(x.recv, buf[:], control[:], 0)
	if err != nil {
		return 0, netip.Addr{}, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return 0, netip.Addr{}, fmt.Errorf("packet information: %d messages: %w", len(messages), err)
	}
	// struct in_pktinfo ends in the address, struct in6_pktinfo begins with it (include/uapi/linux/in.h, ipv6.h).
	info := messages[0].Data
	var source netip.Addr
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		source = netip.AddrFrom4(from.Addr)
		endpoint, _ = netip.AddrFromSlice(info[8:12])
	case *unix.SockaddrInet6:
		source = netip.AddrFrom16(from.Addr)
		endpoint, _ = netip.AddrFromSlice(info[:16])
	default:
		return 0, netip.Addr{}, fmt.Errorf("a packet from %T", from)
	}
	base, got := crowd[x.family].Addr().AsSlice(), source.AsSlice()
	return int(binary.BigEndian.Uint32(got[len(got)-4:]) - binary.BigEndian.Uint32(base[len(base)-4:])), endpoint, nil
}
