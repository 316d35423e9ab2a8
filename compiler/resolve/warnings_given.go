package resolve

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/diag"
)

// warnGiven warns of fields that say how slices are made of Pods, where the slices are in the input and say otherwise. In a
// cluster nobody would notice either: the controller leaves slices alone that others wrote. Those that it wrote itself
// agree with the Service, and nothing is said.
func warnGiven(r *report, svc *resolved, sources []*source) {
	spec := &svc.Spec
	unready := func(e *discoveryv1.Endpoint) bool { return !orTrue(e.Conditions.Ready) }
	if spec.PublishNotReadyAddresses && anyEndpoint(sources, unready) {
		r.warn(diag.Ignored, "spec.publishNotReadyAddresses",
			"its EndpointSlices say themselves which endpoints are ready, and some are not")
	}
	hinted := func(e *discoveryv1.Endpoint) bool { return e.Hints != nil }
	if spec.TrafficDistribution != nil && !anyEndpoint(sources, hinted) {
		r.warn(diag.Ignored, "spec.trafficDistribution",
			"no hints are made for EndpointSlices that are given: write them into endpoints[].hints")
	}
	for _, s := range sources {
		if f := corev1.IPFamily(s.AddressType); s.used && len(s.addrs) > 0 && !svc.addrs.serves(f) {
			r.found.Warnf(diag.Ignored, s.Pos, s.Source, addressTypeField(s), "%s has no ClusterIP of family %s: these endpoints "+
				"are not used", svc.Ref, f)
		}
	}
	for i := range spec.Ports {
		warnTargetPort(r, &spec.Ports[i], i, sources)
	}
}

// addressTypeField is the field that gives a slice its family: none where the addresses themselves do, in an Endpoints
// object.
func addressTypeField(s *source) string {
	if s.Source.Kind == "endpoints" {
		return ""
	}
	return "addressType"
}

func anyEndpoint(sources []*source, is func(*discoveryv1.Endpoint) bool) bool {
	for _, s := range sources {
		for i := range s.EndpointSlice.Endpoints {
			if s.used && is(&s.EndpointSlice.Endpoints[i]) {
				return true
			}
		}
	}
	return false
}

// warnTargetPort warns of a number that the slices do not have. The API server fills in the port itself where none is
// given: that one nobody meant.
func warnTargetPort(r *report, p *corev1.ServicePort, i int, sources []*source) {
	if p.TargetPort.Type != intstr.Int || p.TargetPort.IntVal == p.Port {
		return
	}
	other := ""
	for _, s := range sources {
		n, ok := slicePort(s.Ports, p.Name, p.Protocol)
		switch {
		case !ok || !s.used:
		case int32(n) == p.TargetPort.IntVal:
			return
		case other == "":
			other = strconv.Itoa(int(n))
		}
	}
	if other != "" {
		r.warn(diag.Ignored, portPath(i, "targetPort").String(), "not %d: the EndpointSlices of the Service have the port %s",
			p.TargetPort.IntVal, other)
	}
}
