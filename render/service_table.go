package render

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// ServiceTable writes Services as kubectl get services does: NAME, TYPE, CLUSTER-IP, EXTERNAL-IP, PORT(S), AGE, and
// SELECTOR where wide. The order is that of the Services.
func ServiceTable(w io.Writer, services []*resolve.Service, opts TableOptions) error {
	headers := []string{"TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"}
	if opts.Wide {
		headers = append(headers, "SELECTOR")
	}
	t := table{columns: columns(opts, headers...)}
	for _, s := range services {
		o := &s.Object.Value
		cells := []string{
			string(s.Spec.Type), clusterIPText(&s.Spec), externalIPText(s), portsText(s.Spec.Ports),
			ageText(o.CreationTimestamp.Time, opts.Now),
		}
		if opts.Wide {
			cells = append(cells, labelsText(s.Spec.Selector))
		}
		m := meta{"service", s.Ref.Namespace, s.Ref.Name, o.Labels}
		t.rows = append(t.rows, m.row(opts, cells...))
	}
	return t.write(w, opts)
}

func clusterIPText(spec *corev1.ServiceSpec) string {
	if len(spec.ClusterIPs) > 0 {
		return spec.ClusterIPs[0]
	}
	return cmp.Or(spec.ClusterIP, none)
}

func externalIPText(s *resolve.Service) string {
	external := strings.Join(s.Spec.ExternalIPs, ",")
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return cmp.Or(external, none)
	case corev1.ServiceTypeLoadBalancer:
		// Where no controller writes a status, the address that is asked for is the address.
		ingress := cmp.Or(ingressText(s.Object.Value.Status.LoadBalancer.Ingress), s.Spec.LoadBalancerIP)
		if ingress != "" && external != "" {
			ingress += ","
		}
		return cmp.Or(ingress+external, "<pending>")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	default:
		return unknown
	}
}

// ingressText gives the addresses of a load balancer once each, sorted as text.
func ingressText(ingress []corev1.LoadBalancerIngress) string {
	var addrs []string
	for _, i := range ingress {
		if a := cmp.Or(i.IP, i.Hostname); a != "" {
			addrs = append(addrs, a)
		}
	}
	slices.Sort(addrs)
	return strings.Join(slices.Compact(addrs), ",")
}

func portsText(ports []corev1.ServicePort) string {
	texts := make([]string, len(ports))
	for i := range ports {
		p := &ports[i]
		texts[i] = strconv.Itoa(int(p.Port))
		if p.NodePort != 0 {
			texts[i] += ":" + strconv.Itoa(int(p.NodePort))
		}
		texts[i] += "/" + string(p.Protocol)
	}
	return cmp.Or(strings.Join(texts, ","), none)
}
