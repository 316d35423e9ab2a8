package allocate

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Held is what was chosen for Services that are applied, by "namespace/name". It is what has to be remembered between
// two runs for the second to keep the choices of the first: [Result.Held] gives it.
type Held map[string]Holding

// Holding is what was chosen for one Service.
type Holding struct {
	ClusterIPs      []netip.Addr `json:"clusterIPs,omitempty"`      // at most one of a family
	LoadBalancerIPs []netip.Addr `json:"loadBalancerIPs,omitempty"` // at most one of a family
	// NodePorts has the node port by the number of the port: neither a new name nor a new place in the list moves it.
	NodePorts map[int32]uint16 `json:"nodePorts,omitempty"`
}

// heldKey is how Held names a Service.
func heldKey(o diag.Object) string { return o.Namespace + "/" + o.Name }

// Held gives the choices, to be remembered; nil where there are none.
func (r *Result) Held() Held {
	if len(r.held) == 0 {
		return nil
	}
	return r.held
}

// keepHeld gives every Service what it holds, as far as it still lacks it and it is still in range. That two Services hold
// the same cannot come from this phase; of such two the first keeps it.
func (a *allocator) keepHeld(held Held) {
	addrs, ports := map[netip.Addr]bool{}, map[uint16]bool{}
	keep := func(wants []addressWant, in ranges, holding []netip.Addr) {
		for i := range wants {
			w := &wants[i]
			at := slices.IndexFunc(holding, func(h netip.Addr) bool { return resolve.FamilyOf(h) == w.family })
			if at >= 0 && in.contains(holding[at]) && !addrs[holding[at]] {
				w.addr, w.held = holding[at], true
				addrs[w.addr] = true
			}
		}
	}
	for _, w := range a.wants {
		h, ok := held[heldKey(w.object.Ref)]
		if !ok {
			continue
		}
		keep(w.cluster, a.cluster, h.ClusterIPs)
		keep(w.balancer, a.balancer, h.LoadBalancerIPs)
		for i := range w.ports {
			p := &w.ports[i]
			if n := h.NodePorts[p.number]; n != 0 && a.cfg.NodePortRange.Contains(int32(n)) && !ports[n] {
				p.port, p.held = n, true
				ports[n] = true
			}
		}
	}
}
