package allocate

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// fill gives a copy of the Service with what was chosen for it, and adds that to the result.
func (w *want) fill(r *Result) *manifest.Object[corev1.Service] {
	o := *w.object
	f := filler{r, &o}
	h := Holding{
		ClusterIPs:      f.clusterIPs(w),
		NodePorts:       f.nodePorts(w),
		LoadBalancerIPs: f.ingress(w),
	}
	if len(h.ClusterIPs)+len(h.LoadBalancerIPs)+len(h.NodePorts) > 0 {
		if r.held == nil {
			r.held = Held{}
		}
		r.held[heldKey(o.Ref)] = h
	}
	return &o
}

// filler fills in one Service.
type filler struct {
	result *Result
	object *manifest.Object[corev1.Service]
}

func (f *filler) assign(a Assignment) {
	a.Service = f.object.Ref
	f.result.Assignments = append(f.result.Assignments, a)
}

func (f *filler) edit(field string, value any) {
	f.result.edits = append(f.result.edits, manifest.Edit{Object: f.object.Ref, Field: field, Value: value})
}

// clusterIPs fills in the cluster addresses. An address comes only with all those before it, for which of them is the
// first means something.
func (f *filler) clusterIPs(w *want) (chosen []netip.Addr) {
	all := slices.Clone(w.written)
	for i := range w.cluster {
		if a := &w.cluster[i]; a.addr.IsValid() && !a.lost && len(all) == len(w.written)+i {
			f.assign(Assignment{Field: clusterIPField(len(all)), Addr: a.addr})
			all = append(all, a.addr.String())
			chosen = append(chosen, a.addr)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	spec := &f.object.Value.Spec
	if spec.ClusterIP == "" {
		spec.ClusterIP = all[0]
		f.edit("spec.clusterIP", all[0])
	}
	if len(all) > 1 {
		spec.ClusterIPs = all
		f.edit("spec.clusterIPs", texts(all))
	}
	return chosen
}

func texts(words []string) []any {
	var out []any
	for _, s := range words {
		out = append(out, s)
	}
	return out
}

func (f *filler) nodePorts(w *want) map[int32]uint16 {
	if len(w.ports)+len(w.copies) == 0 {
		return nil
	}
	spec := &f.object.Value.Spec
	spec.Ports = slices.Clone(spec.Ports)
	copies := slices.Clone(w.copies)
	chosen := map[int32]uint16{}
	for i := range w.ports {
		p := &w.ports[i]
		if p.port == 0 || p.lost {
			continue
		}
		chosen[p.number] = p.port
		for _, at := range p.indexes {
			copies = append(copies, portCopy{at, p.port})
		}
	}
	slices.SortFunc(copies, func(a, b portCopy) int { return cmp.Compare(a.index, b.index) })
	for _, c := range copies {
		spec.Ports[c.index].NodePort = int32(c.port)
		f.assign(Assignment{Field: nodePortField(c.index), Port: c.port})
		f.edit(nodePortField(c.index), int(c.port))
	}
	if len(chosen) == 0 {
		return nil
	}
	return chosen
}

// ingress fills in the load-balancer addresses, where a controller would report them. It is also where they are written,
// although people seldom write a status: spec.loadBalancerIP is deprecated and holds one address only.
func (f *filler) ingress(w *want) (chosen []netip.Addr) {
	var (
		ingress []corev1.LoadBalancerIngress
		text    []any
	)
	for i := range w.balancer {
		a := &w.balancer[i]
		if !a.addr.IsValid() || a.lost {
			continue
		}
		f.assign(Assignment{Field: "status.loadBalancer.ingress[" + strconv.Itoa(len(chosen)) + "].ip", Addr: a.addr})
		chosen = append(chosen, a.addr)
		ingress = append(ingress, corev1.LoadBalancerIngress{IP: a.addr.String(), IPMode: new(corev1.LoadBalancerIPModeVIP)})
		text = append(text, map[string]any{"ip": a.addr.String(), "ipMode": string(corev1.LoadBalancerIPModeVIP)})
	}
	if len(chosen) > 0 {
		f.object.Value.Status.LoadBalancer.Ingress = ingress
		f.edit("status.loadBalancer.ingress", text)
	}
	return chosen
}
