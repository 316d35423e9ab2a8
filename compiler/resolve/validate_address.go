package resolve

import (
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/svcctl/svcctl/compiler/diag"
)

func isHeadless(spec *corev1.ServiceSpec) bool {
	return len(spec.ClusterIPs) == 1 && spec.ClusterIPs[0] == corev1.ClusterIPNone
}

// clusterIPPlace is where the i-th cluster address is written. The API server reports clusterIPs even where only
// clusterIP is given; pointing at what is not in the file would help nobody.
func clusterIPPlace(spec *corev1.ServiceSpec, i int) string {
	if i == 0 && spec.ClusterIP != "" {
		return "spec.clusterIP"
	}
	return "spec.clusterIPs[" + strconv.Itoa(i) + "]"
}

var clusterIPsPath = specPath.Child("clusterIPs")

// checkClusterIPs checks clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, which must agree.
func checkClusterIPs(r *report, svc *corev1.Service, spec *corev1.ServiceSpec) {
	if spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	path := clusterIPsPath
	switch {
	case spec.ClusterIP == "" && len(spec.ClusterIPs) > 0:
		r.invalid(path, spec.ClusterIPs, "must be empty when `clusterIP` is not specified")
	case spec.ClusterIP != "" && spec.ClusterIPs[0] != spec.ClusterIP:
		r.invalid(path, spec.ClusterIPs, "first value must match `clusterIP`")
	}
	checkFamilies(r, svc, spec)
	if len(spec.ClusterIPs) > 2 {
		r.invalid(path, spec.ClusterIPs, "may only hold up to 2 values")
	}
	// Findings about families would only confuse where an address is none.
	addrs, ok := checkClusterIPForm(r, spec)
	if !ok || isHeadless(spec) {
		return
	}
	if len(addrs) > 1 && (len(addrs) > 2 || addrs[0].Is4() == addrs[1].Is4()) {
		r.invalid(path, spec.ClusterIPs, "may specify no more than one IP for each IP family")
	}
	for i, a := range addrs {
		if i < len(svc.Spec.IPFamilies) && FamilyOf(a) != svc.Spec.IPFamilies[i] {
			r.addAt(clusterIPPlace(spec, i), field.Invalid(path.Index(i), spec.ClusterIPs[i],
				"expected an "+string(svc.Spec.IPFamilies[i])+" value as indicated by `ipFamilies["+strconv.Itoa(i)+"]`"))
		}
	}
}

// checkClusterIPForm gives the cluster addresses and whether each of them is one.
func checkClusterIPForm(r *report, spec *corev1.ServiceSpec) ([]netip.Addr, bool) {
	addrs := make([]netip.Addr, 0, 2)
	for i, ip := range spec.ClusterIPs {
		if i == 0 && ip == corev1.ClusterIPNone {
			if len(spec.ClusterIPs) > 1 {
				r.invalid(clusterIPsPath, spec.ClusterIPs, "'None' must be the first and only value")
				return nil, false
			}
			continue
		}
		a, ok := ParseIP(ip)
		switch path := func() *field.Path { return clusterIPsPath.Index(i) }; {
		case !ok:
			r.addAt(clusterIPPlace(spec, i), validation.IsValidIPForLegacyField(path(), ip, true, nil)...)
			continue
		case a.IsUnspecified() || a.IsLoopback():
			// The API server finds these outside of its range. Here the unspecified address stands for node ports, and
			// the kernel does not route loopback addresses.
			r.addAt(clusterIPPlace(spec, i), field.Invalid(path(), ip, special(a, ip)))
			continue
		case !isCanonical(a, ip):
			r.found.Warnf(diag.Invalid, r.at(clusterIPPlace(spec, i)), *r.ref, path().String(),
				"IPv6 address %q should be in RFC 5952 canonical format (%q)", ip, a.String())
		}
		addrs = append(addrs, a)
	}
	return addrs, isHeadless(spec) || len(addrs) == len(spec.ClusterIPs)
}

func checkFamilies(r *report, svc *corev1.Service, spec *corev1.ServiceSpec) {
	seen := sets.Set[corev1.IPFamily]{}
	for i, f := range svc.Spec.IPFamilies {
		path := func() *field.Path { return specPath.Child("ipFamilies").Index(i) }
		if f != corev1.IPv4Protocol && f != corev1.IPv6Protocol {
			r.add(field.NotSupported(path(), f, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}))
		}
		if seen.Has(f) {
			r.add(field.Duplicate(path(), f))
		}
		seen.Insert(f)
	}
	policy := *spec.IPFamilyPolicy
	path := specField("ipFamilyPolicy")
	switch policy {
	case corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack:
	case corev1.IPFamilyPolicySingleStack:
		const must = "must be 'RequireDualStack' or 'PreferDualStack' when multiple "
		if len(spec.ClusterIPs) == 2 {
			r.invalid(path(), policy, must+"cluster IPs are specified")
		}
		if len(svc.Spec.IPFamilies) == 2 {
			r.invalid(path(), policy, must+"IP families are specified")
		}
	default:
		r.add(field.NotSupported(path(), policy, []corev1.IPFamilyPolicy{
			corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack,
		}))
	}
}

// checkLoadBalancer checks what only a LoadBalancer may have, and the addresses its status gives.
func checkLoadBalancer(r *report, svc *corev1.Service, spec *corev1.ServiceSpec) {
	const only = "may only be used when `type` is 'LoadBalancer'"
	is := spec.Type == corev1.ServiceTypeLoadBalancer
	if len(spec.LoadBalancerSourceRanges) > 0 {
		path := specPath.Child("LoadBalancerSourceRanges")
		if !is {
			r.add(field.Forbidden(path, only))
		}
		for i, s := range spec.LoadBalancerSourceRanges {
			// The API server tolerates surrounding blanks, for the annotation that this field once was.
			if s = strings.TrimSpace(s); !isStrictPrefix(s) {
				r.add(validation.IsValidCIDRForLegacyField(path.Index(i), s, true, nil)...)
			}
		}
	}
	if spec.AllocateLoadBalancerNodePorts != nil && !is {
		r.add(field.Forbidden(specPath.Child("allocateLoadBalancerNodePorts"), only))
	}
	if class := spec.LoadBalancerClass; class != nil {
		if is {
			r.check(labelKey, *class, specField("loadBalancerClass"))
		} else {
			r.add(field.Forbidden(specPath.Child("loadBalancerClass"), only))
		}
	}
	for i := range svc.Status.LoadBalancer.Ingress {
		checkIngress(r, &svc.Status.LoadBalancer.Ingress[i], i)
	}
	if is && spec.LoadBalancerIP != "" && len(svc.Status.LoadBalancer.Ingress) == 0 {
		// The API server never looks at this field; here it is the address, so it must be one.
		checkServedIP(r, spec.LoadBalancerIP, specField("loadBalancerIP"))
	}
}

// checkServedIP is checkIP for the addresses that the API server would take from nobody but a controller: it does not
// look whether they are special.
func checkServedIP(r *report, ip string, path func() *field.Path) {
	if a, ok := r.checkIP(ip, path); ok && (a.IsUnspecified() || a.IsLoopback()) {
		r.invalid(path(), ip, special(a, ip))
	}
}

func isStrictPrefix(s string) bool {
	p, err := netip.ParsePrefix(s)
	return err == nil && !p.Addr().Is4In6() && p == p.Masked()
}

func checkIngress(r *report, ingress *corev1.LoadBalancerIngress, i int) {
	path := func(child string) func() *field.Path {
		return func() *field.Path { return field.NewPath("status", "loadBalancer", "ingress").Index(i).Child(child) }
	}
	if ingress.IP != "" {
		checkServedIP(r, ingress.IP, path("ip"))
	}
	switch mode := ingress.IPMode; {
	case mode == nil:
	case ingress.IP == "":
		r.add(field.Forbidden(path("ipMode")(), "may not be specified when `ip` is not set"))
	case *mode != corev1.LoadBalancerIPModeVIP && *mode != corev1.LoadBalancerIPModeProxy:
		r.add(field.NotSupported(path("ipMode")(), *mode,
			[]corev1.LoadBalancerIPMode{corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP}))
	}
	if host := ingress.Hostname; host != "" {
		r.check(dnsSubdomain, host, path("hostname"))
		if _, err := netip.ParseAddr(host); err == nil {
			r.invalid(path("hostname")(), host, "must be a DNS name, not an IP address")
		}
	}
}
