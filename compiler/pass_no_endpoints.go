package compiler

import (
	"slices"

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

		st.fillEntries(fs, mapNoEndpointServices, func(e *entry) (graph.Data, bool) {
			switch {
			case !e.serving && !e.HasEndpoints:
				return gotoData(chainRejectNew), true
			case e.at.LocalOnly && len(e.Local) == 0:
				return graph.Data{Verdict: graph.Verdict{Op: graph.Drop}}, true
			default:
				return graph.Data{}, false
			}
		})

		var clusterIPs []graph.Element
		for _, e := range fs.entries {
			if e.at.Kind == resolve.ClusterIP {
				clusterIPs = append(clusterIPs,
					graph.Element{Key: graph.Key{Addr: e.key.Addr}, Owner: e.owner, Pos: e.Pos})
			}
		}
		// The entries are sorted by address, so the ports of one address stand together.
		clusterIPs = slices.CompactFunc(clusterIPs, func(a, b graph.Element) bool { return a.Key == b.Key })
		st.fill(fs, setClusterIPs, clusterIPs)
	}
}
