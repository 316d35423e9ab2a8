package resolve

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// pod is a Pod that can be an endpoint.
type pod struct {
	*manifest.Object[corev1.Pod]
	v4, v6 netip.Addr // the zero Addr where it has none
}

func (p *pod) addr(f corev1.IPFamily) netip.Addr {
	if f == corev1.IPv4Protocol {
		return p.v4
	}
	return p.v6
}

// labelPair is one label in one namespace.
type labelPair struct {
	namespace, key, value string
}

// podIndex finds the Pods that a selector matches. It knows only the labels that some selector asks for: a Pod carries
// many more.
type podIndex map[labelPair][]*pod

// indexPods checks all Pods and indexes those that can be endpoints for the selectors of the Services.
func (rs *resolver) indexPods(services []*manifest.Object[corev1.Service], found *diag.List) podIndex {
	pods := make([]pod, len(rs.bundle.Pods))
	parallel(len(pods), found, func(i int, found *diag.List) {
		o := rs.bundle.Pods[i]
		checkPod(reportOn(found, o), &o.Value)
		pods[i] = pod{Object: o}
		for _, ip := range podIPs(&o.Value) {
			switch a, ok := ParseIP(ip.IP); {
			case !ok || isSpecial(a):
			case a.Is4():
				pods[i].v4 = a
			default:
				pods[i].v6 = a
			}
		}
	})
	index := podIndex{}
	for _, o := range services {
		for k, v := range o.Value.Spec.Selector {
			index[labelPair{o.Ref.Namespace, k, v}] = nil
		}
	}
	if len(index) == 0 {
		return index
	}
	for i := range pods {
		for k, v := range pods[i].Value.Labels {
			pair := labelPair{pods[i].Ref.Namespace, k, v}
			if list, ok := index[pair]; ok {
				index[pair] = append(list, &pods[i])
			}
		}
	}
	return index
}

// matching gives the Pods with all labels of the selector that are not over, in the bundle's order.
func (x podIndex) matching(namespace string, selector map[string]string) []*pod {
	var rarest []*pod
	first := true
	for k, v := range selector {
		if list := x[labelPair{namespace, k, v}]; first || len(list) < len(rarest) {
			rarest, first = list, false
		}
	}
	out := make([]*pod, 0, len(rarest))
	for _, p := range rarest {
		phase := p.Value.Status.Phase
		if phase != corev1.PodSucceeded && phase != corev1.PodFailed && matches(p.Value.Labels, selector) {
			out = append(out, p)
		}
	}
	return out
}

func matches(labels, selector map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// isReady reports whether a Pod can serve. Its condition Ready says so. A Pod without any conditions that is not said to
// be waiting serves: they are the kubelet's report, and on a host without one nobody writes them.
func isReady(p *corev1.Pod) bool {
	if len(p.Status.Conditions) == 0 {
		return p.Status.Phase == "" || p.Status.Phase == corev1.PodRunning
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// containerPort gives the number of the container port with the name and protocol. Init containers that keep running
// (sidecars, KEP-753) count, after the others.
func containerPort(p *corev1.Pod, name string, protocol corev1.Protocol) (int32, bool) {
	for i := range p.Spec.Containers {
		if n, ok := portNamed(&p.Spec.Containers[i], name, protocol); ok {
			return n, true
		}
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		if n, ok := portNamed(c, name, protocol); ok {
			return n, true
		}
	}
	return 0, false
}

func portNamed(c *corev1.Container, name string, protocol corev1.Protocol) (int32, bool) {
	for i := range c.Ports {
		p := &c.Ports[i]
		same := p.Protocol == protocol || p.Protocol == "" && protocol == corev1.ProtocolTCP
		if p.Name == name && same && isPortNumber(p.ContainerPort) {
			return p.ContainerPort, true
		}
	}
	return 0, false
}
