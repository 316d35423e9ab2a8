package allocate

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// want is what one Service lacks.
type want struct {
	object   *manifest.Object[corev1.Service]
	index    int           // of the Service in the bundle
	written  []string      // the cluster addresses that it has, before those of cluster
	cluster  []addressWant // in the order of the families of the Service
	balancer []addressWant
	ports    []portWant
	copies   []portCopy
}

// addressWant is an address that a Service lacks.
type addressWant struct {
	family corev1.IPFamily
	addr   netip.Addr // what was chosen; invalid: nothing
	held   bool       // it is kept, and not chosen anew
	lost   bool       // another Service has it written: that is the error, and nothing else is chosen
}

// portWant is a node port that a Service lacks. The ports of a Service that have the same number, with different
// protocols, get one node port together, as from the API server.
type portWant struct {
	number  int32 // spec.ports[].port
	indexes []int // of spec.ports
	port    uint16
	held    bool
	lost    bool
}

// portCopy is a port that lacks a node port and gets the one that is written at another port of its number.
type portCopy struct {
	index int
	port  uint16
}

// want gives what a Service lacks, nil where it lacks nothing.
func (a *allocator) want(o *manifest.Object[corev1.Service]) *want {
	spec := &o.Value.Spec
	if _, other := o.Value.Labels[resolve.LabelProxyName]; other || spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	switch spec.Type {
	case "", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
	default:
		return nil
	}
	if isComplete(&o.Value) {
		return nil
	}
	w := &want{object: o}
	families, written, ok := a.families(o)
	if ok {
		w.written = writtenClusterIPs(spec)[:written]
		for _, f := range families[written:] {
			w.cluster = append(w.cluster, addressWant{family: f})
		}
		if spec.Type == corev1.ServiceTypeLoadBalancer && spec.LoadBalancerIP == "" &&
			len(o.Value.Status.LoadBalancer.Ingress) == 0 {
			for _, f := range families {
				if len(a.balancer[f]) > 0 {
					w.balancer = append(w.balancer, addressWant{family: f})
				}
			}
		}
	}
	if needsNodePorts(spec) && !w.wantPorts(spec.Ports) {
		a.unallocated[o.Ref] = true
	}
	if len(w.cluster)+len(w.balancer)+len(w.ports)+len(w.copies) == 0 {
		return nil
	}
	return w
}

// isComplete reports, for most Services and soon, that nothing is lacking.
func isComplete(svc *corev1.Service) bool {
	spec := &svc.Spec
	single := spec.IPFamilyPolicy == nil || *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
	return spec.ClusterIP != "" && (single || len(spec.ClusterIPs) > 1) && !needsNodePorts(spec) &&
		(spec.Type != corev1.ServiceTypeLoadBalancer || len(svc.Status.LoadBalancer.Ingress) > 0)
}

// needsNodePorts is the API server's shouldAllocateNodePorts (kubernetes, pkg/registry/core/service/storage/alloc.go).
func needsNodePorts(spec *corev1.ServiceSpec) bool {
	switch spec.Type {
	case corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeLoadBalancer:
		return spec.AllocateLoadBalancerNodePorts == nil || *spec.AllocateLoadBalancerNodePorts
	default:
		return false
	}
}

// wantPorts finds the ports that lack a node port. It reports false where one is there twice: that is an error, which
// resolve reports, and of which a node port that is there twice, or missing, would only be the echo.
func (w *want) wantPorts(ports []corev1.ServicePort) (distinct bool) {
	distinct = true
	if !slices.ContainsFunc(ports, func(p corev1.ServicePort) bool { return p.NodePort == 0 }) {
		return distinct
	}
	type key struct {
		number   int32
		protocol corev1.Protocol
	}
	written, wanted, seen := map[int32]uint16{}, map[int32]int{}, map[key]bool{}
	for i := range ports {
		if p := &ports[i]; isPort(p.NodePort) && written[p.Port] == 0 {
			written[p.Port] = uint16(p.NodePort)
		}
	}
	for i := range ports {
		p := &ports[i]
		k := key{p.Port, protocolOf(p)}
		twice := seen[k]
		seen[k] = true
		switch at, ok := wanted[p.Port]; {
		case p.NodePort != 0:
		case twice:
			distinct = false
		case written[p.Port] != 0:
			w.copies = append(w.copies, portCopy{i, written[p.Port]})
		case ok:
			w.ports[at].indexes = append(w.ports[at].indexes, i)
		default:
			wanted[p.Port] = len(w.ports)
			w.ports = append(w.ports, portWant{number: p.Port, indexes: []int{i}})
		}
	}
	return distinct
}

func protocolOf(p *corev1.ServicePort) corev1.Protocol {
	if p.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return p.Protocol
}

func isPort(n int32) bool { return n > 0 && n < 1<<16 }

// writtenClusterIPs gives the cluster addresses that are written.
func writtenClusterIPs(spec *corev1.ServiceSpec) []string {
	if len(spec.ClusterIPs) == 0 && spec.ClusterIP != "" {
		return []string{spec.ClusterIP}
	}
	return spec.ClusterIPs
}

// families gives the families that a Service is to have addresses of, in order, and how many of the first have one
// written. Where what it says of its families and addresses makes no sense ok is false: resolve reports that. The rules
// are those of the API server (kubernetes, pkg/registry/core/service/storage/alloc.go, initIPFamilyFields).
func (a *allocator) families(o *manifest.Object[corev1.Service]) (families []corev1.IPFamily, written int, ok bool) {
	spec := &o.Value.Spec
	families, written, ok = givenFamilies(spec)
	if !ok {
		return nil, 0, false
	}
	if len(families) == 0 {
		f, ok := a.defaultFamily()
		if !ok {
			a.fail(o, diag.Required, "spec.clusterIP", "Required value: there are no serviceCIDRs to allocate an address from")
			return nil, 0, false
		}
		families = []corev1.IPFamily{f}
	}
	for i, f := range families[written:] {
		if len(a.cluster[f]) == 0 {
			field := "spec.ipFamilies[" + string(rune('0'+written+i)) + "]"
			a.fail(o, diag.Invalid, field, "Invalid value: %q: not configured: the serviceCIDRs have no range of this family", f)
			return nil, 0, false
		}
	}
	policy := corev1.IPFamilyPolicySingleStack
	if spec.IPFamilyPolicy != nil {
		policy = *spec.IPFamilyPolicy
	}
	if policy == corev1.IPFamilyPolicySingleStack || len(families) == 2 {
		return families, written, true
	}
	second := resolve.OtherFamily(families[0])
	switch {
	case len(a.cluster[second]) > 0:
		families = append(families, second)
	case policy == corev1.IPFamilyPolicyRequireDualStack:
		a.fail(o, diag.Invalid, "spec.ipFamilyPolicy", "Invalid value: %q: not configured for dual-stack services: the "+
			"serviceCIDRs have no range of family %s", policy, second)
	}
	return families, written, true
}

// givenFamilies gives the families that a Service names or has addresses of, and how many of the first have one.
func givenFamilies(spec *corev1.ServiceSpec) (families []corev1.IPFamily, written int, ok bool) {
	addrs := writtenClusterIPs(spec)
	if len(addrs) > 2 || len(spec.IPFamilies) > 2 || len(addrs) > 0 && addrs[0] != spec.ClusterIP {
		return nil, 0, false
	}
	for i, s := range addrs {
		addr, ok := resolve.ParseIP(s)
		if !ok || i < len(spec.IPFamilies) && spec.IPFamilies[i] != resolve.FamilyOf(addr) {
			return nil, 0, false
		}
		families = append(families, resolve.FamilyOf(addr))
	}
	families = append(families, spec.IPFamilies[min(len(addrs), len(spec.IPFamilies)):]...)
	for _, f := range families {
		if f != corev1.IPv4Protocol && f != corev1.IPv6Protocol {
			return nil, 0, false
		}
	}
	if len(families) == 2 && families[0] == families[1] {
		return nil, 0, false
	}
	switch policy := spec.IPFamilyPolicy; {
	case policy == nil, *policy == corev1.IPFamilyPolicySingleStack:
		return families, len(addrs), len(families) < 2
	case *policy == corev1.IPFamilyPolicyPreferDualStack, *policy == corev1.IPFamilyPolicyRequireDualStack:
		return families, len(addrs), true
	default:
		return nil, 0, false
	}
}

func (a *allocator) defaultFamily() (corev1.IPFamily, bool) {
	if len(a.cfg.ServiceCIDRs) == 0 {
		return "", false
	}
	return resolve.FamilyOf(a.cfg.ServiceCIDRs[0].Addr()), true
}
