package compiler

import (
	"net/netip"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// addNoEndpoints says what becomes of packets to an address that no endpoint can take: refused where there is none at
// all, so that the client knows at once; dropped where there are some but the Local traffic policy rules them out, so
// that a load balancer in front takes the node out of service. It also lists the ClusterIPs, whose other ports are
// refused.
func addNoEndpoints(st *state) {
	for _, fs := range st.families {
		st.addChain(fs, chainRejectNew, nil, nil,
			rule(graph.Match{X: graph.L4Proto{}, Value: graph.TCP}, graph.Reject{With: graph.TCPReset}),
			rule(graph.Reject{With: graph.PortUnreachable}))

		st.fillEntries(fs, graph.NoEndpointsMap, func(e *entry) (graph.Data, bool) {
			switch {
			case !e.serving && !e.HasEndpoints:
				return gotoData(chainRejectNew), true
			case e.at.LocalOnly && len(e.Local) == 0:
				return graph.Data{Verdict: graph.Verdict{Op: graph.Drop}}, true
			default:
				return graph.Data{}, false
			}
		})

		st.fill(fs, setClusterIPs, fs.clusterIPs)
	}
}

func (fs *familyState) clusterIPs() graph.Elements {
	elements := fs.elements(setClusterIPs, len(fs.entries))
	var last netip.Addr
	for _, e := range fs.entries {
		// The entries are sorted by address, so the ports of one address stand together.
		if e.at.Kind == resolve.ClusterIP && e.key.Addr != last {
			last = e.key.Addr
			elements.Append(graph.Element{Key: graph.Key{Addr: last}, Owner: e.owner, Pos: e.Pos})
		}
	}
	return elements
}
