package compiler

import (
	"encoding/binary"
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
		// What comes from an address of the pods' is a pod's to kube-proxy, also where the node has that address.
		st.addChain(fs, chainMasqNodeLocal, nil, nil, rule(
			graph.MatchSet{X: graph.SourceAddr, Not: true, Set: setClusterCIDRs},
			graph.Match{X: graph.FibType{Of: graph.SourceAddr}, Value: graph.AddrTypeLocal}, graph.Masquerade{}))

		shadows, pods := nodePortShadows(fs), len(rangeElements(fs.family, st.cfg.ClusterCIDRs)) > 0
		st.fillEntries(fs, mapMasqueradeServices, func(e *entry) (graph.Data, bool) {
			if !e.serving {
				return graph.Data{}, false
			}
			if class := st.masqueradeClass(e.at, pods); class != "" {
				return gotoData(class), true
			}
			return graph.Data{Verdict: graph.Verdict{Op: graph.Return}}, shadows(e)
		})
	}
}

// masqueradeClass is the chain that decides about the source of connections to an address, or "" where every source is
// kept. External traffic is masqueraded so that the reply comes back through this node, unless the Local traffic policy
// asks for the client's address; ClusterIP traffic only when it comes from outside the cluster, where it is known which
// addresses of the family are pods'.
func (st *state) masqueradeClass(at *resolve.Address, pods bool) string {
	switch {
	case at.Kind != resolve.ClusterIP && at.LocalOnly:
		return chainMasqNodeLocal
	case at.Kind != resolve.ClusterIP, st.cfg.MasqueradeAll:
		return chainMasqAlways
	case pods:
		return chainMasqOffCluster
	default:
		return ""
	}
}

// fillHairpin names every endpoint twice: a translated packet whose source is its destination comes from an endpoint
// that reached itself through its own service. Its reply would never leave it, so it is masqueraded.
func fillHairpin(st *state) {
	for _, fs := range st.families {
		st.fill(fs, setHairpin, fs.hairpinElements)
	}
}

func (fs *familyState) hairpinElements() graph.Elements {
	n := 0
	for _, p := range fs.ports {
		n += len(p.Cluster) + len(p.Local)
	}
	named := make([]namedEndpoint, 0, n)
	for i, p := range fs.ports {
		for k := range len(p.Cluster) + len(p.Local) {
			named = append(named, namedEndpoint{int32(i), int32(k)})
		}
	}
	elements := fs.elements(setHairpin, len(named))
	var last netip.Addr
	for _, i := range fs.byAddress(named) {
		p, e := fs.endpoint(named[i])
		// Of several with one address the first stands for all.
		if addr := e.Addr.Addr(); addr != last {
			last = addr
			elements.Append(graph.Element{Key: graph.Key{Addr: addr, Peer: addr}, Owner: p.owner, Pos: e.Pos})
		}
	}
	return elements
}

// namedEndpoint is an endpoint of a port: their numbers, the cluster-wide endpoints counted first.
type namedEndpoint struct {
	port, endpoint int32
}

func (fs *familyState) endpoint(n namedEndpoint) (*port, *resolve.Endpoint) {
	p, i := fs.ports[n.port], int(n.endpoint)
	if i < len(p.Cluster) {
		return p, &p.Cluster[i]
	}
	return p, &p.Local[i-len(p.Cluster)]
}

// byAddress gives the numbers of the endpoints in the order of their addresses, and of themselves where an address comes
// more than once. There are as many as all ports have endpoints together: an IPv4 address and a number fit into one word,
// and words sort five times as fast.
func (fs *familyState) byAddress(named []namedEndpoint) []uint32 {
	order := make([]uint32, len(named))
	if fs.family == graph.IPv4 {
		words := make([]uint64, len(named))
		for i := range named {
			_, e := fs.endpoint(named[i])
			a := e.Addr.Addr().As4()
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
	slices.SortStableFunc(order, func(i, j uint32) int {
		_, a := fs.endpoint(named[i])
		_, b := fs.endpoint(named[j])
		return a.Addr.Addr().Compare(b.Addr.Addr())
	})
	return order
}
