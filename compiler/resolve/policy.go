package resolve

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// localOnly gives the traffic policies of a Service: whether its ClusterIPs, and whether its external addresses, use only
// endpoints on this node. A Service that cannot have an external policy, and is reached outside by its status alone, has
// the policy Cluster there, as in kube-proxy.
func localOnly(spec *corev1.ServiceSpec) (internal, external bool) {
	internal = spec.InternalTrafficPolicy != nil &&
		*spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
	return internal, spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// affinity gives how long a client keeps its endpoint.
func affinity(spec *corev1.ServiceSpec) time.Duration {
	if spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	return time.Duration(*spec.SessionAffinityConfig.ClientIP.TimeoutSeconds) * time.Second
}
