package netlab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostLink is the name of the one link that everything but the node has.
const hostLink = "eth0"

// linkPatience is how long a link may take to be usable: the kernel rate-limits its own news about carriers to one second.
const linkPatience = 10 * time.Second

// setting is a file under /proc/sys/net with what to write to it.
type setting struct {
	file, value string
	optional    bool // kernels differ in having it
}

// hostSysctls hold in every namespace. They are set before the first link is made, so that links inherit them.
var hostSysctls = []setting{
	{"ipv6/conf/all/disable_ipv6", "0", false},
	{"ipv6/conf/default/disable_ipv6", "0", false},
	// Duplicate address detection would keep an address from being used for a second.
	{"ipv6/conf/all/accept_dad", "0", false},
	{"ipv6/conf/default/accept_dad", "0", false},
	{"ipv6/conf/default/dad_transmits", "0", false},
	{"ipv6/conf/default/accept_ra", "0", false},
	{"ipv4/conf/all/rp_filter", "0", false},
	{"ipv4/conf/default/rp_filter", "0", false},
	{"ipv4/conf/all/send_redirects", "0", false},
	{"ipv4/conf/default/send_redirects", "0", false},
	// Each refusal is looked at, so none may be held back by a rate limit.
	{"ipv4/icmp_ratelimit", "0", false},
	{"ipv6/icmp/ratelimit", "0", false},
	{"ipv4/icmp_msgs_per_sec", "100000", true},
	{"ipv4/icmp_msgs_burst", "100000", true},
}

// routerSysctls hold in the node.
var routerSysctls = []setting{
	{"ipv4/ip_forward", "1", false},
	{"ipv6/conf/all/forwarding", "1", false},
	{"ipv6/conf/default/forwarding", "1", false},
}

// Host is something to attach to the node.
type Host struct {
	Name string
	// Addrs are its own addresses, routed to it one by one: nothing is shared with any other host.
	Addrs []netip.Addr
	// Gateways are the node's addresses on the link, at most one per family: the host's default routes.
	Gateways []netip.Addr
}

// Attach makes a namespace and connects it to the node by a virtual Ethernet link. When Attach returns, packets pass.
func (l *Lab) Attach(ctx context.Context, h Host) (*Namespace, error) {
	ns, err := l.add(h.Name)
	if err != nil {
		return nil, err
	}
	for _, addr := range h.Addrs {
		if addr.Is4() && !ns.Addr4.IsValid() {
			ns.Addr4 = addr
		}
		if addr.Is6() && !ns.Addr6.IsValid() {
			ns.Addr6 = addr
		}
	}
	err = l.Node.Do(func() error {
		veth := &netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: h.Name},
			PeerName:      hostLink,
			PeerNamespace: netlink.NsFd(ns.fd),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("link to %s: %w", h.Name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := ns.configure(hostLink, h.Addrs, h.Gateways); err != nil {
		return nil, err
	}
	if err := l.Node.configure(h.Name, h.Gateways, h.Addrs); err != nil {
		return nil, err
	}
	if err := ns.defaultRoutes(hostLink, h.Gateways...); err != nil {
		return nil, err
	}
	return ns, errors.Join(ns.awaitLink(ctx, hostLink), l.Node.awaitLink(ctx, h.Name))
}

// prepare sets what holds in every namespace.
func (ns *Namespace) prepare() error {
	if err := ns.sysctl(hostSysctls); err != nil {
		return err
	}
	return ns.Do(loopbackUp)
}

// AddAddr gives the namespace one more address, on its loopback device: what is sent to it is answered there, if it gets
// there at all. Routes are the caller's matter.
func (ns *Namespace) AddAddr(addr netip.Addr) error {
	return ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("loopback: %w", err)
		}
		if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: hostNet(addr), Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("address %s: %w", addr, err)
		}
		return nil
	})
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

func (ns *Namespace) sysctl(settings []setting) error {
	return ns.Do(func() error {
		for _, s := range settings {
			// Which namespace's settings the files show depends on the thread that opens them.
			err := os.WriteFile(filepath.Join("/proc/sys/net", s.file), []byte(s.value), 0o644)
			if err != nil && !s.optional {
				if errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("this kernel has no %s: %w", s.file, err)
				}
				return err
			}
		}
		return nil
	})
}

// configure brings a link up with addresses of its own, and routes to those at its other end. The source address is the
// first of its own: IPv6 would otherwise take the newest.
func (ns *Namespace) configure(link string, own, other []netip.Addr) error {
	return ns.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return fmt.Errorf("link %s: %w", link, err)
		}
		for _, a := range own {
			addr := &netlink.Addr{IPNet: hostNet(a), Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE}
			if err := netlink.AddrAdd(l, addr); err != nil {
				return fmt.Errorf("address %s of link %s: %w", a, link, err)
			}
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("link %s up: %w", link, err)
		}
		for _, a := range other {
			r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: hostNet(a), Scope: netlink.SCOPE_LINK, Src: source(own, a)}
			if err := netlink.RouteAdd(r); err != nil {
				return fmt.Errorf("route to %s by link %s: %w", a, link, err)
			}
		}
		return nil
	})
}

// defaultRoutes leads everything else through a link to the given gateways. The source address is the namespace's first.
func (ns *Namespace) defaultRoutes(link string, gateways ...netip.Addr) error {
	return ns.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return fmt.Errorf("link %s: %w", link, err)
		}
		for _, gw := range gateways {
			all := &net.IPNet{IP: make(net.IP, gw.BitLen()/8), Mask: net.CIDRMask(0, gw.BitLen())}
			r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: all, Gw: gw.AsSlice(), Src: ns.Addr(gw).AsSlice()}
			if err := netlink.RouteAdd(r); err != nil {
				return fmt.Errorf("default route by %s: %w", gw, err)
			}
		}
		return nil
	})
}

// awaitLink waits until a link carries IPv4 and IPv6: it has a carrier and no address is tentative, its link-local one
// included, from which the kernel asks for its neighbours.
func (ns *Namespace) awaitLink(ctx context.Context, link string) error {
	err := Until(ctx, linkPatience, func() bool {
		ready := false
		err := ns.Do(func() (err error) {
			ready, err = linkReady(link)
			return err
		})
		return err == nil && ready
	})
	if err != nil {
		return fmt.Errorf("%s: waiting for link %s: %w", ns.Name, link, err)
	}
	return nil
}

func linkReady(link string) (bool, error) {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return false, err
	}
	addrs, err := netlink.AddrList(l, unix.AF_INET6)
	if err != nil {
		return false, err
	}
	linkLocal := false
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			return false, nil
		}
		linkLocal = linkLocal || a.IP.IsLinkLocalUnicast()
	}
	return linkLocal && l.Attrs().OperState == netlink.OperUp, nil
}

// source gives the first address of the same family as another one.
func source(own []netip.Addr, other netip.Addr) net.IP {
	for _, a := range own {
		if a.Is4() == other.Is4() {
			return a.AsSlice()
		}
	}
	return nil
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}
