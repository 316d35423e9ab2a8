package resolve

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// affinityTimeout is the API server's default of sessionAffinityConfig.clientIP.timeoutSeconds (three hours).
const affinityTimeout = corev1.DefaultClientIPServiceAffinitySeconds

// defaulted gives the spec with everything filled in that the API server fills in, but for what it allocates. What it
// changes is a copy: the Service itself stays as given.
func (rs *resolver) defaulted(svc *corev1.Service) corev1.ServiceSpec {
	spec := svc.Spec
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	spec.Ports = defaultPorts(spec.Ports)
	defaultAffinity(&spec)
	if spec.Type == corev1.ServiceTypeExternalName {
		return spec
	}
	if spec.InternalTrafficPolicy == nil {
		spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.ExternalTrafficPolicy == "" && isExternal(&spec) {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer && spec.AllocateLoadBalancerNodePorts == nil {
		spec.AllocateLoadBalancerNodePorts = new(true)
	}
	if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	rs.defaultFamilies(&spec)
	return spec
}

func defaultPorts(given []corev1.ServicePort) []corev1.ServicePort {
	ports := slices.Clone(given)
	for i := range ports {
		p := &ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	return ports
}

func defaultAffinity(spec *corev1.ServiceSpec) {
	switch spec.SessionAffinity {
	case "", corev1.ServiceAffinityNone:
		spec.SessionAffinity = corev1.ServiceAffinityNone
		spec.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		if c := spec.SessionAffinityConfig; c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{
				ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(affinityTimeout)},
			}
		}
	}
}

// defaultFamilies fills in ipFamilyPolicy and ipFamilies. The addresses decide; only a Service without any is of the
// default family.
func (rs *resolver) defaultFamilies(spec *corev1.ServiceSpec) {
	headless := spec.ClusterIP == corev1.ClusterIPNone
	bare := headless && len(spec.Selector) == 0
	if spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		if bare {
			// Nobody knows of which family the hand-written endpoints will be.
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
	families := slices.Clip(spec.IPFamilies)
	if !headless {
		for i := len(families); i < len(spec.ClusterIPs); i++ {
			if a, ok := ParseIP(spec.ClusterIPs[i]); ok {
				families = append(families, FamilyOf(a))
			}
		}
	}
	if len(families) == 0 {
		families = append(families, rs.defaultFamily())
	}
	dual := *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack || headless && *spec.IPFamilyPolicy ==
		corev1.IPFamilyPolicyPreferDualStack
	if dual && len(families) == 1 {
		families = append(families, OtherFamily(families[0]))
	}
	spec.IPFamilies = families
}

// defaultFamily is the family of a Service that names neither an address nor a family.
func (rs *resolver) defaultFamily() corev1.IPFamily {
	if len(rs.cfg.ServiceCIDRs) > 0 {
		return FamilyOf(rs.cfg.ServiceCIDRs[0].Addr())
	}
	return corev1.IPv4Protocol
}

// isExternal reports whether the Service can be reached at an external address (KEP-27: only there does
// externalTrafficPolicy mean something).
func isExternal(spec *corev1.ServiceSpec) bool {
	switch spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeClusterIP:
		return len(spec.ExternalIPs) > 0
	default:
		return false
	}
}

// defaultedSlice gives the slice with the name and protocol of every port filled in: itself where they are.
func defaultedSlice(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	complete := func(p discoveryv1.EndpointPort) bool { return p.Name != nil && p.Protocol != nil }
	if !slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool { return !complete(p) }) {
		return s
	}
	out := *s
	out.Ports = slices.Clone(s.Ports)
	for i := range out.Ports {
		p := &out.Ports[i]
		if p.Name == nil {
			p.Name = new("")
		}
		if p.Protocol == nil {
			p.Protocol = new(corev1.ProtocolTCP)
		}
	}
	return &out
}
