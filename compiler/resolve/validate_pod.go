package resolve

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkPod checks the parts of a Pod that decide about endpoints: its labels, names, container ports and addresses. The
// rest is no business of a service proxy.
func checkPod(r *report, p *corev1.Pod) {
	r.checkMeta(&p.ObjectMeta, dnsSubdomain)
	if p.Spec.NodeName != "" {
		r.check(dnsSubdomain, p.Spec.NodeName, specField("nodeName"))
	}
	if p.Spec.Hostname != "" {
		r.check(dnsLabel, p.Spec.Hostname, specField("hostname"))
	}
	if p.Spec.Subdomain != "" {
		r.check(dnsLabel, p.Spec.Subdomain, specField("subdomain"))
	}
	checkContainers(r, p.Spec.Containers, "containers")
	checkContainers(r, p.Spec.InitContainers, "initContainers")
	checkPodIPs(r, p)
}

func checkContainers(r *report, containers []corev1.Container, name string) {
	for i := range containers {
		for j := range containers[i].Ports {
			p := &containers[i].Ports[j]
			path := func(child string) func() *field.Path {
				return func() *field.Path {
					return specPath.Child(name).Index(i).Child("ports").Index(j).Child(child)
				}
			}
			if p.Name != "" {
				r.check(portName, p.Name, path("name"))
			}
			switch {
			case p.ContainerPort == 0:
				r.add(field.Required(path("containerPort")(), ""))
			case !isPortNumber(p.ContainerPort):
				r.invalid(path("containerPort")(), p.ContainerPort, validation.IsValidPortNum(int(p.ContainerPort))...)
			}
			if p.Protocol != "" {
				r.checkProtocol(p.Protocol, path("protocol"))
			}
		}
	}
}

func checkPodIPs(r *report, p *corev1.Pod) {
	ips := podIPs(p)
	if len(p.Status.PodIPs) == 0 || ips[0] != p.Status.PodIPs[0] {
		// podIP alone is read.
		for _, ip := range ips {
			r.checkRoutable(ip.IP, func() *field.Path { return field.NewPath("status", "podIP") })
		}
		return
	}
	var v4, v6 int
	for i, ip := range ips {
		path := func() *field.Path { return field.NewPath("status", "podIPs").Index(i) }
		if a, ok := r.checkRoutable(ip.IP, path); ok {
			if a.Is4() {
				v4++
			} else {
				v6++
			}
		}
	}
	if v4 > 1 || v6 > 1 {
		r.invalid(field.NewPath("status", "podIPs"), ips, "may specify no more than one IP for each IP family")
	}
}

// podIPs gives the addresses of a Pod. As in the API server, podIP is the first of podIPs, and where the two differ it is
// the only one.
func podIPs(p *corev1.Pod) []corev1.PodIP {
	ips := p.Status.PodIPs
	if p.Status.PodIP != "" && (len(ips) == 0 || ips[0].IP != p.Status.PodIP) {
		return []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	return ips
}

// checkNode checks the parts of a Node that are read: its name and its labels.
func checkNode(r *report, n *corev1.Node) {
	r.checkMeta(&n.ObjectMeta, dnsSubdomain)
	checkOwnAnnotations(r, n.Annotations)
}
