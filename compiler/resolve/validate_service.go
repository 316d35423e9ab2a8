package resolve

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxAffinityTimeout is the longest sessionAffinityConfig.clientIP.timeoutSeconds, a day (kubernetes, pkg/apis/core,
// MaxClientIPServiceAffinitySeconds).
const maxAffinityTimeout = 86400

var specPath = field.NewPath("spec")

func specField(name string) func() *field.Path {
	return func() *field.Path { return specPath.Child(name) }
}

// checkService checks a Service with its defaults filled in.
func checkService(r *report, svc *corev1.Service, spec *corev1.ServiceSpec) {
	r.checkMeta(&svc.ObjectMeta, dnsLabel)
	checkType(r, spec)
	checkServicePorts(r, spec)
	r.checkLabels(spec.Selector, "spec", "selector")
	checkAffinity(r, spec)
	checkClusterIPs(r, svc, spec)
	for i, ip := range spec.ExternalIPs {
		r.checkRoutable(ip, func() *field.Path { return specPath.Child("externalIPs").Index(i) })
	}
	checkLoadBalancer(r, svc, spec)
	checkPolicies(r, spec)
}

func checkType(r *report, spec *corev1.ServiceSpec) {
	headless := isHeadless(spec)
	if len(spec.Ports) == 0 && !headless && spec.Type != corev1.ServiceTypeExternalName {
		r.add(field.Required(specPath.Child("ports"), ""))
	}
	switch spec.Type {
	case corev1.ServiceTypeClusterIP:
	case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if headless {
			path := specPath.Child("clusterIPs").Index(0)
			r.addAt(clusterIPPlace(spec, 0), field.Invalid(path, spec.ClusterIPs[0],
				"may not be set to 'None' for "+string(spec.Type)+" services"))
		}
	case corev1.ServiceTypeExternalName:
		checkExternalName(r, spec)
	default:
		r.add(field.NotSupported(specPath.Child("type"), spec.Type, []corev1.ServiceType{
			corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
			corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort,
		}))
	}
}

func checkExternalName(r *report, spec *corev1.ServiceSpec) {
	const why = "may not be set for ExternalName services"
	if spec.ClusterIP != "" || len(spec.ClusterIPs) > 0 {
		r.addAt(clusterIPPlace(spec, 0), field.Forbidden(specPath.Child("clusterIPs"), why))
	}
	if len(spec.IPFamilies) > 0 {
		r.add(field.Forbidden(specPath.Child("ipFamilies"), why))
	}
	if spec.IPFamilyPolicy != nil {
		r.add(field.Forbidden(specPath.Child("ipFamilyPolicy"), why))
	}
	// The name may end in a dot, which says that it is complete.
	if name := strings.TrimSuffix(spec.ExternalName, "."); name == "" {
		r.add(field.Required(specPath.Child("externalName"), ""))
	} else {
		r.check(dnsSubdomain, name, specField("externalName"))
	}
}

func checkAffinity(r *report, spec *corev1.ServiceSpec) {
	switch spec.SessionAffinity {
	case corev1.ServiceAffinityNone:
	case corev1.ServiceAffinityClientIP:
		// 86400 is accepted, although the text says otherwise: that is the API server's rule and its text.
		if t := *spec.SessionAffinityConfig.ClientIP.TimeoutSeconds; t <= 0 || t > maxAffinityTimeout {
			r.invalid(specPath.Child("sessionAffinityConfig", "clientIP", "timeoutSeconds"), t,
				"must be greater than 0 and less than 86400")
		}
	default:
		r.add(field.NotSupported(specPath.Child("sessionAffinity"), spec.SessionAffinity,
			[]corev1.ServiceAffinity{corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone}))
	}
}

// checkPolicies checks the traffic policies and what belongs to them.
func checkPolicies(r *report, spec *corev1.ServiceSpec) {
	checkExternalPolicy(r, spec)
	if p := spec.InternalTrafficPolicy; p != nil &&
		*p != corev1.ServiceInternalTrafficPolicyCluster && *p != corev1.ServiceInternalTrafficPolicyLocal {
		r.add(field.NotSupported(specPath.Child("internalTrafficPolicy"), *p, []corev1.ServiceInternalTrafficPolicy{
			corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal,
		}))
	}
	switch d := spec.TrafficDistribution; {
	case d == nil:
	case *d == corev1.ServiceTrafficDistributionPreferClose, *d == corev1.ServiceTrafficDistributionPreferSameNode,
		*d == corev1.ServiceTrafficDistributionPreferSameZone:
	default:
		r.add(field.NotSupported(specPath.Child("trafficDistribution"), *d, []string{
			corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameNode,
			corev1.ServiceTrafficDistributionPreferSameZone,
		}))
	}
}

func checkExternalPolicy(r *report, spec *corev1.ServiceSpec) {
	policy := spec.ExternalTrafficPolicy
	path := specField("externalTrafficPolicy")
	switch {
	case policy == "":
	case !isExternal(spec):
		r.invalid(path(), policy, "may only be set for externally-accessible services")
	case policy != corev1.ServiceExternalTrafficPolicyCluster && policy != corev1.ServiceExternalTrafficPolicyLocal:
		r.add(field.NotSupported(path(), policy, []corev1.ServiceExternalTrafficPolicy{
			corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal,
		}))
	}
	port := spec.HealthCheckNodePort
	if port == 0 {
		return
	}
	path = specField("healthCheckNodePort")
	if spec.Type != corev1.ServiceTypeLoadBalancer || policy != corev1.ServiceExternalTrafficPolicyLocal {
		r.invalid(path(), port, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
	} else if !isPortNumber(port) {
		r.invalid(path(), port, validation.IsValidPortNum(int(port))...)
	}
}
