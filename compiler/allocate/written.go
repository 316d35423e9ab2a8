package allocate

import (
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// takeWritten takes out of the ranges all that is written in any Service, and all that is held. That what one Service has
// written is held by another is an error of the one that has it written, for it came later; as it is at an API server.
func (a *allocator) takeWritten() {
	a.addrs = make(map[netip.Addr]bool, len(a.services))
	a.ports = make(map[int32]bool, len(a.services))
	h := a.holders()
	for _, o := range a.services {
		a.takeAddresses(o, &h)
		for i := range o.Value.Spec.Ports {
			a.takeNodePort(o, i, h.ports)
		}
		a.ports[o.Value.Spec.HealthCheckNodePort] = true
	}
	for _, w := range a.wants {
		w.each(func(at *addressWant) {
			if at.held && !at.lost {
				a.addrs[at.addr] = true
			}
		})
		for i := range w.ports {
			if p := &w.ports[i]; p.held && !p.lost {
				a.ports[int32(p.port)] = true
			}
		}
	}
}

// each goes through the addresses that a Service lacks.
func (w *want) each(f func(*addressWant)) {
	for i := range w.cluster {
		f(&w.cluster[i])
	}
	for i := range w.balancer {
		f(&w.balancer[i])
	}
}

// holders says who holds what.
type holders struct {
	cluster, balancer map[netip.Addr]heldBy[addressWant]
	ports             map[int32]heldBy[portWant]
}

type heldBy[T any] struct {
	service *manifest.Object[corev1.Service]
	want    *T
}

func (a *allocator) holders() holders {
	h := holders{
		map[netip.Addr]heldBy[addressWant]{}, map[netip.Addr]heldBy[addressWant]{}, map[int32]heldBy[portWant]{},
	}
	for _, w := range a.wants {
		for i := range w.cluster {
			if at := &w.cluster[i]; at.held {
				h.cluster[at.addr] = heldBy[addressWant]{w.object, at}
			}
		}
		for i := range w.balancer {
			if at := &w.balancer[i]; at.held {
				h.balancer[at.addr] = heldBy[addressWant]{w.object, at}
			}
		}
		for i := range w.ports {
			if p := &w.ports[i]; p.held {
				h.ports[int32(p.port)] = heldBy[portWant]{w.object, p}
			}
		}
	}
	return h
}

// takeAddresses takes the addresses that a Service has written. A ClusterIP and a load-balancer address are exclusive to
// the Service they were allocated to; what else may not meet at one address, resolve knows.
func (a *allocator) takeAddresses(o *manifest.Object[corev1.Service], h *holders) {
	spec := &o.Value.Spec
	take := func(s, field string, holders map[netip.Addr]heldBy[addressWant]) {
		addr, ok := resolve.ParseIP(s)
		if !ok {
			return
		}
		a.addrs[addr] = true
		if by, held := holders[addr]; held && by.service != o {
			a.fail(o, diag.Invalid, field, "Invalid value: %q: failed to allocate IP %s: provided IP is already allocated", s, addr)
			a.hint(heldHint(by.service.Ref))
			a.unallocated[by.service.Ref], by.want.lost = true, true
		}
	}
	for i, s := range writtenClusterIPs(spec) {
		field := "spec.clusterIP"
		if i > 0 {
			field = "spec.clusterIPs[" + strconv.Itoa(i) + "]"
		}
		take(s, field, h.cluster)
	}
	for i, s := range spec.ExternalIPs {
		take(s, fmt.Sprintf("spec.externalIPs[%d]", i), nil)
	}
	take(spec.LoadBalancerIP, "spec.loadBalancerIP", h.balancer)
	for i := range o.Value.Status.LoadBalancer.Ingress {
		take(o.Value.Status.LoadBalancer.Ingress[i].IP, fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), h.balancer)
	}
}

func (a *allocator) takeNodePort(o *manifest.Object[corev1.Service], i int, holders map[int32]heldBy[portWant]) {
	port := o.Value.Spec.Ports[i].NodePort
	if port == 0 {
		return
	}
	a.ports[port] = true
	by, held := holders[port]
	switch {
	case !held:
	case by.service == o:
		*by.want = portWant{number: by.want.number, indexes: by.want.indexes} // it moves out of its own Service's way
	default:
		a.fail(o, diag.Invalid, nodePortField(i), "Invalid value: %d: provided port is already allocated", port)
		a.hint(heldHint(by.service.Ref))
		a.unallocated[by.service.Ref], by.want.lost = true, true
	}
}

func heldHint(by diag.Object) string {
	return "to " + by.String() + ", which is applied with it; write it there to make it final, or write another here"
}

func nodePortField(i int) string { return "spec.ports[" + strconv.Itoa(i) + "].nodePort" }
