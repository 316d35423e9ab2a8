package compiler

import "github.com/svcctl/svcctl/compiler/graph"

// fillSourceRanges lists the addresses that only some sources may use, and those sources.
func fillSourceRanges(st *state) {
	for _, fs := range st.families {
		n := 0
		for _, e := range fs.entries {
			if e.at.Restricted {
				n++
			}
		}
		restricted, ranges := fs.elements(setRestrictedServices, n), fs.elements(setSourceRanges, n)
		for _, e := range fs.entries {
			if !e.at.Restricted {
				continue
			}
			restricted.Append(graph.Element{Key: e.key, Owner: e.owner, Pos: e.Pos})
			for _, p := range disjoint(fs.family, e.at.SourceRanges) {
				key := e.key
				key.Peer, key.RangeTo = graph.PrefixRange(p)
				ranges.Append(graph.Element{Key: key, Owner: e.owner, Pos: e.Pos})
			}
		}
		st.fill(fs, setRestrictedServices, restricted)
		st.fill(fs, setSourceRanges, ranges)
	}
}
