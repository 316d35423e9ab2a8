package nft

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// ownAddrs are the addresses that the node takes packets for: what "fib daddr type local" matches in the rules. That is
// more than the addresses of interfaces, which is why the routes are read.
type ownAddrs struct {
	addrs    map[netip.Addr]bool
	prefixes []netip.Prefix // of more than one address: 127.0.0.0/8, and what "ip route add local" made
}

func (o *ownAddrs) contains(a netip.Addr) bool {
	if o.addrs[a] {
		return true
	}
	for _, p := range o.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// routeHeader is the size of what a message about routes begins with (struct rtmsg). Its first four bytes are where the
// netfilter subsystems have their header.
const routeHeader = 12

// ownAddrs reads the node's own addresses of the families in which flows to node ports are asked for.
func (c *Conn) ownAddrs(ctx context.Context, stale []plan.StaleFlow) (ownAddrs, error) {
	out := ownAddrs{addrs: map[netip.Addr]bool{}}
	var read [len(graph.Families)]bool
	for i := range stale {
		s := &stale[i]
		if !s.IsNodePort() || read[s.Family] {
			continue
		}
		read[s.Family] = true
		if err := c.readOwnAddrs(ctx, s.Family, &out); err != nil {
			return out, fmt.Errorf("reading the node's own %s addresses: %w", s.Family, err)
		}
	}
	return out, nil
}

// readOwnAddrs adds the addresses of one family.
func (c *Conn) readOwnAddrs(ctx context.Context, f graph.Family, out *ownAddrs) error {
	// Where the kernel can choose (Linux 4.20, NETLINK_GET_STRICT_CHK), a million other routes are not written down. An
	// IPv6 kernel without policy routing has these in the main table.
	request := [routeHeader - familyHeader]byte{3: unix.RTN_LOCAL}
	if f == graph.IPv4 {
		request[0] = unix.RT_TABLE_LOCAL
	}
	for range readAttempts {
		a, err := c.route.exchange(ctx, unix.RTM_GETROUTE, unix.NLM_F_DUMP, domainOf(f), request[:], func(p []byte) {
			out.add(f, p)
		})
		switch {
		case err != nil:
			return err
		case a.errno == unix.ENOENT: // no such table: no such routes
			return nil
		case !a.changed && a.errno != unix.EINTR:
			return a.err()
		}
	}
	return fmt.Errorf("the routes kept changing: %w", unix.EINTR)
}

// add reads one message about a route.
func (o *ownAddrs) add(f graph.Family, p []byte) {
	if len(p) < routeHeader || p[0] != domainOf(f) || p[7] != unix.RTN_LOCAL {
		return
	}
	if f == graph.IPv4 && p[4] != unix.RT_TABLE_LOCAL {
		return
	}
	addr := addrFrom(firstAttr(p[routeHeader:], unix.RTA_DST))
	bits := int(p[1])
	switch {
	case !f.Of(addr) || bits > addr.BitLen():
	case bits == addr.BitLen():
		o.addrs[addr] = true
	default:
		o.prefixes = append(o.prefixes, netip.PrefixFrom(addr, bits))
	}
}

// domainOf gives the number of an address family in rtnetlink.
func domainOf(f graph.Family) uint8 {
	if f == graph.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// openRouteSocket opens a socket to rtnetlink in the network namespace of the calling thread.
func openRouteSocket() (*socket, error) {
	s, err := openSocket(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	// A kernel without it lists all routes, and those wanted are chosen here.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return s, nil
}
