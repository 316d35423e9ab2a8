package resolve

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkEndpoints checks a v1 Endpoints object.
func checkEndpoints(r *report, e *corev1.Endpoints) {
	r.checkMeta(&e.ObjectMeta, dnsSubdomain)
	checkOwnAnnotations(r, e.Annotations)
	for i := range e.Subsets {
		s := &e.Subsets[i]
		path := field.NewPath("subsets").Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			r.add(field.Required(path, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j := range s.Addresses {
			checkSubsetAddress(r, &s.Addresses[j], path.Child("addresses").Index(j))
		}
		for j := range s.NotReadyAddresses {
			checkSubsetAddress(r, &s.NotReadyAddresses[j], path.Child("notReadyAddresses").Index(j))
		}
		for j := range s.Ports {
			checkSubsetPort(r, &s.Ports[j], len(s.Ports) > 1, path.Child("ports").Index(j))
		}
	}
}

func checkSubsetAddress(r *report, a *corev1.EndpointAddress, path *field.Path) {
	r.checkRoutable(a.IP, func() *field.Path { return path.Child("ip") })
	if a.Hostname != "" {
		r.check(dnsLabel, a.Hostname, func() *field.Path { return path.Child("hostname") })
	}
	if a.NodeName != nil {
		r.check(dnsSubdomain, *a.NodeName, func() *field.Path { return path.Child("nodeName") })
	}
}

func checkSubsetPort(r *report, p *corev1.EndpointPort, needsName bool, path *field.Path) {
	switch {
	case p.Name != "":
		r.check(dnsLabel, p.Name, func() *field.Path { return path.Child("name") })
	case needsName:
		r.add(field.Required(path.Child("name"), ""))
	}
	if !isPortNumber(p.Port) {
		r.invalid(path.Child("port"), p.Port, validation.IsValidPortNum(int(p.Port))...)
	}
	if p.Protocol != "" {
		r.checkProtocol(p.Protocol, func() *field.Path { return path.Child("protocol") })
	}
	if p.AppProtocol != nil {
		r.check(labelKey, *p.AppProtocol, func() *field.Path { return path.Child("appProtocol") })
	}
}
