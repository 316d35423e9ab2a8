package render

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// DescribeServices writes Services, two blank lines between them, as kubectl does. The ports of others of the model's
// Services are passed over. counted, if not nil, is what was counted at their addresses.
func DescribeServices(
	w io.Writer, services []*resolve.Service, ports []*resolve.ServicePort, counted *Stats,
) error {
	connections := connectionsOf(counted)
	byService := map[*resolve.Service][]*resolve.ServicePort{}
	for _, p := range ports {
		byService[p.Service] = append(byService[p.Service], p)
	}
	for i, s := range services {
		if i > 0 {
			if _, err := io.WriteString(w, "\n\n"); err != nil {
				return err
			}
		}
		if err := describeService(w, s, byService[s], connections); err != nil {
			return err
		}
	}
	return nil
}

// DescribeService writes one Service as kubectl describe service does: a line per field, values two spaces after the
// longest label there is. Endpoints are the ready ones, matched by the name of the port. There are no events. What kubectl
// does not know, where the traffic of each of the Service's ports goes, comes after that.
func DescribeService(w io.Writer, s *resolve.Service, ports []*resolve.ServicePort) error {
	return describeService(w, s, ports, nil)
}

func describeService(w io.Writer, s *resolve.Service, ports []*resolve.ServicePort, counted connections) error {
	d := description{}
	d.identity(s)
	d.addresses(s)
	for i := range s.Spec.Ports {
		d.port(s, &s.Spec.Ports[i])
	}
	d.policies(&s.Spec)
	d.add("Events", none)
	if err := d.write(w); err != nil {
		return err
	}
	return traffic(w, s, ports, counted)
}

// description is a list of lines, a label and values each. A line with an empty label goes on with the label above.
type description struct {
	lines []descriptionLine
}

type descriptionLine struct {
	label  string
	values []string
}

func (d *description) add(label string, values ...string) {
	d.lines = append(d.lines, descriptionLine{label, values})
}

// addSet adds a line only where there is something to say.
func (d *description) addSet(label, value string) {
	if value != "" {
		d.add(label, value)
	}
}

func (d *description) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, l := range d.lines {
		text := ""
		if l.label != "" {
			text = l.label + ":"
		}
		for _, v := range l.values {
			text += "\t" + plain(v)
		}
		if _, err := io.WriteString(tw, text+"\n"); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func (d *description) identity(s *resolve.Service) {
	o := &s.Object.Value
	d.add("Name", s.Ref.Name)
	d.add("Namespace", s.Ref.Namespace)
	d.pairs("Labels", o.Labels, func(k, v string) []string { return []string{k + "=" + v} })
	d.pairs("Annotations", shownAnnotations(o.Annotations), annotationLines)
	d.add("Selector", labelsText(s.Spec.Selector))
	d.add("Type", string(s.Spec.Type))
}

// pairs adds a map a line each, sorted by key.
func (d *description) pairs(label string, m map[string]string, lines func(k, v string) []string) {
	if len(m) == 0 {
		d.add(label, none)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		for _, l := range lines(k, m[k]) {
			d.add(label, l)
			label = ""
		}
	}
}

// shownAnnotations leaves out the copy of the manifest that kubectl apply keeps.
func shownAnnotations(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	delete(out, corev1.LastAppliedConfigAnnotation)
	return out
}

// maxAnnotation is how long an annotation may be, in bytes, to stay on one line, and what is shown of a longer one.
const maxAnnotation = 140

func annotationLines(k, v string) []string {
	v = strings.TrimSuffix(v, "\n")
	if len(k)+len(v)+2 <= maxAnnotation && !strings.Contains(v, "\n") {
		return []string{k + ": " + v}
	}
	lines := []string{k + ":"}
	for l := range strings.SplitSeq(v, "\n") {
		if len(l) > maxAnnotation {
			l = strings.ToValidUTF8(l[:maxAnnotation], "") + "..."
		}
		lines = append(lines, "  "+l)
	}
	return lines
}

func (d *description) addresses(s *resolve.Service) {
	spec := &s.Spec
	if spec.IPFamilyPolicy != nil {
		d.add("IP Family Policy", string(*spec.IPFamilyPolicy))
	}
	families := make([]string, len(spec.IPFamilies))
	for i, f := range spec.IPFamilies {
		families[i] = string(f)
	}
	d.add("IP Families", cmp.Or(strings.Join(families, ","), none))
	d.add("IP", spec.ClusterIP)
	d.add("IPs", cmp.Or(strings.Join(spec.ClusterIPs, ","), none))
	d.addSet("External IPs", strings.Join(spec.ExternalIPs, ","))
	d.addSet("Desired LoadBalancer IP", spec.LoadBalancerIP)
	d.addSet("External Name", spec.ExternalName)
	d.addSet("LoadBalancer Ingress", ingressList(s.Object.Value.Status.LoadBalancer.Ingress))
}

// ingressList gives the addresses of a load balancer as given, each with its mode where it has one.
func ingressList(ingress []corev1.LoadBalancerIngress) string {
	items := make([]string, len(ingress))
	for i, in := range ingress {
		items[i] = cmp.Or(in.IP, in.Hostname)
		if in.IPMode != nil {
			items[i] += " (" + string(*in.IPMode) + ")"
		}
	}
	return strings.Join(items, ", ")
}

func (d *description) port(s *resolve.Service, p *corev1.ServicePort) {
	name, protocol := cmp.Or(p.Name, unset), string(p.Protocol)
	d.add("Port", name, itoa(p.Port)+"/"+protocol)
	target := p.TargetPort.StrVal
	if p.TargetPort.Type == intstr.Int {
		target = itoa(p.TargetPort.IntVal)
	}
	d.add("TargetPort", target+"/"+protocol)
	if p.AppProtocol != nil {
		d.add("AppProtocol", *p.AppProtocol)
	}
	if p.NodePort != 0 {
		d.add("NodePort", name, itoa(p.NodePort)+"/"+protocol)
	}
	d.add("Endpoints", portEndpoints(s, p.Name))
}

// portEndpoints lists the ready endpoints of a port over all slices. kubectl counts endpoints that are not ready among
// those it does not list and may say "+ 0 more..."; this does not.
func portEndpoints(s *resolve.Service, port string) string {
	if len(s.Slices) == 0 {
		return none
	}
	var items []string
	for _, slice := range s.Slices {
		for i := range slice.EndpointSlice.Endpoints {
			e := &slice.EndpointSlice.Endpoints[i]
			if !isReady(e) {
				continue
			}
			if len(slice.Ports) == 0 { // headless Services may have no ports
				items = append(items, e.Addresses...)
			}
			for _, p := range slice.Ports {
				if p.Port != nil && (p.Name == nil && port == "" || p.Name != nil && *p.Name == port) && len(e.Addresses) > 0 {
					items = append(items, joinHostPort(e.Addresses[0], *p.Port))
				}
			}
		}
	}
	return clipped(items)
}

func (d *description) policies(spec *corev1.ServiceSpec) {
	d.add("Session Affinity", string(spec.SessionAffinity))
	d.addSet("External Traffic Policy", string(spec.ExternalTrafficPolicy))
	if spec.InternalTrafficPolicy != nil {
		d.add("Internal Traffic Policy", string(*spec.InternalTrafficPolicy))
	}
	if spec.HealthCheckNodePort != 0 {
		d.add("HealthCheck NodePort", itoa(spec.HealthCheckNodePort))
	}
	d.addSet("LoadBalancer Source Ranges", strings.Join(spec.LoadBalancerSourceRanges, ","))
	if spec.TrafficDistribution != nil {
		d.add("Traffic Distribution", *spec.TrafficDistribution)
	}
}
