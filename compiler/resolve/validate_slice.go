package resolve

import (
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/svcctl/svcctl/compiler/diag"
)

// The API server's limits on an EndpointSlice (kubernetes, pkg/apis/discovery/validation).
const (
	maxSliceEndpoints    = 1000
	maxEndpointAddresses = 100
	maxSlicePorts        = 20000
	maxHints             = 8
)

// checkSlice checks an EndpointSlice with its defaults filled in, and gives the first address of each of its endpoints,
// the zero Addr for one that cannot be used.
func checkSlice(r *report, s *discoveryv1.EndpointSlice) []netip.Addr {
	r.checkMeta(&s.ObjectMeta, dnsSubdomain)
	checkOwnAnnotations(r, s.Annotations)
	checkSlicePorts(r, s.Ports)
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN:
	case "":
		r.add(field.Required(field.NewPath("addressType"), ""))
	default:
		r.add(field.NotSupported(field.NewPath("addressType"), s.AddressType, []discoveryv1.AddressType{
			discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6,
		}))
	}
	if n := len(s.Endpoints); n > maxSliceEndpoints {
		r.add(field.TooMany(field.NewPath("endpoints"), n, maxSliceEndpoints))
		return make([]netip.Addr, n)
	}
	addrs := make([]netip.Addr, len(s.Endpoints))
	for i := range s.Endpoints {
		addrs[i] = checkEndpoint(r, &s.Endpoints[i], s.AddressType, i)
	}
	return addrs
}

func endpointPath(i int, child ...string) *field.Path {
	path := field.NewPath("endpoints").Index(i)
	for _, c := range child {
		path = path.Child(c)
	}
	return path
}

func checkEndpoint(r *report, e *discoveryv1.Endpoint, t discoveryv1.AddressType, i int) netip.Addr {
	if e.NodeName != nil {
		r.check(dnsSubdomain, *e.NodeName, func() *field.Path { return endpointPath(i, "nodeName") })
	}
	if e.Hostname != nil {
		r.check(dnsLabel, *e.Hostname, func() *field.Path { return endpointPath(i, "hostname") })
	}
	if e.Hints != nil {
		checkHints(r, e.Hints, i)
	}
	switch n := len(e.Addresses); {
	case n == 0:
		r.add(field.Required(endpointPath(i, "addresses"), "must contain at least 1 address"))
		return netip.Addr{}
	case n > maxEndpointAddresses:
		r.add(field.TooMany(endpointPath(i, "addresses"), n, maxEndpointAddresses))
	case n > 1 && t != discoveryv1.AddressTypeFQDN:
		r.warn(diag.Ignored, endpointPath(i, "addresses").Index(1).String(),
			"only the first address of an endpoint is used, as in Kubernetes")
	}
	first := netip.Addr{}
	for j, s := range e.Addresses {
		if a := checkEndpointAddress(r, s, t, i, j); j == 0 {
			first = a
		}
	}
	return first
}

func checkEndpointAddress(r *report, s string, t discoveryv1.AddressType, i, j int) netip.Addr {
	path := func() *field.Path { return endpointPath(i, "addresses").Index(j) }
	switch t {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	case discoveryv1.AddressTypeFQDN:
		r.add(validation.IsFullyQualifiedDomainName(path(), s)...)
		return netip.Addr{}
	default:
		return netip.Addr{}
	}
	a, ok := ParseIP(s)
	switch {
	case !ok || !isCanonical(a, s):
		r.add(validation.IsValidIP(path(), s)...)
	case string(FamilyOf(a)) != string(t):
		// The API server reports this one without the index.
		r.addAt(path().String(), field.Invalid(endpointPath(i, "addresses"), s, "must be an "+string(t)+" address"))
	case isSpecial(a):
		r.invalid(path(), s, special(a, s))
	default:
		return a
	}
	return netip.Addr{}
}

func checkHints(r *report, h *discoveryv1.EndpointHints, i int) {
	if n := len(h.ForZones); n > maxHints {
		r.add(field.TooMany(endpointPath(i, "hints", "forZones"), n, maxHints))
		return
	}
	if n := len(h.ForNodes); n > maxHints {
		r.add(field.TooMany(endpointPath(i, "hints", "forNodes"), n, maxHints))
		return
	}
	for j, z := range h.ForZones {
		before := slices.ContainsFunc(h.ForZones[:j], func(x discoveryv1.ForZone) bool { return x.Name == z.Name })
		checkHint(r, z.Name, before, labelValue, func() *field.Path {
			return endpointPath(i, "hints", "forZones").Index(j).Child("name")
		})
	}
	for j, n := range h.ForNodes {
		before := slices.ContainsFunc(h.ForNodes[:j], func(x discoveryv1.ForNode) bool { return x.Name == n.Name })
		checkHint(r, n.Name, before, dnsSubdomain, func() *field.Path {
			return endpointPath(i, "hints", "forNodes").Index(j).Child("name")
		})
	}
}

func checkHint(r *report, name string, before bool, rule nameRule, path func() *field.Path) {
	if before {
		r.add(field.Duplicate(path(), name))
	}
	r.check(rule, name, path)
}

func checkSlicePorts(r *report, ports []discoveryv1.EndpointPort) {
	if n := len(ports); n > maxSlicePorts {
		r.add(field.TooMany(field.NewPath("ports"), n, maxSlicePorts))
		return
	}
	var seen sets.Set[string]
	if len(ports) > 1 {
		seen = sets.Set[string]{}
	}
	for i := range ports {
		p := &ports[i]
		path := func(child string) func() *field.Path {
			return func() *field.Path { return field.NewPath("ports").Index(i).Child(child) }
		}
		if *p.Name != "" {
			r.check(dnsLabel, *p.Name, path("name"))
		}
		if seen != nil {
			if seen.Has(*p.Name) {
				r.add(field.Duplicate(path("name")(), *p.Name))
			}
			seen.Insert(*p.Name)
		}
		r.checkProtocol(*p.Protocol, path("protocol"))
		if p.AppProtocol != nil {
			r.check(labelKey, *p.AppProtocol, path("appProtocol"))
		}
		checkSlicePortNumber(r, p.Port, path("port"))
	}
}

// checkSlicePortNumber is stricter than the API server, which takes any number. No number at all, which means all ports,
// is skipped by kube-proxy too.
func checkSlicePortNumber(r *report, port *int32, path func() *field.Path) {
	switch {
	case port == nil || *port == 0:
		r.warn(diag.Ignored, path().String(), "a port without a number is not served")
	case !isPortNumber(*port):
		r.invalid(path(), *port, validation.IsValidPortNum(int(*port))...)
	}
}
