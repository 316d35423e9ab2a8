package increment_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// world is an input that changes at random: objects of a few Services that share what Services can share, in a few files.
type world struct {
	*rand.Rand
	services  []*corev1.Service
	slices    []*discoveryv1.EndpointSlice
	endpoints []*corev1.Endpoints
	pods      []*corev1.Pod
	nodes     []*corev1.Node
	extra     []string // documents of other kinds and of none, and copies of others
	order     uint64   // of the documents, and in which files they are
	forms     []form   // of the files
	json      bool     // documents are JSON
	made      int      // names are never used again
	hashes    bool     // some Services draw by a hash
	plain     bool     // most Services are alike
	nodePorts []corev1.ServicePort
}

func newWorld(r *rand.Rand) *world {
	w := &world{Rand: r, order: r.Uint64(), json: r.IntN(3) > 0, hashes: r.IntN(16) == 0, plain: r.IntN(3) > 0}
	w.forms = make([]form, files)
	one := pick(w, documents, documents, documents, list, jsonList)
	for i := range w.forms {
		w.forms[i] = one
		if w.chance(8) {
			w.forms[i] = pick(w, documents, list, jsonList, flowList)
		}
	}
	for range 6 + r.IntN(15) {
		w.addService()
	}
	for i := range 2 {
		w.nodes = append(w.nodes, &corev1.Node{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i+1), Labels: map[string]string{corev1.LabelTopologyZone: w.zone()}},
		})
	}
	return w
}

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

// special is chance for what makes a Service unlike others.
func (w *world) special(percent int) bool {
	if w.plain {
		percent /= 6
	}
	return w.chance(percent)
}

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

func (w *world) zone() string { return pick(w, "a", "b") }

func (w *world) name(what string) string {
	w.made++
	return fmt.Sprintf("%s-%d", what, w.made)
}

func (w *world) addService() {
	s := &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.name("s"), Namespace: pick(w, "demo", "demo", "other"), Annotations: map[string]string{},
		},
	}
	n := w.made
	spec := &s.Spec
	if spec.Type = corev1.ServiceTypeClusterIP; w.special(66) {
		spec.Type = pick(w, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer)
	}
	spec.IPFamilies = pick(w,
		[]corev1.IPFamily{corev1.IPv4Protocol}, []corev1.IPFamily{corev1.IPv6Protocol},
		[]corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol})
	if len(spec.IPFamilies) == 2 {
		spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack)
	}
	if w.chance(60) { // others get an address
		for _, f := range spec.IPFamilies {
			spec.ClusterIPs = append(spec.ClusterIPs, map[corev1.IPFamily]string{
				corev1.IPv4Protocol: fmt.Sprintf("10.96.%d.%d", n/250, 1+n%250),
				corev1.IPv6Protocol: fmt.Sprintf("fd00:10:96::%x", n),
			}[f])
		}
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	for i := range 1 + w.IntN(2) {
		p := corev1.ServicePort{
			Name: fmt.Sprintf("p%d", i), Protocol: pick(w, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP),
			Port: pick[int32](w, 80, 443) + int32(i), TargetPort: intstr.FromInt32(8080),
		}
		if len(w.nodePorts) > 0 && w.chance(15) { // others have that as a node port
			other := pick(w, w.nodePorts...)
			p.Protocol, p.Port = other.Protocol, other.NodePort
		}
		if spec.Type != corev1.ServiceTypeClusterIP && w.chance(50) {
			p.NodePort = int32(30000 + 2*n + i)
			w.nodePorts = append(w.nodePorts, p)
		}
		spec.Ports = append(spec.Ports, p)
	}
	if w.special(40) {
		spec.SessionAffinity = corev1.ServiceAffinityClientIP
		spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(pick[int32](w, 10, 60))}}
	}
	if w.special(20) {
		spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
	}
	if spec.Type != corev1.ServiceTypeClusterIP && w.chance(40) {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		spec.AllocateLoadBalancerNodePorts = new(w.chance(50))
		if spec.IPFamilies[0] == corev1.IPv4Protocol {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: fmt.Sprintf("203.0.113.%d", 1+n%250)}}
			if w.chance(30) {
				spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24", "192.168.0.0/25"}
			}
		}
	}
	if w.hashes && w.chance(20) {
		s.Annotations["svcctl.io/balance"] = "source-hash"
	}
	if w.chance(5) {
		spec.Type, spec.ClusterIP, spec.ClusterIPs = corev1.ServiceTypeClusterIP, corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
		spec.SessionAffinity, spec.SessionAffinityConfig, spec.ExternalTrafficPolicy = "", nil, ""
		spec.LoadBalancerSourceRanges, s.Status.LoadBalancer.Ingress, spec.AllocateLoadBalancerNodePorts = nil, nil, nil
		for i := range spec.Ports {
			spec.Ports[i].NodePort = 0
		}
	}
	w.services = append(w.services, s)
	switch w.IntN(10) {
	case 0:
		w.addLegacy(s)
	case 1, 2:
		spec.Selector = map[string]string{"app": s.Name}
		for range 1 + w.IntN(3) {
			w.addPod(s)
		}
	default:
		for range len(spec.IPFamilies) + w.IntN(2) {
			w.addSlice(s)
		}
	}
}

// address is one of a few, so that Services share endpoints.
func (w *world) address(t discoveryv1.AddressType) string {
	if t == discoveryv1.AddressTypeIPv6 {
		return fmt.Sprintf("fd00:10:1::%x", 1+w.IntN(24))
	}
	return fmt.Sprintf("10.1.0.%d", 1+w.IntN(24))
}

func (w *world) addSlice(s *corev1.Service) {
	slice := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.name("slice"), Namespace: s.Namespace, Labels: map[string]string{discoveryv1.LabelServiceName: s.Name},
		},
		AddressType: discoveryv1.AddressType(pick(w, s.Spec.IPFamilies...)),
		Endpoints:   []discoveryv1.Endpoint{},
	}
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		slice.Labels[corev1.IsHeadlessService] = ""
	}
	for _, p := range s.Spec.Ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: new(p.Name), Protocol: new(p.Protocol), Port: new(int32(8080))})
	}
	for range w.IntN(6) {
		slice.Endpoints = append(slice.Endpoints, w.endpoint(slice))
	}
	w.slices = append(w.slices, slice)
}

func (w *world) endpoint(s *discoveryv1.EndpointSlice) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{w.address(s.AddressType)}, NodeName: new(pick(w, "node-1", "node-2"))}
	w.condition(&e)
	if w.chance(10) {
		e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: w.zone()}}}
	}
	if len(w.pods) > 0 && w.chance(20) {
		p := pick(w, w.pods...)
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
	}
	return e
}

func (w *world) condition(e *discoveryv1.Endpoint) {
	yes, no := new(true), new(false)
	e.Conditions = pick(w,
		discoveryv1.EndpointConditions{}, discoveryv1.EndpointConditions{Ready: yes}, discoveryv1.EndpointConditions{Ready: yes},
		discoveryv1.EndpointConditions{Ready: no}, discoveryv1.EndpointConditions{Ready: no, Serving: yes, Terminating: yes})
}

func (w *world) addLegacy(s *corev1.Service) {
	e := &corev1.Endpoints{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Endpoints"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace},
		Subsets:    []corev1.EndpointSubset{{}},
	}
	for _, p := range s.Spec.Ports {
		e.Subsets[0].Ports = append(e.Subsets[0].Ports, corev1.EndpointPort{Name: p.Name, Protocol: p.Protocol, Port: 8080})
	}
	for range 1 + w.IntN(3) {
		e.Subsets[0].Addresses = append(e.Subsets[0].Addresses, corev1.EndpointAddress{
			IP: w.address(discoveryv1.AddressType(s.Spec.IPFamilies[0])), NodeName: new("node-1"),
		})
	}
	w.endpoints = append(w.endpoints, e)
}

func (w *world) addPod(s *corev1.Service) {
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: w.name("pod"), Namespace: s.Namespace, Labels: map[string]string{"app": s.Name}, Annotations: map[string]string{},
		},
		Spec: corev1.PodSpec{NodeName: pick(w, "node-1", "node-2"), Containers: []corev1.Container{{Name: "main", Image: "image"}}},
	}
	for _, f := range s.Spec.IPFamilies {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: w.address(discoveryv1.AddressType(f))})
	}
	p.Status.PodIP = p.Status.PodIPs[0].IP
	if w.chance(40) {
		p.Annotations["svcctl.io/weight"] = pick(w, "2", "3")
	}
	w.pods = append(w.pods, p)
}

// change changes something: mostly endpoints.
func (w *world) change() {
	switch n := w.IntN(100); {
	case n < 70 && len(w.slices) > 0:
		w.changeSlice(pick(w, w.slices...))
	case n < 74:
		w.addSlice(pick(w, w.services...))
	case n < 77 && len(w.slices) > 0:
		w.slices = without(w, w.slices)
	case n < 80 && len(w.endpoints) > 0:
		s := pick(w, w.endpoints...).Subsets
		s[0].Addresses[0].IP = w.address(map[bool]discoveryv1.AddressType{true: "IPv6", false: "IPv4"}[strings.Contains(s[0].Addresses[0].IP, ":")])
	case n < 81 && len(w.endpoints) > 0:
		w.endpoints = without(w, w.endpoints)
	case n < 82:
		w.addLegacy(pick(w, w.services...))
	case n < 83 && len(w.pods) > 0:
		pick(w, w.pods...).Annotations["svcctl.io/weight"] = pick(w, "1", "2", "4")
	case n < 84 && len(w.pods) > 1:
		w.pods = without(w, w.pods)
	case n < 85:
		pick(w, w.nodes...).Labels[corev1.LabelTopologyZone] = w.zone()
	case n < 86:
		pick(w, w.services...).Annotations["note"] = w.name("note")
	case n < 87:
		w.addService()
	case n < 88 && len(w.services) > 3:
		w.services = without(w, w.services) // its endpoints are left over
	case n < 89 && len(w.slices) > 0: // a second object of the name
		s := pick(w, w.slices...).DeepCopy()
		s.Labels[discoveryv1.LabelServiceName] = pick(w, w.services...).Name
		w.slices = append(w.slices, s)
	case n < 90:
		w.extra = append(w.extra, pick(w, "# a comment\n", "kind: [\n", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", "a: b\n"))
	case n < 92 && len(w.extra) > 0:
		w.extra = w.extra[1:]
	default:
		w.order = w.Uint64()
	}
}

func without[T any](w *world, from []T) []T {
	i := w.IntN(len(from))
	return append(slices.Clone(from[:i]), from[i+1:]...)
}

func (w *world) changeSlice(s *discoveryv1.EndpointSlice) {
	i := 0
	if len(s.Endpoints) > 0 {
		i = w.IntN(len(s.Endpoints))
	}
	switch n := w.IntN(20); {
	case n < 6 || len(s.Endpoints) == 0:
		s.Endpoints = append(s.Endpoints, w.endpoint(s))
	case n < 11:
		s.Endpoints = append(slices.Clone(s.Endpoints[:i]), s.Endpoints[i+1:]...)
	case n < 14:
		w.condition(&s.Endpoints[i])
	case n < 16:
		s.Endpoints[i] = w.endpoint(s)
	case n < 17:
		s.Endpoints = []discoveryv1.Endpoint{}
	case n < 18:
		s.Ports[0].Port = new(pick[int32](w, 8080, 8081))
	case n < 19: // it goes to another Service
		s.Labels[discoveryv1.LabelServiceName] = pick(w, w.services...).Name
	default:
		s.Annotations = map[string]string{"note": w.name("note")}
	}
}

func (w *world) clone() *world {
	c := *w
	c.services, c.slices, c.endpoints = copies(w.services), copies(w.slices), copies(w.endpoints)
	c.pods, c.nodes, c.extra = copies(w.pods), copies(w.nodes), slices.Clone(w.extra)
	return &c
}

func copies[T interface{ DeepCopy() T }](all []T) []T {
	out := make([]T, len(all))
	for i := range all {
		out[i] = all[i].DeepCopy()
	}
	return out
}

// files is how many files the input is in.
const files = 4

// form is how a file holds its objects.
type form uint8

const (
	documents form = iota
	list
	jsonList
	flowList // which is not cut
)

// sources writes the input: in one of many orders.
func (w *world) sources() []manifest.Source {
	var docs []string
	add := func(o any) {
		text := must(json.Marshal(o))
		if !w.json {
			text = must(yaml.JSONToYAML(text))
		}
		docs = append(docs, strings.TrimSuffix(string(text), "\n"))
	}
	for _, o := range w.services {
		add(o)
	}
	for _, o := range w.slices {
		add(o)
	}
	for _, o := range w.endpoints {
		add(o)
	}
	for _, o := range w.pods {
		add(o)
	}
	for _, o := range w.nodes {
		add(o)
	}
	r := rand.New(rand.NewPCG(w.order, 0))
	r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	var parts [files][]string
	for i, d := range docs {
		parts[i*files/len(docs)] = append(parts[i*files/len(docs)], d)
	}
	out := make([]manifest.Source, files)
	for n, part := range parts {
		var text string
		switch w.forms[n] {
		case documents:
			text = strings.Join(part, "\n---\n") + "\n"
		case list:
			text = listOf(part)
		case jsonList:
			text = string(must(yaml.YAMLToJSON([]byte(listOf(part)))))
		case flowList:
			text = flowOf(part)
		}
		out[n] = manifest.Source{Name: fmt.Sprintf("%d.yaml", n), Data: []byte(text)}
	}
	return append(out, manifest.Source{Name: "extra.yaml", Data: []byte(strings.Join(w.extra, "---\n"))})
}

func listOf(docs []string) string {
	text := "apiVersion: v1\nkind: List\nitems:\n"
	for _, d := range docs {
		text += "- " + strings.ReplaceAll(strings.TrimSuffix(d, "\n"), "\n", "\n  ") + "\n"
	}
	return text
}

func flowOf(docs []string) string {
	items := make([]string, len(docs))
	for i, d := range docs {
		items[i] = string(must(yaml.YAMLToJSON([]byte(d))))
	}
	return "apiVersion: v1\nkind: List\nitems: [" + strings.Join(items, ",\n ") + "]\n"
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
