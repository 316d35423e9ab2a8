package compiler

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// addCounters lists what is counted, where the configuration asks for it, and makes the chain that counts: no object per
// service, but two sets whose elements count.
//
// Connections are counted where they leave for their endpoint, by what connection tracking knows of where they were first
// sent. Only there is known what became of them: an address under the traffic policy Local is looked up, and found, for
// packets that are dropped in the end, and a client with affinity never comes by a slot. What counts has nothing to do with
// slots and shapes either, and keeps its counts when these change.
func addCounters(st *state) {
	if !st.cfg.Counters {
		return
	}
	for _, fs := range st.families {
		st.fill(fs, graph.ServiceConnectionsSet, fs.serviceCounters)
		st.fill(fs, graph.EndpointConnectionsSet, fs.endpointCounters)
		st.addChain(fs, chainCount, nil, nil, countRules(fs.family)...)
	}
}

// serviceCounters gives an element for each address that has a usable endpoint.
func (fs *familyState) serviceCounters() graph.Elements {
	elements := fs.elements(graph.ServiceConnectionsSet, len(fs.entries))
	for _, e := range fs.entries {
		if e.serving {
			elements.Append(graph.Element{Key: e.key, Owner: e.owner, Pos: e.Pos})
		}
	}
	return elements
}

// endpointCounters gives an element for each endpoint of each address, however many slots it has there.
func (fs *familyState) endpointCounters() graph.Elements {
	n := 0
	for _, e := range fs.entries {
		if e.shape.Cluster > 0 {
			n += len(e.Cluster)
		}
		if e.shape.Local > 0 {
			n += len(e.Local)
		}
	}
	elements := fs.elements(graph.EndpointConnectionsSet, n)
	for _, e := range fs.entries {
		add := func(to *resolve.Endpoint) {
			key := e.key
			key.Peer, key.PeerPort = to.Addr.Addr(), to.Addr.Port()
			elements.Append(graph.Element{Key: key, Owner: e.owner, Pos: to.Pos})
		}
		var cluster []resolve.Endpoint
		if e.shape.Cluster > 0 {
			cluster = e.Cluster
		}
		for i := range cluster {
			add(&cluster[i])
		}
		if e.shape.Local == 0 {
			continue
		}
		for i := range e.Local {
			if to := &e.Local[i]; !among(cluster, to.Addr) {
				add(to)
			}
		}
	}
	return elements
}

// among reports whether an address and port is one of the endpoints, which are sorted.
func among(endpoints []resolve.Endpoint, to netip.AddrPort) bool {
	_, found := slices.BinarySearchFunc(endpoints, to, func(e resolve.Endpoint, to netip.AddrPort) int {
		return e.Addr.Compare(to)
	})
	return found
}

// countRules count a translated connection. They are like [originalLookups], but what was found as an address must not be
// looked up as a node port as well.
func countRules(f graph.Family) []graph.Rule {
	var rules []graph.Rule
	for _, key := range []graph.Concat{originalServiceKey, originalNodePortKey(f)} {
		for _, proto := range graph.Protos {
			rules = append(rules, rule(
				graph.Match{X: graph.L4Proto{}, Value: proto},
				// Without a statement between them, nft lists the match as part of the key, in a form that it cannot
				// load again.
				graph.Counter{},
				graph.MatchSet{X: key, Set: graph.ServiceConnectionsSet},
				graph.MatchSet{X: withEndpoint(key), Set: graph.EndpointConnectionsSet},
				graph.Do{Verdict: graph.Verdict{Op: graph.Return}}))
		}
	}
	return rules
}

// counted gives a statement behind a counter, where the configuration asks for it.
func (st *state) counted(s graph.Stmt) []graph.Stmt {
	if !st.cfg.Counters {
		return []graph.Stmt{s}
	}
	return []graph.Stmt{graph.Counter{}, s}
}
