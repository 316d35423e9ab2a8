package resolve

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/diag"
)

// endpointsPerSlice is how many endpoints the EndpointSlice controller puts into one slice (flag
// --max-endpoints-per-slice).
const endpointsPerSlice = 100

// madeSlices makes the EndpointSlices of a Service from the Pods that its selector matches, as the EndpointSlice
// controller would: for each address family, the Pods whose port names mean the same numbers share slices, and with
// nothing to put in there is one empty slice. Unlike the controller's, the names are a function of the content.
func (rs *resolver) madeSlices(svc *Service, pods []*pod) []*source {
	var out []*source
	for _, family := range svc.Spec.IPFamilies {
		groups := groupByPorts(svc, family, pods)
		if len(groups) == 0 {
			out = append(out, rs.madeSlice(svc, family, podGroup{}, 0, nil))
		}
		for _, g := range groups {
			n := 0
			for chunk := range slices.Chunk(g.pods, endpointsPerSlice) {
				out = append(out, rs.madeSlice(svc, family, g, n, chunk))
				n++
			}
		}
	}
	return out
}

// podGroup is Pods of one Service whose ports have the same numbers.
type podGroup struct {
	key   string
	ports []discoveryv1.EndpointPort
	pods  []*pod
}

// groupByPorts gives the groups in the order of their first Pods, each with its Pods in the order of their addresses.
func groupByPorts(svc *Service, family corev1.IPFamily, pods []*pod) []podGroup {
	named := slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.TargetPort.Type == intstr.String })
	byKey := map[string]int{}
	var groups []podGroup
	key, at := "", -1
	for _, p := range pods {
		if !p.addr(family).IsValid() {
			continue
		}
		if at < 0 || named {
			key = portKey(svc.Spec.Ports, &p.Value)
			var ok bool
			if at, ok = byKey[key]; !ok {
				at = len(groups)
				byKey[key] = at
				groups = append(groups, podGroup{key: key, ports: targetPorts(svc.Spec.Ports, &p.Value)})
			}
		}
		groups[at].pods = append(groups[at].pods, p)
	}
	for _, g := range groups {
		slices.SortStableFunc(g.pods, func(a, b *pod) int { return a.addr(family).Compare(b.addr(family)) })
	}
	return groups
}

// targetPort gives the number that a Service port has on a Pod, and whether it has one.
func targetPort(sp *corev1.ServicePort, p *corev1.Pod) (int32, bool) {
	if sp.TargetPort.Type == intstr.String {
		return containerPort(p, sp.TargetPort.StrVal, sp.Protocol)
	}
	return sp.TargetPort.IntVal, isPortNumber(sp.TargetPort.IntVal)
}

// targetPorts gives the ports of a slice for a Pod. A name that the Pod does not know costs it that port only.
func targetPorts(ports []corev1.ServicePort, p *corev1.Pod) []discoveryv1.EndpointPort {
	out := make([]discoveryv1.EndpointPort, 0, len(ports))
	for i := range ports {
		sp := &ports[i]
		if n, ok := targetPort(sp, p); ok {
			out = append(out, discoveryv1.EndpointPort{
				Name: new(sp.Name), Protocol: new(sp.Protocol), Port: new(n), AppProtocol: sp.AppProtocol,
			})
		}
	}
	return out
}

// portKey is the same for Pods on which all ports have the same numbers.
func portKey(ports []corev1.ServicePort, p *corev1.Pod) string {
	var b []byte
	for i := range ports {
		if n, ok := targetPort(&ports[i], p); ok {
			b = strconv.AppendInt(append(b, ' '), int64(n), 10)
		} else {
			b = append(b, " -"...)
		}
	}
	return string(b)
}

func (rs *resolver) madeSlice(svc *Service, f corev1.IPFamily, g podGroup, n int, pods []*pod) *source {
	slice := &discoveryv1.EndpointSlice{
		TypeMeta: sliceType,
		ObjectMeta: metav1.ObjectMeta{
			Name:      svc.Ref.Name + "-" + suffix(string(f), g.key, strconv.Itoa(n)),
			Namespace: svc.Ref.Namespace,
			Labels:    serviceLabels(&svc.Object.Value, svc.Headless),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Service", Name: svc.Ref.Name, UID: svc.Object.Value.UID,
				Controller: new(true), BlockOwnerDeletion: new(true),
			}},
		},
		AddressType: discoveryv1.AddressType(f),
		Ports:       g.ports,
		Endpoints:   make([]discoveryv1.Endpoint, len(pods)),
	}
	s := &source{
		Slice: &Slice{EndpointSlice: slice, Source: svc.Ref, Pos: svc.Object.Pos, Endpoints: make([]diag.Pos, len(pods))},
		addrs: make([]netip.Addr, len(pods)),
		used:  true,
	}
	for i, p := range pods {
		s.addrs[i] = p.addr(f)
		s.Endpoints[i] = p.Pos
		slice.Endpoints[i] = rs.podEndpoint(svc, p, s.addrs[i])
	}
	return s
}

func (rs *resolver) podEndpoint(svc *Service, p *pod, addr netip.Addr) discoveryv1.Endpoint {
	serving, terminating := isReady(&p.Value), p.Value.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discoveryv1.Endpoint{
		Addresses:  []string{addr.String()},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef: &corev1.ObjectReference{
			Kind: "Pod", Namespace: p.Ref.Namespace, Name: p.Ref.Name, UID: p.Value.UID,
		},
	}
	if spec := &p.Value.Spec; spec.Hostname != "" && spec.Subdomain == svc.Ref.Name {
		e.Hostname = new(spec.Hostname)
	}
	if name := p.Value.Spec.NodeName; name != "" {
		e.NodeName = new(name)
		if zone := rs.zones[name]; zone != "" {
			e.Zone = new(zone)
		}
	}
	if ready {
		e.Hints = distributionHints(svc.Spec.TrafficDistribution, &e)
	}
	return e
}

// distributionHints gives the hints that trafficDistribution asks for (KEP-2433, KEP-3015): an endpoint is for its own
// zone, and with PreferSameNode first of all for its own node.
func distributionHints(distribution *string, e *discoveryv1.Endpoint) *discoveryv1.EndpointHints {
	if distribution == nil {
		return nil
	}
	var h discoveryv1.EndpointHints
	if e.Zone != nil {
		h.ForZones = []discoveryv1.ForZone{{Name: *e.Zone}}
	}
	if e.NodeName != nil && *distribution == corev1.ServiceTrafficDistributionPreferSameNode {
		h.ForNodes = []discoveryv1.ForNode{{Name: *e.NodeName}}
	}
	if h.ForZones == nil && h.ForNodes == nil {
		return nil
	}
	return &h
}

// suffix makes the part of a slice's name that in Kubernetes is random: five characters of the same alphabet, which has
// no vowels so that no words come out.
func suffix(parts ...string) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write(append([]byte(p), 0))
	}
	sum := h.Sum64()
	var out [5]byte
	for i := range out {
		out[i] = alphabet[sum%uint64(len(alphabet))]
		sum /= uint64(len(alphabet))
	}
	return string(out[:])
}

// distinctNames makes sure that no two slices of a Service have the same name.
func distinctNames(made []*source) {
	seen := make(map[string]bool, len(made))
	for _, s := range made {
		base := s.Name[:len(s.Name)-5]
		for n := 0; seen[s.Name]; n++ {
			s.Name = base + suffix(s.Name, strconv.Itoa(n))
		}
		seen[s.Name] = true
	}
}
