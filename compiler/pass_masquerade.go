package compiler

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/diag"
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
	case fs.table.Set(setClusterCIDRs).Elements.Len() > 0:
		return chainMasqOffCluster
	default:
		return ""
	}
}

// fillHairpin names every endpoint twice: a translated packet whose source is its destination comes from an endpoint
// that reached itself through its own service. Its reply would never leave it, so it is masqueraded.
func fillHairpin(st *state) {
	for _, fs := range st.families {
		st.fill(fs, setHairpin, fs.hairpinElements())
	}
}

func (fs *familyState) hairpinElements() graph.Elements {
	n := 0
	for _, p := range fs.ports {
		n += len(p.Cluster) + len(p.Local)
	}
	named := make([]namedEndpoint, 0, n)
	for _, p := range fs.ports {
		for _, endpoints := range [][]resolve.Endpoint{p.Cluster, p.Local} {
			for i := range endpoints {
				named = append(named, namedEndpoint{endpoints[i].Addr.Addr(), p.owner, &endpoints[i].Pos})
			}
		}
	}
	elements := fs.elements(setHairpin, len(named))
	var last netip.Addr
	for _, i := range byAddress(fs.family, named) {
		e := &named[i]
		// Of several with one address the first stands for all.
		if e.addr != last {
			last = e.addr
			elements.Append(graph.Element{Key: graph.Key{Addr: e.addr, Peer: e.addr}, Owner: e.owner, Pos: *e.pos})
		}
	}
	return elements
}

// namedEndpoint is an endpoint of a port.
type namedEndpoint struct {
	addr  netip.Addr
	owner *graph.Owner
	pos   *diag.Pos
}

// byAddress gives the numbers of the endpoints in the order of their addresses, and of themselves where an address comes
// more than once. There are as many as all ports have endpoints together: an IPv4 address and a number fit into one word,
// and words sort five times as fast.
func byAddress(f graph.Family, named []namedEndpoint) []uint32 {
	order := make([]uint32, len(named))
	if f == graph.IPv4 {
		words := make([]uint64, len(named))
		for i := range named {
			a := named[i].addr.As4()
			words[i] = uint64(binary.BigEndian.Uint32(a[:]))<<32 | uint64(i)
		}
		slices.Sort(words)
		for i, w := range words {
			order[i] = uint32(w)
		}
		return order
	}
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(i, j uint32) int { return named[i].addr.Compare(named[j].addr) })
	return order
}
