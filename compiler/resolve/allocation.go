package resolve

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/svcctl/svcctl/compiler/diag"
)

// checkAllocated checks what in a cluster the API server's allocators would have filled in: the cluster addresses and the
// node ports. Whoever fills them in does so before this phase, so that here they are there or missing. To a Service that is
// refused nothing is given: what it lacks is only the echo of what is wrong with it.
func (rs *resolver) checkAllocated(r *report, svc *Service, refused bool) {
	reported := refused || rs.bundle.Unallocated[svc.Ref]
	if !reported {
		rs.checkClusterIPsGiven(r, svc)
	}
	needed := svc.Spec.Type == corev1.ServiceTypeNodePort && !reported
	for i := range svc.Spec.Ports {
		switch port := svc.Spec.Ports[i].NodePort; {
		case port != 0 && !rs.cfg.NodePortRange.Contains(port):
			r.invalid(portPath(i, "nodePort"), port, "provided port is not in the valid range. The range of valid ports is "+
				rs.cfg.NodePortRange.String())
		case port == 0 && needed:
			r.add(field.Required(portPath(i, "nodePort"), "svcctl needs the port to be written here, in the range "+
				rs.cfg.NodePortRange.String()))
		}
	}
}

func (rs *resolver) checkClusterIPsGiven(r *report, svc *Service) {
	switch n := len(svc.Spec.ClusterIPs); {
	case n == 0:
		r.add(field.Required(specPath.Child("clusterIP"),
			"svcctl needs the address to be written here, or None for a headless Service"))
	case n == 1 && *svc.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack,
		n < len(svc.Object.Value.Spec.IPFamilies):
		r.add(field.Required(specPath.Child("clusterIPs"),
			"svcctl needs an address of each IP family of a dual-stack Service to be written here"))
	}
}

// warnRange warns of cluster addresses outside of the configured ranges: nobody keeps others from using them.
func (rs *resolver) warnRange(r *report, svc *resolved) {
	if len(rs.cfg.ServiceCIDRs) == 0 {
		return
	}
	for _, a := range svc.addrs.cluster {
		inside := false
		for _, p := range rs.cfg.ServiceCIDRs {
			inside = inside || p.Contains(a)
		}
		if !inside {
			i := slices.IndexFunc(svc.Spec.ClusterIPs, func(s string) bool { b, ok := ParseIP(s); return ok && a == b })
			r.warn(diag.OutOfRange, clusterIPPlace(&svc.Spec, i), "%s is not in the service CIDRs %v", a, rs.cfg.ServiceCIDRs)
		}
	}
}
