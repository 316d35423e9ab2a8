package compiler

import (
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// addShapes makes the chain of every shape that some entry needs, and of the simpler shapes it goes to.
func addShapes(st *state) {
	for _, fs := range st.families {
		needed := map[Shape]*graph.Owner{}
		var need func(s Shape, owner *graph.Owner)
		need = func(s Shape, owner *graph.Owner) {
			if _, ok := needed[s]; ok {
				return
			}
			needed[s] = owner
			for _, part := range s.parts() {
				need(part, owner)
			}
		}
		for _, e := range fs.entries {
			if e.serving {
				need(e.shape, e.owner)
			}
		}
		shapes := make([]Shape, 0, len(needed))
		for s := range needed {
			shapes = append(shapes, s)
		}
		slices.SortFunc(shapes, Shape.compare)
		for _, s := range shapes {
			st.addChain(fs, s.Name(), nil, needed[s], s.rules(fs.family)...)
		}
	}
}

// rules are the rules of the shape's chain.
func (s Shape) rules(f graph.Family) []graph.Rule {
	switch {
	case s.Affinity:
		return []graph.Rule{
			rule(graph.DNAT{X: affinityKey, Map: graph.AffinityMap}),
			rule(goTo(s.parts()[0].Name())),
		}
	case s.External:
		return s.externalRules()
	case s.Local > 0:
		return s.tryRules(f, s.Local, localSlots)
	default:
		return s.tryRules(f, s.Cluster, 0)
	}
}

// externalRules send what comes from a pod or from the node itself anywhere, because it did not cross the network that
// the traffic policy wants it to leave its source address for (KEP-2086), and everything else to the node's own
// endpoints.
func (s Shape) externalRules() []graph.Rule {
	var rules []graph.Rule
	if s.Cluster > 0 {
		anywhere := goTo(s.parts()[0].Name())
		rules = append(rules,
			rule(graph.MatchSet{X: graph.SourceAddr, Set: setClusterCIDRs}, anywhere),
			rule(graph.Match{X: graph.FibType{Of: graph.SourceAddr}, Value: graph.AddrTypeLocal}, anywhere))
	}
	if s.Local > 0 {
		parts := s.parts()
		rules = append(rules, rule(goTo(parts[len(parts)-1].Name())))
	}
	return rules
}

// tryRules draw a slot and take its endpoint. An empty slot is a miss, a miss does nothing, and the next rule draws
// again; the last one takes the first slot, which is never empty. So a packet that meets an update half way finds
// another endpoint, and no update loses a connection.
func (s Shape) tryRules(f graph.Family, slots int, offset uint32) []graph.Rule {
	var rules []graph.Rule
	last := s.tryRule(f, graph.Numgen{Mod: 1, Offset: offset})
	if s.Hash {
		if slots > 1 {
			rules = append(rules, s.tryRule(f, graph.Jhash{
				X: graph.SourceAddr, Mod: uint32(slots), Seed: hashSeed, Offset: offset,
			}))
		}
		return append(rules, last)
	}
	for range tries(slots) {
		rules = append(rules, s.tryRule(f, graph.Numgen{Mod: uint32(slots), Offset: offset}))
	}
	return append(rules, last)
}

// hashSeed is the seed of source hashing. Without one the kernel draws a random one for every rule, and no two hosts, nor
// one host after a restart, would send a client to the same endpoint.
const hashSeed = 0x5bd1e995

func (s Shape) tryRule(f graph.Family, slot graph.Expr) graph.Rule {
	key := serviceKey
	if s.NodePort {
		key = nodePortKey(f)
	}
	return rule(graph.DNAT{X: append(slices.Clone(key), slot), Map: graph.EndpointsMap})
}
