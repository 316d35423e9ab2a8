package resolve

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// affinityTimeout is the API server's default of sessionAffinityConfig.clientIP.timeoutSeconds (three hours).
const affinityTimeout = corev1.DefaultClientIPServiceAffinitySeconds

// The values that are filled in by pointer. All objects share them: there may be a hundred thousand.
var (
	clusterInternally = new(corev1.ServiceInternalTrafficPolicyCluster)
	allocateNodePorts = new(true)
	singleStack       = new(corev1.IPFamilyPolicySingleStack)
	requireDualStack  = new(corev1.IPFamilyPolicyRequireDualStack)
	onlyIPv4          = [...]corev1.IPFamily{corev1.IPv4Protocol}
	onlyIPv6          = [...]corev1.IPFamily{corev1.IPv6Protocol}
	unnamed           = new("")
	overTCP           = new(corev1.ProtocolTCP)
)

// defaulted makes spec that of the Service with everything filled in that the API server fills in, but for what it
// allocates. The Service itself stays as given.
func (rs *resolver) defaulted(svc *corev1.Service, spec *corev1.ServiceSpec) {
	*spec = svc.Spec
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	spec.Ports = defaultPorts(spec.Ports)
	defaultAffinity(spec)
	if spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	if spec.InternalTrafficPolicy == nil {
		spec.InternalTrafficPolicy = clusterInternally
	}
	if spec.ExternalTrafficPolicy == "" && isExternal(spec) {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer && spec.AllocateLoadBalancerNodePorts == nil {
		spec.AllocateLoadBalancerNodePorts = allocateNodePorts
	}
	if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	rs.defaultFamilies(spec)
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
		spec.IPFamilyPolicy = singleStack
		if bare {
			// Nobody knows of which family the hand-written endpoints will be.
			spec.IPFamilyPolicy = requireDualStack
		}
	}
	families := slices.Clip(spec.IPFamilies)
	if !headless {
		for i := len(families); i < len(spec.ClusterIPs); i++ {
			if a, ok := ParseIP(spec.ClusterIPs[i]); ok {
				families = withFamily(families, FamilyOf(a))
			}
		}
	}
	if len(families) == 0 {
		families = withFamily(families, rs.defaultFamily())
	}
	dual := *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack || headless && *spec.IPFamilyPolicy ==
		corev1.IPFamilyPolicyPreferDualStack
	if dual && len(families) == 1 {
		families = withFamily(families, OtherFamily(families[0]))
	}
	spec.IPFamilies = families
}

// withFamily adds a family. The first one is not given memory of its own.
func withFamily(families []corev1.IPFamily, f corev1.IPFamily) []corev1.IPFamily {
	switch {
	case len(families) > 0:
		return append(families, f)
	case f == corev1.IPv4Protocol:
		return onlyIPv4[:1:1]
	default:
		return onlyIPv6[:1:1]
	}
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
			p.Name = unnamed
		}
		if p.Protocol == nil {
			p.Protocol = overTCP
		}
	}
	return &out
}
