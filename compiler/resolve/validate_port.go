package resolve

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// portPath gives the path of a field of spec.ports[i], or of the port itself.
func portPath(i int, child ...string) *field.Path {
	path := specPath.Child("ports").Index(i)
	if len(child) > 0 {
		path = path.Child(child[0])
	}
	return path
}

func checkServicePorts(r *report, spec *corev1.ServiceSpec) {
	for i := range spec.Ports {
		checkServicePort(r, &spec.Ports[i], i, len(spec.Ports) > 1)
		if spec.Type == corev1.ServiceTypeClusterIP && spec.Ports[i].NodePort != 0 {
			r.add(field.Forbidden(portPath(i, "nodePort"), "may not be used when `type` is 'ClusterIP'"))
		}
	}
	if len(spec.Ports) > 1 {
		checkDistinctPorts(r, spec.Ports)
	}
}

func checkServicePort(r *report, p *corev1.ServicePort, i int, needsName bool) {
	switch {
	case p.Name != "":
		r.check(dnsLabel, p.Name, func() *field.Path { return portPath(i, "name") })
	case needsName:
		r.add(field.Required(portPath(i, "name"), ""))
	}
	if !isPortNumber(p.Port) {
		r.invalid(portPath(i, "port"), p.Port, validation.IsValidPortNum(int(p.Port))...)
	}
	r.checkProtocol(p.Protocol, func() *field.Path { return portPath(i, "protocol") })
	checkTargetPort(r, p, i)
	if p.AppProtocol != nil {
		r.check(labelKey, *p.AppProtocol, func() *field.Path { return portPath(i, "appProtocol") })
	}
}

func checkTargetPort(r *report, p *corev1.ServicePort, i int) {
	if p.TargetPort.Type == intstr.String {
		r.check(portName, p.TargetPort.StrVal, func() *field.Path { return portPath(i, "targetPort") })
		return
	}
	// A target that was not given is the port, about which everything has been said.
	if n := p.TargetPort.IntVal; !isPortNumber(n) && n != p.Port {
		r.invalid(portPath(i, "targetPort"), n, validation.IsValidPortNum(int(n))...)
	}
}

func isProtocol(p corev1.Protocol) bool {
	return p == corev1.ProtocolTCP || p == corev1.ProtocolUDP || p == corev1.ProtocolSCTP
}

func (r *report) checkProtocol(p corev1.Protocol, path func() *field.Path) {
	if !isProtocol(p) {
		r.add(field.NotSupported(path(), p,
			[]corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}))
	}
}

// checkDistinctPorts refuses a name, a protocol with a port, or a protocol with a node port that is there twice.
func checkDistinctPorts(r *report, ports []corev1.ServicePort) {
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	names, nodePorts, numbers := sets.Set[string]{}, sets.Set[number]{}, sets.Set[number]{}
	for i := range ports {
		p := &ports[i]
		if p.Name != "" && names.Has(p.Name) {
			r.add(field.Duplicate(portPath(i, "name"), p.Name))
		}
		names.Insert(p.Name)
		if key := (number{p.Protocol, p.NodePort}); p.NodePort != 0 {
			if nodePorts.Has(key) {
				r.add(field.Duplicate(portPath(i, "nodePort"), p.NodePort))
			}
			nodePorts.Insert(key)
		}
		key := number{p.Protocol, p.Port}
		if numbers.Has(key) {
			r.add(field.Duplicate(portPath(i), map[string]any{"protocol": p.Protocol, "port": p.Port}))
		}
		numbers.Insert(key)
	}
}
