package allocate

import (
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
)

// The names of claims begin with what is claimed, so that nobody's preferences of one kind follow from those of another.
const (
	claimClusterIP = "ClusterIP"
	claimBalancer  = "LoadBalancer"
	claimNodePort  = "NodePort"
)

// claimName gives the name of a claim. No part of it can contain a slash.
func claimName(kind string, o diag.Object, which string) string {
	return kind + "/" + o.Namespace + "/" + o.Name + "/" + which
}

// choose gives what is lacking and not held. Load-balancer addresses come last because their ranges may overlap those of
// ClusterIPs, and a ClusterIP is needed more.
func (a *allocator) choose() {
	for _, f := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		a.chooseAddresses(claimClusterIP, f, a.cluster, true, func(w *want) []addressWant { return w.cluster })
	}
	for _, f := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		a.chooseAddresses(claimBalancer, f, a.balancer, false, func(w *want) []addressWant { return w.balancer })
	}
	a.chooseNodePorts()
}

func (a *allocator) chooseAddresses(
	kind string, f corev1.IPFamily, in ranges, reserving bool, wanted func(*want) []addressWant,
) {
	var (
		claims  []*claim[netip.Addr]
		wants   []*addressWant
		objects []*want
	)
	for _, w := range a.wants {
		for i := range wanted(w) {
			at := &wanted(w)[i]
			if at.family != f || at.held || at.lost {
				continue
			}
			c := newClaim[netip.Addr](claimName(kind, w.object.Ref, string(f)))
			claims, wants, objects = append(claims, &c), append(wants, at), append(objects, w)
		}
	}
	if len(claims) == 0 {
		return
	}
	settle(claims, in.bands(f, reserving), a.addrs, in.contains)
	for i, c := range claims {
		if c.ok {
			wants[i].addr = c.place
			a.addrs[c.place] = true
			continue
		}
		field := "spec.loadBalancerIP"
		if kind == claimClusterIP {
			field = clusterIPField(len(objects[i].written) + indexOf(objects[i].cluster, f))
		}
		a.fail(objects[i].object, diag.Limit, field, "failed to allocate an IP: %s", in.full(f))
	}
}

func indexOf(wants []addressWant, f corev1.IPFamily) int {
	for i := range wants {
		if wants[i].family == f {
			return i
		}
	}
	return -1
}

func clusterIPField(i int) string {
	if i == 0 {
		return "spec.clusterIP"
	}
	return "spec.clusterIPs[" + strconv.Itoa(i) + "]"
}

func (a *allocator) chooseNodePorts() {
	var (
		claims  []*claim[int32]
		wants   []*portWant
		objects []*want
	)
	for _, w := range a.wants {
		for i := range w.ports {
			p := &w.ports[i]
			if p.held || p.lost {
				continue
			}
			c := newClaim[int32](claimName(claimNodePort, w.object.Ref, strconv.Itoa(int(p.number))))
			claims, wants, objects = append(claims, &c), append(wants, p), append(objects, w)
		}
	}
	if len(claims) == 0 {
		return
	}
	settle(claims, portBands(a.cfg.NodePortRange), a.ports, a.cfg.NodePortRange.Contains)
	for i, c := range claims {
		if c.ok {
			wants[i].port = uint16(c.place)
			continue
		}
		a.fail(objects[i].object, diag.Limit, nodePortField(wants[i].indexes[0]), "failed to allocate a nodePort: range %s is full",
			a.cfg.NodePortRange)
	}
}
