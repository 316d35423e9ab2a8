package render

import (
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// Endpoints gives the endpoints of a Service as the v1 Endpoints object that the Endpoints controller would write, or nil
// where the Service has no slices. It has one family, the Service's first; endpoints that terminate are left out, those
// that are not ready are listed as such, and addresses are sorted as text.
func Endpoints(s *resolve.Service) *corev1.Endpoints {
	family := primaryFamily(s)
	e := &corev1.Endpoints{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Endpoints"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Ref.Namespace, Name: s.Ref.Name,
			Labels: s.Object.Value.Labels, CreationTimestamp: s.Object.Value.CreationTimestamp,
		},
	}
	found := false
	for _, slice := range s.Slices {
		if slice.AddressType != family {
			continue
		}
		found = true
		e.Subsets = addSubset(e.Subsets, slice.EndpointSlice)
	}
	if !found {
		return nil
	}
	for i := range e.Subsets {
		sortAddresses(e.Subsets[i].Addresses)
		sortAddresses(e.Subsets[i].NotReadyAddresses)
	}
	return e
}

func primaryFamily(s *resolve.Service) discoveryv1.AddressType {
	if len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

// addSubset adds the endpoints of a slice to the subset of the same ports, or to a new one.
func addSubset(subsets []corev1.EndpointSubset, slice *discoveryv1.EndpointSlice) []corev1.EndpointSubset {
	if len(slice.Endpoints) == 0 {
		return subsets
	}
	ports := endpointPorts(slice.Ports)
	i := slices.IndexFunc(subsets, func(ss corev1.EndpointSubset) bool { return slices.Equal(ss.Ports, ports) })
	if i < 0 {
		i = len(subsets)
		subsets = append(subsets, corev1.EndpointSubset{Ports: ports})
	}
	ss := &subsets[i]
	for j := range slice.Endpoints {
		ep := &slice.Endpoints[j]
		for _, ip := range ep.Addresses {
			a := corev1.EndpointAddress{IP: ip, NodeName: ep.NodeName, TargetRef: ep.TargetRef}
			if ep.Hostname != nil {
				a.Hostname = *ep.Hostname
			}
			switch {
			case isReady(ep):
				ss.Addresses = append(ss.Addresses, a)
			case ep.Conditions.Terminating == nil || !*ep.Conditions.Terminating:
				ss.NotReadyAddresses = append(ss.NotReadyAddresses, a)
			}
		}
	}
	return subsets
}

func endpointPorts(ports []discoveryv1.EndpointPort) []corev1.EndpointPort {
	out := make([]corev1.EndpointPort, 0, len(ports))
	for _, p := range ports {
		if p.Port == nil {
			continue
		}
		ep := corev1.EndpointPort{Port: *p.Port, Protocol: corev1.ProtocolTCP}
		if p.Name != nil {
			ep.Name = *p.Name
		}
		if p.Protocol != nil {
			ep.Protocol = *p.Protocol
		}
		out = append(out, ep)
	}
	return out
}

func sortAddresses(addrs []corev1.EndpointAddress) {
	slices.SortStableFunc(addrs, func(a, b corev1.EndpointAddress) int { return strings.Compare(a.IP, b.IP) })
}

// isReady reads a condition that means true where it is not given.
func isReady(e *discoveryv1.Endpoint) bool {
	return e.Conditions.Ready == nil || *e.Conditions.Ready
}

func joinHostPort(ip string, port int32) string { return net.JoinHostPort(ip, itoa(port)) }

func itoa(n int32) string { return strconv.Itoa(int(n)) }
