package resolve

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/diag"
)

// annotationSourceRanges is what loadBalancerSourceRanges was before it was a field (kubernetes, pkg/apis/core,
// AnnotationLoadBalancerSourceRangesKey). kube-proxy does not read it.
const annotationSourceRanges = "service.beta.kubernetes.io/load-balancer-source-ranges"

// warnService warns of fields on their way out and of fields that do nothing here.
func (rs *resolver) warnService(r *report, svc *resolved) {
	spec := &svc.Spec
	rs.warnRange(r, svc)
	if len(spec.ExternalIPs) > 0 {
		r.warn(diag.Deprecated, "spec.externalIPs", "deprecated since Kubernetes 1.36; it is still served here")
	}
	for i := range svc.addrs.external {
		if e := &svc.addrs.external[i]; len(svc.addrs.cluster) > 0 && !svc.addrs.serves(FamilyOf(e.addr)) {
			r.warn(diag.Ignored, e.path(), "%s is not served: the Service has no ClusterIP of family %s", e.addr,
				FamilyOf(e.addr))
		}
	}
	if d := spec.TrafficDistribution; d != nil && *d == corev1.ServiceTrafficDistributionPreferClose {
		r.warn(diag.Deprecated, "spec.trafficDistribution", "PreferClose is deprecated, its new name is PreferSameZone")
	}
	if _, ok := svc.Object.Value.Annotations[annotationSourceRanges]; ok && len(spec.LoadBalancerSourceRanges) == 0 {
		r.warn(diag.Ignored, "metadata.annotations["+annotationSourceRanges+"]",
			"the annotation restricts nobody, as in kube-proxy: use spec.loadBalancerSourceRanges")
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		warnLoadBalancer(r, svc)
	}
}

func warnLoadBalancer(r *report, svc *resolved) {
	spec := &svc.Spec
	if spec.LoadBalancerIP != "" {
		r.warn(diag.Deprecated, "spec.loadBalancerIP", "deprecated since Kubernetes 1.24; "+
			"it is the address here as long as status.loadBalancer.ingress has none")
	}
	if spec.LoadBalancerClass != nil {
		r.warn(diag.Ignored, "spec.loadBalancerClass", "the addresses are served here whatever the class")
	}
	if spec.HealthCheckNodePort != 0 {
		r.warn(diag.Ignored, "spec.healthCheckNodePort", "nothing answers health checks on this port")
	}
}

// warnEndpoints warns where a Service that is served has no endpoints for a reason that can be a mistake. It may be none:
// a Deployment that is scaled to zero looks the same.
func (rs *resolver) warnEndpoints(r *report, svc *resolved, sources []*source) {
	made := len(sources) > 0 && sources[0].Source == svc.Ref
	served, total := 0, 0
	for _, s := range sources {
		if s.used {
			total += len(s.addrs)
		}
		if s.used && svc.addrs.serves(corev1.IPFamily(s.AddressType)) {
			served += len(s.addrs)
		}
	}
	switch {
	case len(svc.addrs.cluster) == 0:
		// There is an error about that.
	case len(sources) == 0:
		r.warn(diag.NoEndpoints, "spec", "no endpoints: there is no selector, and no EndpointSlice or Endpoints object "+
			"for the Service in the input")
	case made && served == 0:
		rs.warnSelector(r, svc)
	case total > 0 && served == 0:
		r.warn(diag.NoEndpoints, "spec", "no endpoints: its EndpointSlices have none of family %s",
			FamilyOf(svc.addrs.cluster[0]))
	case served > 0:
		warnPorts(r, svc, sources, made)
		warnWeights(r, svc.settings.weights, sources)
		warnNodeless(r, svc, sources)
		if !made {
			warnGiven(r, svc, sources)
		}
	}
	if _, ok := svc.Object.Value.Annotations[corev1.AnnotationTopologyMode]; ok && made {
		r.warn(diag.Ignored, "metadata.annotations["+corev1.AnnotationTopologyMode+"]",
			"no hints are made for this annotation: use spec.trafficDistribution")
	}
}

// warnNodeless warns of the traffic policy Local where no endpoint says on which node it is: none is ever local then, and
// everything is dropped.
func warnNodeless(r *report, svc *resolved, sources []*source) {
	internal, external := localOnly(&svc.Spec)
	if !internal && !external {
		return
	}
	for _, s := range sources {
		if slices.ContainsFunc(s.EndpointSlice.Endpoints, func(e discoveryv1.Endpoint) bool { return e.NodeName != nil }) {
			return
		}
	}
	path := "spec.externalTrafficPolicy"
	if !external {
		path = "spec.internalTrafficPolicy"
	}
	r.warn(diag.NoEndpoints, path, "no endpoint is local: none of them has a nodeName")
}

func (rs *resolver) warnSelector(r *report, svc *resolved) {
	pods := rs.pods.matching(svc.Ref.Namespace, svc.Spec.Selector)
	if len(pods) == 0 {
		r.warn(diag.NoEndpoints, "spec.selector", "no endpoints: the selector matches no Pod in the input")
		return
	}
	r.warn(diag.NoEndpoints, "spec.selector", "no endpoints: of the Pods that the selector matches (%s) none has an "+
		"address of family %s in status.podIPs", podNames(pods), FamilyOf(svc.addrs.cluster[0]))
}

func podNames(pods []*pod) string {
	names := make([]string, 0, 3)
	for _, p := range pods {
		if len(names) == 3 {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more", len(pods)-3)
		}
		names = append(names, p.Ref.Name)
	}
	return strings.Join(names, ", ")
}

// warnPorts warns of a port that no slice has. The name and protocol join them, not the number.
func warnPorts(r *report, svc *resolved, sources []*source, made bool) {
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if slices.ContainsFunc(sources, func(s *source) bool {
			_, ok := slicePort(s.Ports, p.Name, p.Protocol)
			return ok && s.used && len(s.addrs) > 0
		}) {
			continue
		}
		switch {
		case !isPortNumber(p.Port) || !isProtocol(p.Protocol):
		case !made:
			r.warn(diag.NoEndpoints, portPath(i).String(), "no endpoints: the port is %s, and the EndpointSlices of the "+
				"Service have %s", describePort(p.Name, p.Protocol), describePorts(sources))
		case p.TargetPort.Type == intstr.String:
			r.warn(diag.NoEndpoints, portPath(i, "targetPort").String(), "no endpoints: no container of the Pods that the "+
				"selector matches has a port named %s", describePort(p.TargetPort.StrVal, p.Protocol))
		}
	}
}

func describePort(name string, protocol corev1.Protocol) string {
	if name == "" {
		return "unnamed/" + string(protocol)
	}
	return fmt.Sprintf("%q/%s", name, protocol)
}

// describePorts lists the ports of all slices, each once.
func describePorts(sources []*source) string {
	var out []string
	for _, s := range sources {
		for i := range s.Ports {
			if p := &s.Ports[i]; s.used && p.Port != nil {
				out = append(out, describeSlicePort(p))
			}
		}
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) == 0 {
		return "no ports"
	}
	return strings.Join(out, ", ")
}

func describeSlicePort(p *discoveryv1.EndpointPort) string {
	return describePort(*p.Name, *p.Protocol)
}
