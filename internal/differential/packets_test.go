package differential

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// packets makes random packets for a ruleset: most of them to something that it knows, some to anything in the world. Some
// are sent again: a client may be remembered.
func (w *world) packets(r *rand.Rand, rs *graph.Ruleset, n int) []packet {
	g := &generator{Rand: r}
	out := make([]packet, 0, n)
	for i := range n {
		if i > 0 && g.chance(30) {
			out = append(out, pick(g, out...))
			continue
		}
		f := pick(g, graph.Families[:]...)
		known := knownAddresses(rs.Table(f))
		if g.chance(70) && len(known) > 0 {
			out = append(out, w.known(g, f, pick(g, known...)))
		} else {
			out = append(out, w.anything(g, f))
		}
	}
	return out
}

// knownAddresses are the addresses of services, those without endpoints too.
func knownAddresses(t *graph.Table) []graph.Key {
	var out []graph.Key
	for _, name := range []string{graph.ServicesMap, "no-endpoint-services"} {
		for e := range t.Set(name).Elements.All() {
			out = append(out, e.Key)
		}
	}
	return out
}

// known makes a packet to the address of a service: for a node port one of the node's, and sometimes with another
// protocol.
func (w *world) known(g *generator, f graph.Family, k graph.Key) packet {
	a := k.Addr
	if a == f.Unspecified() {
		a = pick(g, of(f, nodeAddrs)...)
	}
	p := packet{w.source(g, f), netip.AddrPortFrom(a, k.Port), k.Proto}
	if g.chance(8) {
		p.proto = pick(g, graph.Protos[:]...)
	}
	return p
}

func (w *world) source(g *generator, f graph.Family) netip.Addr {
	switch g.IntN(6) {
	case 0:
		return of(f, farClient)[0]
	case 1:
		return pick(g, of(f, nodeAddrs)...)
	case 2, 3:
		return pick(g, of(f, clients)...)
	default:
		return pick(g, w.pods(f)...)
	}
}

// anything makes a packet to any address and port in the world at which something answers.
func (w *world) anything(g *generator, f graph.Family) packet {
	p := packet{from: w.source(g, f), proto: pick(g, graph.Protos[:]...)}
	served := slices.Concat([]uint16{80, 443}, nodePorts)
	switch g.IntN(6) {
	case 0:
		pods := slices.DeleteFunc(w.pods(f), func(a netip.Addr) bool { return a == p.from })
		p.to = netip.AddrPortFrom(pick(g, pods...), pick(g, endpointPorts...))
	case 1:
		p.to = netip.AddrPortFrom(pick(g, of(f, nodeAddrs)...), pick(g, slices.Concat(served, endpointPorts)...))
	case 2:
		// The node to itself by loopback.
		a := of(f, loopback)[0]
		p.from, p.to = a, netip.AddrPortFrom(a, pick(g, served...))
	case 3:
		p.to = netip.AddrPortFrom(pick(g, of(f, externalIPs)...), pick(g, served...))
	default:
		p.to = netip.AddrPortFrom(pick(g, of(f, clusterIPs)...), pick(g, served...))
	}
	return p
}
