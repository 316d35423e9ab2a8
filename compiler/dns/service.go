package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// All servers of a named port are equally good. The weight is not 0 because some clients take the first of several such
// servers, always.
const (
	priority = 0
	weight   = 100
)

// service adds what there is to say of a Service.
func (b *builder) service(svc *resolve.Service) {
	name := Name(svc.Ref.Name + "." + svc.Ref.Namespace + "." + b.servicesDomain)
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		b.externalName(svc, name)
	case !b.fits(name, svc, ""):
	case svc.Headless:
		b.headless(svc, name)
	default:
		b.clusterIP(svc, name)
	}
}

// fits reports whether a name is one that DNS can have, and warns where it is not.
func (b *builder) fits(name Name, svc *resolve.Service, field string) bool {
	why := name.Problem()
	if why != "" {
		b.found.Warnf(diag.Ignored, svc.Object.At(field), svc.Ref, field, "DNS does not have %s: the name %s", name, why)
	}
	return why == ""
}

func (b *builder) add(name Name, data Data) { b.forward = append(b.forward, Record{name, data}) }

// externalName makes the Service an alias.
func (b *builder) externalName(svc *resolve.Service, name Name) {
	const field = "spec.externalName"
	target := Name(strings.TrimSuffix(svc.Spec.ExternalName, "."))
	if _, err := netip.ParseAddr(string(target)); err == nil {
		// The API server takes it for a name; CoreDNS has no record of such a Service either.
		b.found.Warnf(diag.Ignored, svc.Object.At(field), svc.Ref, field,
			"DNS does not have this Service: its external name %s is an address, and an alias is one of a name", target)
		return
	}
	if !b.fits(name, svc, "") || !b.fits(target, svc, field) {
		return
	}
	b.add(name, CNAME{target})
	b.hosts = append(b.hosts, Host{Names: []Name{name}, Alias: target})
}

// clusterIP says where a Service with addresses of its own is, whether it has endpoints or not.
func (b *builder) clusterIP(svc *resolve.Service, name Name) {
	addrs := clusterIPs(svc)
	for _, a := range addrs {
		b.add(name, addressData(a))
		b.reverse = append(b.reverse, pointer{a, name})
		b.hosts = append(b.hosts, Host{Addr: a, Names: b.known(name)})
	}
	if len(addrs) == 0 {
		return
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if p.Name == "" {
			continue
		}
		if at := portName(p.Name, p.Protocol, name); b.fits(at, svc, "spec.ports["+strconv.Itoa(i)+"].name") {
			b.add(at, SRV{priority, weight, uint16(p.Port), name})
		}
	}
}

// clusterIPs gives the addresses of a Service of its own, sorted.
func clusterIPs(svc *resolve.Service) []netip.Addr {
	if svc.Headless || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var out []netip.Addr
	for _, ip := range svc.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(ip); err == nil {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// portName gives the name of a named port of a Service.
func portName(port string, protocol corev1.Protocol, service Name) Name {
	return Name("_" + port + "._" + strings.ToLower(string(protocol)) + "." + string(service))
}

// endpoint is a ready endpoint of a headless Service, by one of its addresses.
type endpoint struct {
	host Name // below the Service
	addr netip.Addr
}

func (e endpoint) compare(f endpoint) int {
	return cmp.Or(e.addr.Compare(f.addr), cmp.Compare(e.host, f.host))
}

// headless says where the endpoints of a Service are that has no address of its own. Where none is ready there is no
// such name (section 2.4.1 of the specification).
func (b *builder) headless(svc *resolve.Service, name Name) {
	endpoints, servers := b.endpoints(svc, name)
	for i, e := range endpoints {
		if i == 0 || endpoints[i-1].addr != e.addr {
			b.add(name, addressData(e.addr))
		}
	}
	b.forward = append(b.forward, servers...)
	for _, e := range endpoints {
		b.hosts = append(b.hosts, Host{Addr: e.addr, Names: append([]Name{e.host}, b.known(name)...)})
		if !b.clusterIPs[e.addr] { // an address that is a Service's has that name only, as in CoreDNS
			b.reverse = append(b.reverse, pointer{e.addr, e.host})
		}
	}
	slices.SortFunc(endpoints, func(e, f endpoint) int { return cmp.Or(cmp.Compare(e.host, f.host), e.addr.Compare(f.addr)) })
	for _, e := range endpoints {
		b.add(e.host, addressData(e.addr))
	}
}

// endpoints gives the ready endpoints, by address, and the SRV records of their ports, by name.
func (b *builder) endpoints(svc *resolve.Service, name Name) (endpoints []endpoint, servers []Record) {
	// Port names are the same for a whole slice, and for most slices of a Service: their names are looked at once.
	type namedPort struct {
		name     string
		protocol corev1.Protocol
	}
	names := map[namedPort]Name{}
	for _, slice := range svc.Slices {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 && slice.AddressType != discoveryv1.AddressTypeIPv6 {
			continue
		}
		type port struct {
			name   Name
			number uint16
		}
		var ports []port
		for i := range slice.Ports {
			p := &slice.Ports[i]
			if p.Name == nil || *p.Name == "" || p.Protocol == nil || p.Port == nil || *p.Port <= 0 || *p.Port > 65535 {
				continue
			}
			key := namedPort{*p.Name, *p.Protocol}
			at, known := names[key]
			if !known {
				if at = portName(*p.Name, *p.Protocol, name); !b.fits(at, svc, "") {
					at = ""
				}
				names[key] = at
			}
			if at != "" {
				ports = append(ports, port{at, uint16(*p.Port)})
			}
		}
		for i := range slice.EndpointSlice.Endpoints {
			e := &slice.EndpointSlice.Endpoints[i]
			if e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
				continue
			}
			// The first address is the endpoint, here as in the packet path.
			addr, err := netip.ParseAddr(e.Addresses[0])
			if err != nil {
				continue
			}
			host := hostName(e, addr, name)
			if !b.fits(host, svc, "") {
				continue
			}
			endpoints = append(endpoints, endpoint{host, addr})
			for _, p := range ports {
				servers = append(servers, Record{p.name, SRV{priority, weight, p.number, host}})
			}
		}
	}
	slices.SortFunc(endpoints, endpoint.compare)
	slices.SortFunc(servers, compareServers)
	return slices.Compact(endpoints), slices.Compact(servers)
}

func compareServers(r, s Record) int {
	x, y := r.Data.(SRV), s.Data.(SRV)
	return cmp.Or(cmp.Compare(r.Name, s.Name), cmp.Compare(x.Target, y.Target), cmp.Compare(x.Port, y.Port))
}

// hostName gives the name of an endpoint below its Service: by its hostname, else by its address with dashes, as CoreDNS
// writes it. A label must not end in a dash, so an address that ends in "::" gets the 0 that it left out.
func hostName(e *discoveryv1.Endpoint, addr netip.Addr, service Name) Name {
	if e.Hostname != nil && *e.Hostname != "" {
		return Name(*e.Hostname) + "." + service
	}
	var buf [64 + maxName]byte
	label := addr.AppendTo(buf[:0])
	for i, c := range label {
		if c == '.' || c == ':' {
			label[i] = '-'
		}
	}
	if label[len(label)-1] == '-' {
		label = append(label, '0')
	}
	return Name(append(append(label, '.'), service...))
}
