package compiler

import (
	"maps"
	"slices"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
)

// addAffinity says which addresses remember their clients, and makes one chain per distinct timeout that does it.
//
// The kernel remembers after the translation: which endpoint was chosen is known only then. An update restarts the
// timeout and never changes what is remembered, so the first choice stays.
func addAffinity(st *state) {
	for _, fs := range st.families {
		first := map[time.Duration]*graph.Owner{}
		for _, e := range fs.entries {
			if _, ok := first[e.Affinity]; !ok && e.serving && e.Affinity > 0 {
				first[e.Affinity] = e.owner
			}
		}
		for _, timeout := range slices.Sorted(maps.Keys(first)) {
			st.addChain(fs, learnChain(timeout), nil, first[timeout], learnRules(timeout)...)
		}
		shadows := nodePortShadows(fs)
		st.fillEntries(fs, mapAffinityTimeouts, func(e *entry) (graph.Data, bool) {
			if e.serving && e.Affinity > 0 {
				return gotoData(learnChain(e.Affinity)), true
			}
			return graph.Data{Verdict: graph.Verdict{Op: graph.Return}}, e.serving && shadows(e)
		})
	}
}

// nodePortShadows reports whether an address has the protocol and port of some node port. After the translation a
// connection is looked up first by its address and then, with the address masked away, as a node port: such an address
// needs an element of its own in the first lookup, or it would be taken for the node port in the second.
func nodePortShadows(fs *familyState) func(*entry) bool {
	type nodePort struct {
		proto graph.Proto
		port  uint16
	}
	ports := map[nodePort]bool{}
	for _, e := range fs.entries {
		if e.shape.NodePort && e.serving {
			ports[nodePort{e.key.Proto, e.key.Port}] = true
		}
	}
	return func(e *entry) bool { return !e.shape.NodePort && ports[nodePort{e.key.Proto, e.key.Port}] }
}

// learnRules write down which endpoint the client of a translated connection got.
func learnRules(timeout time.Duration) []graph.Rule {
	var rules []graph.Rule
	for _, proto := range graph.Protos {
		rules = append(rules, rule(
			graph.Match{X: graph.L4Proto{}, Value: proto},
			// Without a statement between them, nft lists the match as part of the update, in a form that it cannot
			// load again.
			graph.Counter{},
			graph.Update{
				Map: graph.AffinityMap, Key: originalAffinityKey, Timeout: timeout,
				Data: graph.Concat{graph.DestAddr, graph.DestPort},
			}))
	}
	return rules
}
