package resolve

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// Labels of EndpointSlices and Services (k8s.io/kubernetes, pkg/apis/core and pkg/controller).
const (
	labelHeadless = corev1.IsHeadlessService
	// LabelProxyName gives a Service to another proxy (KEP-2447): nothing here is for it.
	LabelProxyName = "service.kubernetes.io/service-proxy-name"
	// labelEndpointsManagedBy is on the Endpoints objects that the endpoints controller writes since Kubernetes 1.33.
	labelEndpointsManagedBy = "endpoints.kubernetes.io/managed-by"
	// managedByController and managedByMirroring are values of endpointslice.kubernetes.io/managed-by.
	managedByController = "endpointslice-controller.k8s.io"
	managedByMirroring  = "endpointslicemirroring-controller.k8s.io"
)

var sliceType = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}

// source is a slice as the packet path reads it.
type source struct {
	*Slice
	addrs []netip.Addr // the first address of each endpoint; the zero Addr is not usable
	// headless says that the slice is labelled as of a headless Service: what is behind it reaches clients by DNS.
	headless bool
	// used is false for such a slice, and for one of domain names.
	used bool
}

// serves reports whether the slice holds endpoints of the family that the packet path uses.
func (s *source) serves(f corev1.IPFamily) bool {
	return s.used && string(s.AddressType) == string(f)
}

// key is the namespace and name by which objects refer to each other.
type key struct {
	namespace, name string
}

// givenSlices checks the EndpointSlices of the input and gives them by Service, in the bundle's order.
func (rs *resolver) givenSlices(found *diag.List) map[key][]*source {
	n := len(rs.bundle.EndpointSlices)
	read, models := make([]source, n), make([]Slice, n)
	parallel(n, found, func(i int, found *diag.List) {
		read[i].Slice = &models[i]
		read[i].read(rs.bundle.EndpointSlices[i], found)
	})
	byService := make(map[key][]*source, n)
	for i := range read {
		s := &read[i]
		if name := s.Labels[discoveryv1.LabelServiceName]; name != "" {
			k := key{s.Source.Namespace, name}
			byService[k] = append(byService[k], s)
		}
	}
	return byService
}

// read fills in an EndpointSlice of the input.
func (s *source) read(o *manifest.Object[discoveryv1.EndpointSlice], found *diag.List) {
	r := reportOn(found, o)
	slice := defaultedSlice(&o.Value)
	*s.Slice = Slice{EndpointSlice: slice, Source: o.Ref, Pos: o.Pos}
	s.addrs = checkSlice(r, slice)
	s.Endpoints = o.Items("endpoints", len(slice.Endpoints))
	_, s.headless = slice.Labels[labelHeadless]
	s.used = !s.headless && slice.AddressType != discoveryv1.AddressTypeFQDN
	if slice.AddressType == discoveryv1.AddressTypeFQDN {
		r.warn(diag.Ignored, "addressType", "no packets are sent to domain names: the endpoints of this slice are not used")
	}
	if slice.Labels[discoveryv1.LabelServiceName] == "" {
		r.warn(diag.Ignored, "metadata.labels", "without the label %s the slice belongs to no Service",
			discoveryv1.LabelServiceName)
	}
}

// mirrored gives an Endpoints object as the EndpointSlices that Kubernetes would mirror it to: one for each subset and
// address family.
func mirrored(o *manifest.Object[corev1.Endpoints]) []*source {
	var out []*source
	for i := range o.Value.Subsets {
		for _, t := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			if s := mirroredSubset(o, i, t); len(s.addrs) > 0 {
				out = append(out, s)
			}
		}
	}
	return out
}

func mirroredSubset(o *manifest.Object[corev1.Endpoints], i int, t discoveryv1.AddressType) *source {
	subset := &o.Value.Subsets[i]
	slice := &discoveryv1.EndpointSlice{
		TypeMeta: sliceType,
		ObjectMeta: metav1.ObjectMeta{
			Name:        o.Value.Name + "-" + suffix(string(t), strconv.Itoa(i)),
			Namespace:   o.Ref.Namespace,
			Labels:      mirroredLabels(&o.Value),
			Annotations: o.Value.Annotations,
		},
		AddressType: t,
		Ports:       mirroredPorts(subset.Ports),
	}
	s := &source{Slice: &Slice{EndpointSlice: slice, Source: o.Ref, Pos: o.Pos}, used: true}
	add := func(addresses []corev1.EndpointAddress, list string, ready bool) {
		for j := range addresses {
			a, ok := ParseIP(addresses[j].IP)
			if !ok || isSpecial(a) || string(FamilyOf(a)) != string(t) {
				continue
			}
			slice.Endpoints = append(slice.Endpoints, mirroredAddress(&addresses[j], a, ready))
			s.addrs = append(s.addrs, a)
			s.Endpoints = append(s.Endpoints,
				o.At("subsets["+strconv.Itoa(i)+"]."+list+"["+strconv.Itoa(j)+"]"))
		}
	}
	add(subset.Addresses, "addresses", true)
	add(subset.NotReadyAddresses, "notReadyAddresses", false)
	return s
}

func mirroredLabels(e *corev1.Endpoints) map[string]string {
	labels := map[string]string{
		discoveryv1.LabelServiceName: e.Name,
		discoveryv1.LabelManagedBy:   managedByMirroring,
	}
	for k, v := range e.Labels {
		if k != labelHeadless && k != labelEndpointsManagedBy {
			labels[k] = v
		}
	}
	return labels
}

func mirroredPorts(given []corev1.EndpointPort) []discoveryv1.EndpointPort {
	ports := make([]discoveryv1.EndpointPort, len(given))
	for i, p := range given {
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		ports[i] = discoveryv1.EndpointPort{
			Name: new(p.Name), Protocol: new(p.Protocol), Port: new(p.Port), AppProtocol: p.AppProtocol,
		}
	}
	return ports
}

func mirroredAddress(a *corev1.EndpointAddress, ip netip.Addr, ready bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses:  []string{ip.String()},
		Conditions: discoveryv1.EndpointConditions{Ready: new(ready)},
		TargetRef:  a.TargetRef,
		NodeName:   a.NodeName,
	}
	if a.Hostname != "" {
		e.Hostname = new(a.Hostname)
	}
	return e
}

// givenBySlices reports whether an Endpoints object beside EndpointSlices is a copy that a controller made, of which
// nothing needs to be said.
func givenBySlices(e *corev1.Endpoints, given []*source) bool {
	_, managed := e.Labels[labelEndpointsManagedBy]
	_, triggered := e.Annotations[corev1.EndpointsLastChangeTriggerTime]
	return managed || triggered || slices.ContainsFunc(given, func(s *source) bool {
		return s.Labels[discoveryv1.LabelManagedBy] == managedByMirroring
	})
}

// sortedSlices gives the slices for the model, by name.
func sortedSlices(sources []*source) []*Slice {
	out := make([]*Slice, len(sources))
	for i, s := range sources {
		out[i] = s.Slice
	}
	byName := func(a, b *Slice) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(out, byName) {
		slices.SortStableFunc(out, byName)
	}
	return out
}

// serviceLabels gives the labels of the slices made for a Service: its own, and those that say what they are.
func serviceLabels(svc *corev1.Service, headless bool) map[string]string {
	labels := maps.Clone(svc.Labels)
	if labels == nil {
		labels = make(map[string]string, 3)
	}
	labels[discoveryv1.LabelServiceName] = svc.Name
	labels[discoveryv1.LabelManagedBy] = managedByController
	delete(labels, labelHeadless)
	if headless {
		labels[labelHeadless] = ""
	}
	return labels
}
