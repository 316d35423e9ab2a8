package compiler

import "github.com/svcctl/svcctl/compiler/graph"

// fillSourceRanges lists the addresses that only some sources may use, and those sources.
func fillSourceRanges(st *state) {
	for _, fs := range st.families {
		restricted := 0
		for _, e := range fs.entries {
			if e.at.Restricted {
				restricted++
			}
		}
		st.fill(fs, setRestrictedServices, func() graph.Elements { return fs.restricted(restricted) })
		st.fill(fs, setSourceRanges, func() graph.Elements { return fs.sourceRanges(restricted) })
	}
}

// restricted gives the n addresses that only some sources may use.
func (fs *familyState) restricted(n int) graph.Elements {
	elements := fs.elements(setRestrictedServices, n)
	for _, e := range fs.entries {
		if e.at.Restricted {
			elements.Append(graph.Element{Key: e.key, Owner: e.owner, Pos: e.Pos})
		}
	}
	return elements
}

// sourceRanges gives the sources that may use the n restricted addresses.
func (fs *familyState) sourceRanges(n int) graph.Elements {
	elements := fs.elements(setSourceRanges, n)
	for _, e := range fs.entries {
		if !e.at.Restricted {
			continue
		}
		for _, p := range disjoint(fs.family, e.at.SourceRanges) {
			key := e.key
			key.Peer, key.RangeTo = graph.PrefixRange(p)
			elements.Append(graph.Element{Key: key, Owner: e.owner, Pos: e.Pos})
		}
	}
	return elements
}
