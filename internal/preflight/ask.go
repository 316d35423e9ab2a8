package preflight

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Ask is what the host is asked to do.
type Ask struct {
	// Given says that there are manifests. Without them only what every svcctl needs is judged, and what only some
	// Services need is worth a warning at most.
	Given bool
	Ports []*resolve.ServicePort

	ServiceCIDRs      []netip.Prefix
	ClusterCIDRs      []netip.Prefix
	NodePortAddresses []netip.Prefix
	NodePortRange     resolve.PortRange
	MasqueradeAll     bool
	Counters          bool
}

// Sample gives an Ask of at most n of the ports, evenly chosen: enough to see what is wrong with the host, and not for
// whom.
func (a Ask) Sample(n int) Ask {
	if len(a.Ports) > n {
		every := len(a.Ports) / n
		var some []*resolve.ServicePort
		for i := 0; i < len(a.Ports) && len(some) < n; i += every {
			some = append(some, a.Ports[i])
		}
		a.Ports = some
	}
	return a
}

// maxDestinations is how many addresses are looked up one by one.
const maxDestinations = 1 << 16

// Destinations gives the addresses to which routes are to be found out, sorted: service addresses, or the first of the
// ranges where there are none, and endpoints.
func (a *Ask) Destinations() []netip.Addr {
	seen := map[netip.Addr]bool{}
	var out []netip.Addr
	add := func(addr netip.Addr) {
		if addr.IsValid() && !addr.IsUnspecified() && !seen[addr] && len(out) < maxDestinations {
			seen[addr] = true
			out = append(out, addr)
		}
	}
	for _, p := range a.ServiceCIDRs {
		add(inside(p))
	}
	for _, sp := range a.Ports {
		for i := range sp.Addresses {
			add(sp.Addresses[i].Addr)
		}
		for _, e := range endpointsOf(sp) {
			add(e.Addr())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// inside gives the second address of a range: the first that a Service can have.
func inside(p netip.Prefix) netip.Addr {
	first := p.Masked().Addr()
	if next := first.Next(); next.IsValid() && p.Contains(next) {
		return next
	}
	return first
}

// endpointsOf gives every endpoint of a port once.
func endpointsOf(sp *resolve.ServicePort) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, len(sp.Cluster)+len(sp.Local))
	for _, list := range [...][]resolve.Endpoint{sp.Cluster, sp.Local} {
		for i := range list {
			out = append(out, list[i].Addr)
		}
	}
	if len(sp.Local) > 0 && len(sp.Cluster) > 0 {
		slices.SortFunc(out, netip.AddrPort.Compare)
		out = slices.Compact(out)
	}
	return out
}

func familyOf(sp *resolve.ServicePort) graph.Family {
	if sp.Family == corev1.IPv6Protocol {
		return graph.IPv6
	}
	return graph.IPv4
}

func protoOf(sp *resolve.ServicePort) graph.Proto {
	switch sp.Protocol {
	case corev1.ProtocolUDP:
		return graph.UDP
	case corev1.ProtocolSCTP:
		return graph.SCTP
	default:
		return graph.TCP
	}
}

// numberOf gives the number of a protocol (IANA).
func numberOf(p graph.Proto) uint8 {
	switch p {
	case graph.UDP:
		return 17
	case graph.SCTP:
		return 132
	default:
		return 6
	}
}

func nameOf(sp *resolve.ServicePort) string {
	return sp.Service.Ref.Namespace + "/" + sp.Service.Ref.Name
}

// asksFor reports whether there are ports of a family; without manifests it is both families.
func (a *Ask) asksFor(f graph.Family) bool {
	return !a.Given || slices.ContainsFunc(a.Ports, func(sp *resolve.ServicePort) bool { return familyOf(sp) == f })
}

func prefixesOf(f graph.Family, all []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		if f.Of(p.Addr()) {
			out = append(out, p)
		}
	}
	return out
}

func anyContains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
