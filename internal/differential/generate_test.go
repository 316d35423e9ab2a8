package differential

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/graph"
)

// generator makes random scenarios, each a valid one, and packets for them.
type generator struct {
	*rand.Rand
	sc        *scenario
	claimed   map[claim]bool   // what a Service has, no other may have
	nodePorts map[int32]string // by number, the Service that has it
}

type claim struct {
	addr netip.Addr
	port packetPort
}

type packetPort struct {
	proto  corev1.Protocol
	number int32
}

// chance is true so many times out of a hundred.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// some gives a random selection, each thing with a chance.
func some[T any](g *generator, percent int, from ...T) []T {
	var out []T
	for _, x := range from {
		if g.chance(percent) {
			out = append(out, x)
		}
	}
	return out
}

func generate(r *rand.Rand) *scenario {
	g := &generator{Rand: r, sc: &scenario{}, claimed: map[claim]bool{}, nodePorts: map[int32]string{}}
	g.settings()
	for i := range 1 + g.IntN(3) {
		g.service(i)
	}
	return g.sc
}

func (g *generator) settings() {
	g.sc.masqueradeAll, g.sc.counters = g.chance(15), g.chance(50)
	g.sc.clusterCIDRs = pick(g, nil, []string{"10.1.0.0/16"}, []string{"10.1.1.0/24", "fd00:10:1:1::/64"},
		[]string{"10.1.0.0/16", "fd00:10:1::/48"}, []string{"10.1.0.0/16", "fd00:10:1::/48"})
	g.sc.serviceCIDRs = pick(g, nil, []string{"fd00:10:96::/112"}, []string{"10.96.0.0/16", "fd00:10:96::/112"},
		[]string{"10.96.0.0/16", "fd00:10:96::/112"})
	g.sc.nodePortAddresses = pick(g, nil, nil, []string{"192.168.0.0/24", "fd00:c0::/64"}, []string{"10.1.0.0/16", "127.0.0.0/8"})
	if g.chance(20) {
		g.sc.zone = "a"
	} else if g.chance(30) {
		g.sc.nodes = append(g.sc.nodes, &corev1.Node{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
			ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{corev1.LabelTopologyZone: "a"}},
		})
	}
}

// service adds the i-th Service and its endpoints.
func (g *generator) service(i int) {
	s := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("svc-%d", i), Namespace: "demo", Annotations: map[string]string{}},
	}
	s.Spec.Type = pick(g, corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer)
	g.families(s, i)
	g.ports(s)
	g.external(s)
	if g.chance(30) {
		s.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
	}
	if g.chance(35) {
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		if g.chance(80) {
			s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{
				ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(pick[int32](g, 1, 2, 60, 86400))},
			}
		}
	}
	g.annotations(s)
	g.sc.services = append(g.sc.services, s)
	switch {
	case s.Spec.ClusterIP == corev1.ClusterIPNone || s.Spec.Type == corev1.ServiceTypeExternalName:
	case g.chance(60):
		g.slices(s)
	case g.chance(50):
		g.selected(s, i)
	case g.chance(60):
		g.legacy(s)
	}
}

func (g *generator) families(s *corev1.Service, i int) {
	four, six := clusterIPs[2*i].String(), clusterIPs[2*i+1].String()
	s.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicySingleStack)
	switch g.IntN(5) {
	case 0:
		s.Spec.IPFamilies, s.Spec.ClusterIPs = []corev1.IPFamily{corev1.IPv6Protocol}, []string{six}
	case 1, 2:
		s.Spec.IPFamilies, s.Spec.ClusterIPs = []corev1.IPFamily{corev1.IPv4Protocol}, []string{four}
	case 3:
		s.Spec.IPFamilies, s.Spec.ClusterIPs = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}, []string{four, six}
		s.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack)
	case 4:
		s.Spec.IPFamilies, s.Spec.ClusterIPs = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}, []string{six, four}
		s.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyPreferDualStack)
	}
	s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	if g.chance(5) {
		s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "other"}
	}
}

func (g *generator) ports(s *corev1.Service) {
	protos := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	wanted := 1 + g.IntN(3)
	seen := map[packetPort]bool{}
	for len(s.Spec.Ports) < wanted {
		p := corev1.ServicePort{Protocol: pick(g, protos...), Port: int32(pick(g, servicePorts...))}
		key := packetPort{p.Protocol, p.Port}
		if seen[key] {
			continue
		}
		seen[key] = true
		p.Name = fmt.Sprintf("p%d", len(s.Spec.Ports))
		p.TargetPort = pick(g, intstr.FromInt32(8080), intstr.FromInt32(8081), intstr.FromString("named-"+string(p.Protocol[0]|0x20)))
		s.Spec.Ports = append(s.Spec.Ports, p)
	}
	if wanted == 1 && g.chance(50) {
		s.Spec.Ports[0].Name = ""
	}
	if s.Spec.Type == corev1.ServiceTypeClusterIP {
		return
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		for _, n := range g.Perm(len(nodePorts)) {
			if g.claimNodePort(s.Name, p.Protocol, int32(nodePorts[n])) {
				p.NodePort = int32(nodePorts[n])
				break
			}
		}
		if p.NodePort == 0 && s.Spec.Type == corev1.ServiceTypeNodePort {
			s.Spec.Type = corev1.ServiceTypeLoadBalancer // which may go without
		}
	}
}

// claimNodePort takes a node port. Its number belongs to one Service, whatever the protocols.
func (g *generator) claimNodePort(service string, proto corev1.Protocol, number int32) bool {
	if owner, taken := g.nodePorts[number]; taken && owner != service {
		return false
	}
	g.nodePorts[number] = service
	return g.claim(netip.IPv4Unspecified(), proto, number)
}

func (g *generator) claim(a netip.Addr, proto corev1.Protocol, port int32) bool {
	key := claim{a, packetPort{proto, port}}
	if g.claimed[key] {
		return false
	}
	g.claimed[key] = true
	return true
}

// claimAll takes an address for all ports of a Service, or for none.
func (g *generator) claimAll(s *corev1.Service, a netip.Addr) bool {
	for _, p := range s.Spec.Ports {
		if g.claimed[claim{a, packetPort{p.Protocol, p.Port}}] {
			return false
		}
	}
	for _, p := range s.Spec.Ports {
		g.claim(a, p.Protocol, p.Port)
	}
	return true
}

// external gives a Service addresses for those outside of the cluster.
func (g *generator) external(s *corev1.Service) {
	// An external IP may be an address of the node itself, and of a family that the Service is not.
	for _, a := range some(g, 15, slices.Concat(externalIPs, nodeAddrs[:2])...) {
		if g.claimAll(s, a) {
			s.Spec.ExternalIPs = append(s.Spec.ExternalIPs, a.String())
		}
	}
	if (s.Spec.Type != corev1.ServiceTypeClusterIP || len(s.Spec.ExternalIPs) > 0) && g.chance(50) {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return
	}
	for _, a := range some(g, 60, externalIPs...) {
		if !g.claimAll(s, a) {
			continue
		}
		in := corev1.LoadBalancerIngress{IP: a.String()}
		if g.chance(40) {
			in.IPMode = new(pick(g, corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy))
		}
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, in)
	}
	if g.chance(50) {
		s.Spec.LoadBalancerSourceRanges = some(g, 25, "198.51.100.0/24", "192.168.0.0/24", "192.168.0.3/32", "10.1.0.0/16",
			"10.1.2.2/32", "2001:db8:7::/64", "fd00:c0::/64", "fd00:c0::3/128", "fd00:10:1::/48", "192.168.0.2/31")
	}
}

func (g *generator) annotations(s *corev1.Service) {
	if g.chance(25) {
		s.Annotations["svcctl.io/balance"] = pick(g, "source-hash", "source-hash", "random")
	}
	if g.chance(20) {
		s.Annotations["svcctl.io/weights"] = pick(g, "10.1.1.2=3", "10.1.2.2=2, fd00:10:1:1::2=5", "10.1.4.2=9,fd00:10:1:3::2=2")
	}
}

// conditions are of all kinds: ready, nothing known, ending and still serving, ended, not ready.
func (g *generator) conditions() discoveryv1.EndpointConditions {
	yes, no := new(true), new(false)
	return pick(g,
		discoveryv1.EndpointConditions{},
		discoveryv1.EndpointConditions{},
		discoveryv1.EndpointConditions{Ready: yes},
		discoveryv1.EndpointConditions{Ready: yes, Serving: yes, Terminating: no},
		discoveryv1.EndpointConditions{Ready: yes, Serving: yes, Terminating: yes},
		discoveryv1.EndpointConditions{Ready: no, Serving: yes, Terminating: yes},
		discoveryv1.EndpointConditions{Ready: no, Serving: no, Terminating: yes},
		discoveryv1.EndpointConditions{Ready: no, Serving: no},
		discoveryv1.EndpointConditions{Ready: no, Serving: yes},
	)
}

// endpointAddrs are a few addresses that can serve: pods, or the node itself.
func (g *generator) endpointAddrs(f graph.Family) []netip.Addr {
	var all []netip.Addr
	for k := 1; k <= podCount; k++ {
		if f == graph.IPv4 {
			all = append(all, netip.AddrFrom4([4]byte{10, 1, byte(k), 2}))
		} else {
			all = append(all, netip.MustParseAddr(fmt.Sprintf("fd00:10:1:%x::2", k)))
		}
	}
	all = append(all, of(f, nodeAddrs)[0])
	return some(g, pick(g, 20, 50, 80), all...)
}

// slices gives a Service EndpointSlices, one or two for each of its families.
func (g *generator) slices(s *corev1.Service) {
	for _, family := range s.Spec.IPFamilies {
		f := graph.IPv4
		if family == corev1.IPv6Protocol {
			f = graph.IPv6
		}
		hinted := g.chance(25)
		for n := range 1 + g.IntN(2) {
			slice := &discoveryv1.EndpointSlice{
				TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
				ObjectMeta: metav1.ObjectMeta{
					Name: fmt.Sprintf("%s-%s-%d", s.Name, map[graph.Family]string{graph.IPv4: "4", graph.IPv6: "6"}[f], n), Namespace: s.Namespace,
					Labels: map[string]string{discoveryv1.LabelServiceName: s.Name},
				},
				AddressType: discoveryv1.AddressType(family),
				Endpoints:   []discoveryv1.Endpoint{},
			}
			for _, p := range s.Spec.Ports {
				if g.chance(95) {
					slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
						Name: new(p.Name), Protocol: new(p.Protocol), Port: new(int32(pick(g, endpointPorts...))),
					})
				}
			}
			for _, a := range g.endpointAddrs(f) {
				slice.Endpoints = append(slice.Endpoints, g.endpoint(a, hinted))
			}
			g.sc.slices = append(g.sc.slices, slice)
		}
	}
}

func (g *generator) endpoint(a netip.Addr, hinted bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{a.String()}, Conditions: g.conditions()}
	e.NodeName = pick(g, nil, new(nodeName), new(nodeName), new("node-2"))
	if hinted && g.chance(90) {
		e.Hints = pick(g, &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}},
			&discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "b"}}},
			&discoveryv1.EndpointHints{
				ForZones: []discoveryv1.ForZone{{Name: "a"}}, ForNodes: []discoveryv1.ForNode{{Name: pick(g, nodeName, "node-2")}},
			})
	}
	return e
}

// selected gives a Service Pods by its selector.
func (g *generator) selected(s *corev1.Service, i int) {
	s.Spec.Selector = map[string]string{"app": s.Name}
	s.Spec.PublishNotReadyAddresses = g.chance(20)
	four, six := g.endpointAddrs(graph.IPv4), of(graph.IPv6, nodeAddrs)
	for n, a := range four {
		pod := &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("pod-%d-%d", i, n), Namespace: s.Namespace, Labels: map[string]string{"app": s.Name},
			},
			Spec: corev1.PodSpec{
				NodeName: pick(g, nodeName, "node-2"),
				Containers: []corev1.Container{{Name: "main", Image: "image", Ports: []corev1.ContainerPort{
					{Name: "named-t", Protocol: corev1.ProtocolTCP, ContainerPort: int32(pick(g, endpointPorts...))},
					{Name: "named-u", Protocol: corev1.ProtocolUDP, ContainerPort: int32(pick(g, endpointPorts...))},
				}}},
			},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: a.String(), PodIPs: []corev1.PodIP{{IP: a.String()}}},
		}
		// The same host's IPv6 address: a pod's has its number, the node's is the node's.
		twin := six[0]
		if b := a.As4(); b[0] == 10 {
			twin = netip.MustParseAddr(fmt.Sprintf("fd00:10:1:%x::2", b[2]))
		}
		if g.chance(80) {
			pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: twin.String()})
		}
		if g.chance(85) {
			pod.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodReady, Status: pick(g, corev1.ConditionTrue, corev1.ConditionTrue, corev1.ConditionFalse),
			}}
		}
		if g.chance(15) {
			pod.Annotations = map[string]string{"svcctl.io/weight": pick(g, "2", "5")}
		}
		g.sc.pods = append(g.sc.pods, pod)
	}
}

// legacy gives a Service an Endpoints object.
func (g *generator) legacy(s *corev1.Service) {
	f := graph.IPv4
	if s.Spec.IPFamilies[0] == corev1.IPv6Protocol {
		f = graph.IPv6
	}
	var subset corev1.EndpointSubset
	for _, a := range g.endpointAddrs(f) {
		e := corev1.EndpointAddress{IP: a.String(), NodeName: pick(g, nil, new(nodeName), new("node-2"))}
		if g.chance(80) {
			subset.Addresses = append(subset.Addresses, e)
		} else {
			subset.NotReadyAddresses = append(subset.NotReadyAddresses, e)
		}
	}
	for _, p := range s.Spec.Ports {
		subset.Ports = append(subset.Ports, corev1.EndpointPort{
			Name: p.Name, Port: int32(pick(g, endpointPorts...)), Protocol: p.Protocol,
		})
	}
	e := &corev1.Endpoints{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Endpoints"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace},
	}
	if len(subset.Addresses)+len(subset.NotReadyAddresses) > 0 {
		e.Subsets = append(e.Subsets, subset)
	}
	g.sc.endpoints = append(g.sc.endpoints, e)
}
