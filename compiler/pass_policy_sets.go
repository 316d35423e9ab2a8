package compiler

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// fillPolicySets writes the address ranges of the configuration.
func fillPolicySets(st *state) {
	for _, fs := range st.families {
		st.fill(fs, setClusterCIDRs, func() graph.Elements {
			return graph.ElementsOf(rangeElements(fs.family, st.cfg.ClusterCIDRs))
		})
		st.fill(fs, setServiceCIDRs, func() graph.Elements {
			return graph.ElementsOf(rangeElements(fs.family, st.cfg.ServiceCIDRs))
		})
		st.fill(fs, graph.NodePortAddressesSet, func() graph.Elements {
			return graph.ElementsOf(nodePortElements(fs.family, st.cfg.NodePortAddresses))
		})
	}
}

// nodePortElements are the node's own addresses on which node ports are served. A family without a range of its own
// has all of them but loopback, and loopback never: a translated packet from 127.0.0.1 is not routed.
func nodePortElements(f graph.Family, prefixes []netip.Prefix) []graph.Element {
	out := rangeElements(f, slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool {
		return p.Addr().IsLoopback()
	}))
	everything := len(out) == 1 && out[0].Key.Addr == f.Unspecified() && !out[0].Key.RangeTo.Next().IsValid()
	if len(out) > 0 && !everything {
		return out
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	if f == graph.IPv6 {
		loopback = netip.MustParsePrefix("::1/128")
	}
	first, last := graph.PrefixRange(loopback)
	_, end := graph.PrefixRange(netip.PrefixFrom(f.Unspecified(), 0))
	return []graph.Element{
		{Key: graph.Key{Addr: f.Unspecified(), RangeTo: first.Prev()}},
		{Key: graph.Key{Addr: last.Next(), RangeTo: end}},
	}
}

// rangeElements are the ranges of the prefixes that are of the family.
func rangeElements(f graph.Family, prefixes []netip.Prefix) []graph.Element {
	var out []graph.Element
	for _, p := range disjoint(f, prefixes) {
		first, last := graph.PrefixRange(p)
		out = append(out, graph.Element{Key: graph.Key{Addr: first, RangeTo: last}})
	}
	return out
}

// disjoint gives the prefixes of the family in order, without those that another one contains: the kernel refuses
// intervals that overlap.
func disjoint(f graph.Family, prefixes []netip.Prefix) []netip.Prefix {
	var own []netip.Prefix
	for _, p := range prefixes {
		if f.Of(p.Addr()) {
			own = append(own, p.Masked())
		}
	}
	slices.SortFunc(own, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var out []netip.Prefix
	for _, p := range own {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}
