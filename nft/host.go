package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// InNamespace runs fn in a network namespace, as in [Open], on a thread that ends with it: what is read of /proc/sys/net
// is that of the thread that opens the file. fn must not start goroutines that depend on the namespace.
func InNamespace(netns string, fn func() error) error {
	if netns == "" {
		return fn()
	}
	return inNetns(netnsPath(netns), fn)
}

// Host is a connection to those parts of a network namespace that are no rules: routes, interfaces, sockets. It needs no
// privilege, but for entering another namespace.
type Host struct {
	route *socket
	diag  *socket
	// diagErr is why there is no connection to the sockets.
	diagErr error
}

// OpenHost opens a connection to a network namespace, as in [Open].
func OpenHost(netns string) (*Host, error) {
	h := &Host{}
	err := InNamespace(netns, func() (err error) {
		if h.route, err = openRouteSocket(); err != nil {
			return err
		}
		h.diag, h.diagErr = openSocket(unix.NETLINK_SOCK_DIAG)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Close closes the connection.
func (h *Host) Close() error {
	err := h.route.close()
	if h.diagErr == nil {
		err = errors.Join(err, h.diag.close())
	}
	return err
}

// Route is how the host reaches an address.
type Route struct {
	Reached bool
	Why     string // why not: the kernel's word for it
	Local   bool   // it is the host's own
	Link    int    // the index of the interface
	Gateway bool   // it is not on the link itself
}

// RouteTo gives how the host itself reaches an address.
func (h *Host) RouteTo(ctx context.Context, to netip.Addr) (Route, error) {
	f, size := graph.IPv4, 4
	if to.Is6() {
		f, size = graph.IPv6, 16
	}
	body := make([]byte, routeHeader-familyHeader, 64)
	dest := appendBytes(nil, unix.RTA_DST, to.AsSlice())
	var out Route
	// The second byte of struct rtmsg is the length of the destination in bits.
	header := [familyHeader]byte{domainOf(f), uint8(size * 8)}
	a, err := h.route.exchangeHeader(ctx, unix.RTM_GETROUTE, 0, header, append(body, dest...), func(p []byte) {
		if len(p) < routeHeader {
			return
		}
		out.Reached, out.Local = true, p[7] == unix.RTN_LOCAL
		for typ, v := range attrs(p[routeHeader:]) {
			switch typ {
			case unix.RTA_OIF:
				out.Link = int(hostU32(v))
			case unix.RTA_GATEWAY, unix.RTA_VIA:
				out.Gateway = true
			}
		}
		switch p[7] {
		case unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
			out.Reached, out.Why = false, "its route is of the type "+routeTypes[p[7]]
		}
	})
	switch {
	case err != nil:
		return Route{}, err
	case a.errno == unix.ENETUNREACH, a.errno == unix.EHOSTUNREACH, a.errno == unix.EACCES, a.errno == unix.EINVAL:
		return Route{Why: a.errno.Error()}, nil
	default:
		return out, a.err()
	}
}

var routeTypes = map[uint8]string{
	unix.RTN_UNREACHABLE: "unreachable", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw",
}

// Link is an interface.
type Link struct {
	Index    int
	Name     string
	Up       bool
	Loopback bool
	Master   int // the bridge or bond that it is a part of, 0 for none
	Bridge   bool
	// Filter4 and Filter6 say that the bridge hands its packets to the rules for IP, whatever the namespace's setting.
	Filter4, Filter6 bool
}

// Attributes of interfaces (include/uapi/linux/if_link.h) that package unix does not have.
const (
	iflaBrNfCallIPtables  = 36
	iflaBrNfCallIP6tables = 37
)

// Links gives the interfaces.
func (h *Host) Links(ctx context.Context) ([]Link, error) { return readLinks(ctx, h.route) }

func readLinks(ctx context.Context, route *socket) ([]Link, error) {
	var out []Link
	for range readAttempts {
		out = nil
		a, err := route.exchange(ctx, unix.RTM_GETLINK, unix.NLM_F_DUMP, unix.AF_UNSPEC, make([]byte, unix.SizeofIfInfomsg-familyHeader),
			func(p []byte) {
				if l, ok := decodeLink(p); ok {
					out = append(out, l)
				}
			})
		if err != nil {
			return nil, err
		}
		if !a.changed {
			return out, a.err()
		}
	}
	return nil, fmt.Errorf("the interfaces kept changing: %w", unix.EINTR)
}

func decodeLink(p []byte) (l Link, ok bool) {
	if len(p) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.Index = int(int32(hostU32(p[4:])))
	flags := hostU32(p[8:])
	l.Up, l.Loopback = flags&unix.IFF_UP != 0, flags&unix.IFF_LOOPBACK != 0
	for typ, v := range attrs(p[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = str(v)
		case unix.IFLA_MASTER:
			l.Master = int(hostU32(v))
		case unix.IFLA_LINKINFO:
			l.Bridge = str(firstAttr(v, unix.IFLA_INFO_KIND)) == "bridge"
			if !l.Bridge {
				continue
			}
			data := firstAttr(v, unix.IFLA_INFO_DATA)
			set := func(typ uint16) bool { b := firstAttr(data, typ); return len(b) == 1 && b[0] != 0 }
			l.Filter4, l.Filter6 = set(iflaBrNfCallIPtables), set(iflaBrNfCallIP6tables)
		}
	}
	return l, l.Name != ""
}

// Addrs gives the addresses of the interfaces, each with the index of its interface.
func (h *Host) Addrs(ctx context.Context) (map[netip.Addr]int, error) {
	for range readAttempts {
		out := map[netip.Addr]int{}
		a, err := h.route.exchange(ctx, unix.RTM_GETADDR, unix.NLM_F_DUMP, unix.AF_UNSPEC, make([]byte, unix.SizeofIfAddrmsg-familyHeader),
			func(p []byte) {
				if len(p) < unix.SizeofIfAddrmsg {
					return
				}
				// On a link between two, the address is the other end's and the local one is ours.
				var own []byte
				for typ, v := range attrs(p[unix.SizeofIfAddrmsg:]) {
					if typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS && own == nil {
						own = v
					}
				}
				if addr, ok := netip.AddrFromSlice(own); ok {
					out[addr] = int(hostU32(p[4:]))
				}
			})
		if err != nil {
			return nil, err
		}
		if !a.changed {
			return out, a.err()
		}
	}
	return nil, fmt.Errorf("the addresses kept changing: %w", unix.EINTR)
}

// Routing sums up what makes packets take different ways in and out: interfaces with a default route, and rules of
// policy routing besides the three that every host has.
type Routing struct {
	Defaults []int // indexes of interfaces, each once
	Rules    int
}

// RoutingOf gives the sum for a family.
func (h *Host) RoutingOf(ctx context.Context, f graph.Family) (Routing, error) {
	var out Routing
	for range readAttempts {
		out = Routing{}
		seen := map[int]bool{}
		a, err := h.route.exchange(ctx, unix.RTM_GETROUTE, unix.NLM_F_DUMP, domainOf(f), mainTable[:], func(p []byte) {
			if len(p) < routeHeader || p[1] != 0 || p[7] != unix.RTN_UNICAST || p[4] != unix.RT_TABLE_MAIN {
				return
			}
			add := func(link int) {
				if link > 0 && !seen[link] {
					seen[link] = true
					out.Defaults = append(out.Defaults, link)
				}
			}
			for typ, v := range attrs(p[routeHeader:]) {
				switch typ {
				case unix.RTA_OIF:
					add(int(hostU32(v)))
				case unix.RTA_MULTIPATH:
					for len(v) >= unix.SizeofRtNexthop {
						add(int(int32(hostU32(v[4:]))))
						n := align4(int(binary.NativeEndian.Uint16(v)))
						if n < unix.SizeofRtNexthop || n > len(v) {
							break
						}
						v = v[n:]
					}
				}
			}
		})
		if err != nil {
			return out, err
		}
		if err := a.err(); err != nil && !errors.Is(err, unix.ENOENT) {
			return out, err
		}
		rules, err := h.route.exchange(ctx, unix.RTM_GETRULE, unix.NLM_F_DUMP, domainOf(f), make([]byte, routeHeader-familyHeader),
			func(p []byte) {
				if len(p) < routeHeader {
					return
				}
				table := uint32(p[4])
				for typ, v := range attrs(p[routeHeader:]) {
					if typ == unix.FRA_TABLE {
						table = hostU32(v)
					}
				}
				if table != unix.RT_TABLE_LOCAL && table != unix.RT_TABLE_MAIN && table != unix.RT_TABLE_DEFAULT {
					out.Rules++
				}
			})
		if err != nil {
			return out, err
		}
		if !a.changed && !rules.changed {
			return out, rules.err()
		}
	}
	return out, fmt.Errorf("the routes kept changing: %w", unix.EINTR)
}

// mainTable asks for the routes of the main table: of struct rtmsg what follows the family's four bytes.
var mainTable = [routeHeader - familyHeader]byte{0: unix.RT_TABLE_MAIN}

// Listener is a socket that takes what is sent to an address and port of the host, of no particular peer.
type Listener struct {
	Proto graph.Proto
	Addr  netip.AddrPort // the unspecified address for all
	// Both says that an unspecified IPv6 address takes IPv4, too.
	Both bool
	UID  uint32
}

// Listeners gives the listening sockets of TCP, UDP and SCTP. It needs no /proc: the kernel tells over netlink
// (man 7 sock_diag). unread names the protocols that the kernel does not tell of, with the reason.
func (h *Host) Listeners(ctx context.Context) (found []Listener, unread map[graph.Proto]error) {
	unread = map[graph.Proto]error{}
	for _, p := range []graph.Proto{graph.TCP, graph.UDP, graph.SCTP} {
		if h.diagErr != nil {
			unread[p] = h.diagErr
			continue
		}
		for _, f := range graph.Families {
			l, err := h.listeners(ctx, p, f)
			if err != nil {
				unread[p] = err
				break
			}
			found = append(found, l...)
		}
	}
	return found, unread
}

// The protocol of SOCK_DIAG (include/uapi/linux/sock_diag.h, inet_diag.h).
const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagRequestSize  = 56 // struct inet_diag_req_v2
	diagMessageSize  = 72 // struct inet_diag_msg
	tcpClose         = 7  // TCP_CLOSE, the state of a UDP socket that has no peer
	tcpListen        = 10 // TCP_LISTEN
	diagAttrSkV6Only = 11 // INET_DIAG_SKV6ONLY
)

func (h *Host) listeners(ctx context.Context, p graph.Proto, f graph.Family) ([]Listener, error) {
	state := uint32(1 << tcpListen)
	if p == graph.UDP {
		state = 1 << tcpClose
	}
	body := make([]byte, diagRequestSize-familyHeader)
	binary.NativeEndian.PutUint32(body, state)
	for range readAttempts {
		var out []Listener
		header := [4]byte{domainOf(f), protoNumber(p)}
		a, err := h.diag.exchangeHeader(ctx, sockDiagByFamily, unix.NLM_F_DUMP, header, body, func(b []byte) {
			if l, ok := decodeListener(p, b); ok {
				out = append(out, l)
			}
		})
		if err != nil {
			return nil, err
		}
		if !a.changed {
			return out, a.err()
		}
	}
	return nil, fmt.Errorf("the sockets kept changing: %w", unix.EINTR)
}

func decodeListener(p graph.Proto, b []byte) (l Listener, ok bool) {
	if len(b) < diagMessageSize {
		return l, false
	}
	family := b[0]
	port := binary.BigEndian.Uint16(b[4:])
	var addr netip.Addr
	switch family {
	case unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(b[8:12]))
	case unix.AF_INET6:
		addr = netip.AddrFrom16([16]byte(b[8:24]))
	default:
		return l, false
	}
	l = Listener{Proto: p, Addr: netip.AddrPortFrom(addr.Unmap(), port), UID: hostU32(b[64:])}
	if family == unix.AF_INET6 && addr.IsUnspecified() {
		only := firstAttr(b[diagMessageSize:], diagAttrSkV6Only)
		l.Both = len(only) == 1 && only[0] == 0
	}
	return l, port != 0
}
