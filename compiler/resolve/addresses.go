package resolve

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// addresses are the addresses of a Service, but for node ports, which are a port's.
type addresses struct {
	cluster  []netip.Addr // at most one of a family
	external []externalAddr
	// ranges are the sources that may use the load-balancer IPs of a family; a family that is not in it is open.
	ranges map[corev1.IPFamily][]netip.Prefix
}

// externalAddr is an external or load-balancer IP and the field that gives it.
type externalAddr struct {
	addr  netip.Addr
	kind  AddressKind
	field string
	index int // in the field's list; -1: no list
}

// path gives the field path.
func (a *externalAddr) path() string {
	switch {
	case a.index < 0:
		return a.field
	case a.kind == LoadBalancerIP:
		return a.field + "[" + strconv.Itoa(a.index) + "].ip"
	default:
		return a.field + "[" + strconv.Itoa(a.index) + "]"
	}
}

// parseAddresses reads the addresses, whatever checkService thinks of them, so that conflicts are found at once, too. An
// address that is there twice is there once: as a load-balancer IP if it is one, because that may be restricted to some
// sources.
func parseAddresses(svc *Service) addresses {
	var out addresses
	for _, ip := range svc.Spec.ClusterIPs {
		a, ok := ParseIP(ip)
		if ok && !slices.ContainsFunc(out.cluster, sameFamily(a)) {
			out.cluster = append(out.cluster, a)
		}
	}
	add := func(ip string, kind AddressKind, field string, index int) {
		a, ok := ParseIP(ip)
		if ok && !slices.ContainsFunc(out.external, func(x externalAddr) bool { return x.addr == a }) {
			out.external = append(out.external, externalAddr{a, kind, field, index})
		}
	}
	ingress := svc.Object.Value.Status.LoadBalancer.Ingress
	for i := range ingress {
		if mode := ingress[i].IPMode; mode == nil || *mode == corev1.LoadBalancerIPModeVIP {
			add(ingress[i].IP, LoadBalancerIP, "status.loadBalancer.ingress", i)
		}
	}
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer && len(ingress) == 0 {
		add(svc.Spec.LoadBalancerIP, LoadBalancerIP, "spec.loadBalancerIP", -1)
	}
	for i, ip := range svc.Spec.ExternalIPs {
		add(ip, ExternalIP, "spec.externalIPs", i)
	}
	slices.SortFunc(out.external, func(a, b externalAddr) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), a.addr.Compare(b.addr))
	})
	out.ranges = sourceRanges(svc.Spec.LoadBalancerSourceRanges)
	return out
}

func sameFamily(a netip.Addr) func(netip.Addr) bool {
	return func(b netip.Addr) bool { return a.Is4() == b.Is4() }
}

// serves reports whether the Service has a cluster address of the family. Only families that it has are served.
func (a *addresses) serves(f corev1.IPFamily) bool {
	return slices.ContainsFunc(a.cluster, func(c netip.Addr) bool { return FamilyOf(c) == f })
}

// sourceRanges gives the ranges by family. A family with no range, or with one that contains everything, is open.
func sourceRanges(given []string) map[corev1.IPFamily][]netip.Prefix {
	if len(given) == 0 {
		return nil
	}
	out := map[corev1.IPFamily][]netip.Prefix{}
	open := map[corev1.IPFamily]bool{}
	for _, s := range given {
		if s = strings.TrimSpace(s); !isStrictPrefix(s) {
			continue
		}
		p := netip.MustParsePrefix(s)
		f := FamilyOf(p.Addr())
		out[f] = append(out[f], p)
		open[f] = open[f] || p.Bits() == 0
	}
	for f, ranges := range out {
		if open[f] {
			delete(out, f)
		} else {
			out[f] = merged(ranges)
		}
	}
	return out
}

// of gives the addresses of one port in one family, in canonical order.
func (a *addresses) of(f corev1.IPFamily, spec *corev1.ServiceSpec, p *corev1.ServicePort) []Address {
	internal, external := localOnly(spec)
	out := make([]Address, 0, len(a.cluster)+len(a.external)+1)
	port := uint16(p.Port)
	for _, c := range a.cluster {
		if FamilyOf(c) == f {
			out = append(out, Address{Kind: ClusterIP, Addr: c, Port: port, LocalOnly: internal})
		}
	}
	if hasNodePort(spec, p) {
		out = append(out, Address{Kind: NodePort, Addr: unspecified(f), Port: uint16(p.NodePort), LocalOnly: external})
	}
	for _, e := range a.external {
		if FamilyOf(e.addr) != f {
			continue
		}
		at := Address{Kind: e.kind, Addr: e.addr, Port: port, LocalOnly: external}
		if e.kind == LoadBalancerIP {
			at.SourceRanges, at.Restricted = a.ranges[f], len(a.ranges[f]) > 0
		}
		out = append(out, at)
	}
	return out
}

// hasNodePort reports whether the port is served on the node's own addresses.
func hasNodePort(spec *corev1.ServiceSpec, p *corev1.ServicePort) bool {
	return isPortNumber(p.NodePort) &&
		(spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer)
}

func unspecified(f corev1.IPFamily) netip.Addr {
	if f == corev1.IPv4Protocol {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
