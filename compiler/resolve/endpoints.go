package resolve

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/diag"
)

// MaxEndpoints is the largest number of endpoints of one service port: seven eighths of the 32,768 slots that the
// cluster-wide endpoints, and again the node-local ones, have in the map "endpoints". The empty eighth is what keeps a
// change small and makes a try that misses rare.
const MaxEndpoints = 28672

// MaxHashEndpoints is the largest number of endpoints of a port that chooses by source hash, counted by weight. Each of its
// 32,768 slots is dealt to one of them: with more, their shares would be too uneven to be called shares.
const MaxHashEndpoints = 1024

// servicePorts gives the ports of a Service in every family it is served in, sorted by family and position. A port that
// was refused is left out.
func (rs *resolver) servicePorts(r *report, svc *resolved, sources []*source) []*ServicePort {
	var out []*ServicePort
	for _, f := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if !svc.addrs.serves(f) {
			continue
		}
		for i := range svc.Spec.Ports {
			p := &svc.Spec.Ports[i]
			if !isPortNumber(p.Port) || !isProtocol(p.Protocol) {
				continue
			}
			sp := &ServicePort{
				Service: svc.Service, Family: f, Name: p.Name, Protocol: p.Protocol,
				Addresses: svc.addrs.of(f, &svc.Spec, p),
				Affinity:  affinity(&svc.Spec), SourceHash: svc.settings.sourceHash,
				Pos: r.at(portField(i)),
			}
			rs.choose(sp, sources)
			rs.weigh(sp, svc.settings.weights, sources)
			checkLimit(r, sp, i)
			out = append(out, sp)
		}
	}
	return out
}

func portField(i int) string {
	if i == 0 {
		return "spec.ports[0]"
	}
	return "spec.ports[" + strconv.Itoa(i) + "]"
}

func checkLimit(r *report, sp *ServicePort, i int) {
	limit, hint := MaxEndpoints, ""
	n := max(TotalWeight(sp.Cluster), TotalWeight(sp.Local))
	if n > max(len(sp.Cluster), len(sp.Local)) {
		hint = "each counts as often as its weight"
	}
	if sp.SourceHash {
		limit = MaxHashEndpoints
	}
	if n > limit {
		r.found.Errorf(diag.Limit, sp.Pos, *r.ref, portField(i), "Too many endpoints: %d: a port%s can have at most %d", n,
			map[bool]string{true: " with source hashing"}[sp.SourceHash], limit)
		(*r.found)[len(*r.found)-1].Hint = hint
	}
}

// candidate is an endpoint of a service port whatever its state.
type candidate struct {
	addr                        netip.AddrPort
	endpoint                    *discoveryv1.Endpoint
	pos                         *diag.Pos
	ready, serving, terminating bool
}

// scratch lends the memory that candidates are collected in: a hundred thousand endpoints are looked at a few at a time.
var scratch = sync.Pool{New: func() any { return new([]candidate) }}

// candidates collects the endpoints of a service port from all slices: those of its family that have a port of its name
// and protocol. Of an address and port that is there several times one is left.
func candidates(out []candidate, sp *ServicePort, sources []*source) []candidate {
	for _, s := range sources {
		if !s.serves(sp.Family) {
			continue
		}
		port, ok := slicePort(s.Ports, sp.Name, sp.Protocol)
		if !ok {
			continue
		}
		for i, a := range s.addrs {
			if !a.IsValid() {
				continue
			}
			e := &s.EndpointSlice.Endpoints[i]
			out = append(out, candidate{
				addr: netip.AddrPortFrom(a, port), endpoint: e, pos: &s.Endpoints[i],
				ready:       orTrue(e.Conditions.Ready),
				serving:     orTrue(e.Conditions.Serving),
				terminating: e.Conditions.Terminating != nil && *e.Conditions.Terminating,
			})
		}
	}
	return distinct(out)
}

// slicePort finds the number of a slice's port. One without a number, or with an impossible one, is no port.
func slicePort(ports []discoveryv1.EndpointPort, name string, protocol corev1.Protocol) (uint16, bool) {
	for i := range ports {
		p := &ports[i]
		if *p.Name == name && *p.Protocol == protocol && p.Port != nil && isPortNumber(*p.Port) {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

// orTrue gives what an unset condition means: ready and serving default to true (discovery/v1, EndpointConditions).
func orTrue(b *bool) bool { return b == nil || *b }

// distinct sorts the candidates by address and port and leaves one of each. When two Pods have had one address, the one
// that is going away does not count; among equals the most usable does, and then the first in the order of the slices.
func distinct(c []candidate) []candidate {
	ascending := 1
	for ascending < len(c) && c[ascending-1].addr.Compare(c[ascending].addr) < 0 {
		ascending++
	}
	if ascending >= len(c) {
		return c // as in a slice of a controller's
	}
	slices.SortStableFunc(c, func(a, b candidate) int { return a.addr.Compare(b.addr) })
	out := c[:0]
	for _, x := range c {
		switch last := len(out) - 1; {
		case last < 0 || out[last].addr != x.addr:
			out = append(out, x)
		case x.rank() > out[last].rank():
			out[last] = x
		}
	}
	return out
}

func (c *candidate) rank() int {
	rank := 0
	if c.serving {
		rank++
	}
	if c.ready {
		rank += 2
	}
	if !c.terminating {
		rank += 4
	}
	return rank
}

// choose decides which endpoints of a port are used: ready ones, and only where none is left those that still serve while
// they terminate. For this node's own that is decided among themselves, without topology (KEP-1669, KEP-2086).
func (rs *resolver) choose(sp *ServicePort, sources []*source) {
	lent := scratch.Get().(*[]candidate)
	defer scratch.Put(lent)
	all := candidates((*lent)[:0], sp, sources)
	*lent = all
	ready := where(all, isReadyEndpoint)
	sp.HasEndpoints = len(ready) > 0 || len(where(all, isDraining)) > 0

	clusterWide, local := needs(sp.Addresses)
	if clusterWide {
		if len(ready) > 0 {
			sp.Cluster = endpointsOf(rs.nearby(ready))
		} else {
			sp.Cluster = endpointsOf(where(all, isDraining))
		}
	}
	if local {
		if sp.Local = endpointsOf(where(ready, rs.isHere)); len(sp.Local) == 0 {
			sp.Local = endpointsOf(where(all, func(c *candidate) bool { return isDraining(c) && rs.isHere(c) }))
		}
	}
	if sp.Protocol != corev1.ProtocolTCP {
		sp.Spared = spared(all, clusterWide, sp.Cluster, local, sp.Local)
	}
}

// spared gives the endpoints that serve and that some address of the port does not use. All lists are in order of address.
func spared(
	all []candidate, clusterWide bool, cluster []Endpoint, local bool, here []Endpoint,
) (out []netip.AddrPort) {
	isIn := func(in []Endpoint, a netip.AddrPort) bool {
		_, ok := slices.BinarySearchFunc(in, a, func(e Endpoint, a netip.AddrPort) int { return e.Addr.Compare(a) })
		return ok
	}
	for i := range all {
		a := all[i].addr
		if all[i].serving && (clusterWide && !isIn(cluster, a) || local && !isIn(here, a)) {
			out = append(out, a)
		}
	}
	return out
}

// where gives the candidates for which f holds: the same slice where that is all of them, as it mostly is.
func where(c []candidate, f func(*candidate) bool) []candidate {
	for i := range c {
		if f(&c[i]) {
			continue
		}
		out := slices.Clone(c[:i])
		for k := i + 1; k < len(c); k++ {
			if f(&c[k]) {
				out = append(out, c[k])
			}
		}
		return out
	}
	return c
}

func isReadyEndpoint(c *candidate) bool { return c.ready }

func isDraining(c *candidate) bool { return c.serving && c.terminating }

// isHere reports whether an endpoint is on this node. One without a node name is not.
func (rs *resolver) isHere(c *candidate) bool {
	name := c.endpoint.NodeName
	return name != nil && rs.cfg.NodeName != "" && *name == rs.cfg.NodeName
}

// needs says which endpoints the addresses of a port need. An external address needs the cluster-wide ones even under the
// policy Local: pods and the node itself use them.
func needs(addrs []Address) (clusterWide, local bool) {
	for i := range addrs {
		a := &addrs[i]
		clusterWide = clusterWide || !a.LocalOnly || a.Kind != ClusterIP
		local = local || a.LocalOnly
	}
	return clusterWide, local
}

func endpointsOf(c []candidate) []Endpoint {
	if len(c) == 0 {
		return nil
	}
	out := make([]Endpoint, len(c))
	for i := range c {
		out[i] = Endpoint{Addr: c[i].addr, Pos: *c[i].pos}
	}
	return out
}
