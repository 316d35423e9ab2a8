package compiler

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// addMasquerade makes the masquerade classes, and says which address is of which. The class is looked up by where the
// connection was first sent to.
func addMasquerade(st *state) {
	for _, fs := range st.families {
		st.addChain(fs, chainMasqAlways, nil, nil, rule(graph.Masquerade{}))
		st.addChain(fs, chainMasqOffCluster, nil, nil, rule(
			graph.MatchSet{X: graph.CtOriginalSource, Not: true, Set: setClusterCIDRs}, graph.Masquerade{}))
		st.addChain(fs, chainMasqNodeLocal, nil, nil, rule(
			graph.Match{X: graph.FibType{Of: graph.SourceAddr}, Value: graph.AddrTypeLocal}, graph.Masquerade{}))

		shadows := nodePortShadows(fs)
		st.fillEntries(fs, mapMasqueradeServices, func(e *entry) (graph.Data, bool) {
			if !e.serving {
				return graph.Data{}, false
			}
			if class := st.masqueradeClass(fs, e.at); class != "" {
				return gotoData(class), true
			}
			return graph.Data{Verdict: graph.Verdict{Op: graph.Return}}, shadows(e)
		})
	}
}

// masqueradeClass is the chain that decides about the source of connections to an address, or "" where every source is
// kept. External traffic is masqueraded so that the reply comes back through this node, unless the Local traffic policy
// asks for the client's address; ClusterIP traffic only when it comes from outside the cluster.
func (st *state) masqueradeClass(fs *familyState, at *resolve.Address) string {
	switch {
	case at.Kind != resolve.ClusterIP && at.LocalOnly:
		return chainMasqNodeLocal
	case at.Kind != resolve.ClusterIP, st.cfg.MasqueradeAll:
		return chainMasqAlways
	case len(fs.table.Set(setClusterCIDRs).Elements) > 0:
		return chainMasqOffCluster
	default:
		return ""
	}
}

// fillHairpin names every endpoint twice: a translated packet whose source is its destination comes from an endpoint
// that reached itself through its own service. Its reply would never leave it, so it is masqueraded.
func fillHairpin(st *state) {
	for _, fs := range st.families {
		n := 0
		for _, p := range fs.ports {
			n += len(p.Cluster) + len(p.Local)
		}
		named := make([]namedEndpoint, 0, n)
		for _, p := range fs.ports {
			for _, endpoints := range [][]resolve.Endpoint{p.Cluster, p.Local} {
				for i := range endpoints {
					named = append(named, namedEndpoint{endpoints[i].Addr.Addr(), len(named), p, &endpoints[i]})
				}
			}
		}
		slices.SortFunc(named, func(a, b namedEndpoint) int {
			if c := a.addr.Compare(b.addr); c != 0 {
				return c
			}
			return a.order - b.order
		})
		elements := make([]graph.Element, 0, len(named))
		for _, e := range named {
			key := graph.Key{Addr: e.addr, Peer: e.addr}
			if len(elements) == 0 || elements[len(elements)-1].Key != key {
				elements = append(elements, graph.Element{Key: key, Owner: e.port.owner, Pos: e.endpoint.Pos})
			}
		}
		st.fill(fs, setHairpin, elements)
	}
}

// namedEndpoint is an endpoint of a port, with its address at hand for sorting. Of several with one address the first in
// order stands for all.
type namedEndpoint struct {
	addr     netip.Addr
	order    int
	port     *port
	endpoint *resolve.Endpoint
}
