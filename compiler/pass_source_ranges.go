package compiler

import "github.com/svcctl/svcctl/compiler/graph"

// fillSourceRanges lists the addresses that only some sources may use, and those sources.
func fillSourceRanges(st *state) {
	for _, fs := range st.families {
		var restricted, ranges []graph.Element
		for _, e := range fs.entries {
			if !e.at.Restricted {
				continue
			}
			restricted = append(restricted, graph.Element{Key: e.key, Owner: e.owner, Pos: e.Pos})
			for _, p := range disjoint(fs.family, e.at.SourceRanges) {
				key := e.key
				key.Peer, key.RangeTo = graph.PrefixRange(p)
				ranges = append(ranges, graph.Element{Key: key, Owner: e.owner, Pos: e.Pos})
			}
		}
		st.fill(fs, setRestrictedServices, restricted)
		st.fill(fs, setSourceRanges, ranges)
	}
}
