package compiler

import "github.com/svcctl/svcctl/compiler/graph"

// The priorities of the base chains (include/uapi/linux/netfilter_ipv4.h, enum nf_ip_hook_priorities).
const (
	priorityEarly  = -110 // before the translation, which hides the address that was asked for
	priorityDstNAT = -100 // NF_IP_PRI_NAT_DST
	priorityFilter = 0    // NF_IP_PRI_FILTER
	prioritySrcNAT = 100  // NF_IP_PRI_NAT_SRC
)

// addHooks makes the chains that look packets up and the base chains that send packets there. They are the same on every
// host.
func addHooks(st *state) {
	for _, fs := range st.families {
		st.addLookupChains(fs)
		st.addBaseChains(fs)
	}
}

func (st *state) addLookupChains(fs *familyState) {
	f := fs.family
	local := graph.Match{X: graph.FibType{Of: graph.DestAddr}, Value: graph.AddrTypeLocal}
	served := graph.MatchSet{X: graph.DestAddr, Set: graph.NodePortAddressesSet}

	st.addChain(fs, chainDispatch, nil, nil,
		rule(graph.LookupVerdict{X: serviceKey, Map: graph.ServicesMap}),
		rule(local, served, graph.LookupVerdict{X: nodePortKey(f), Map: graph.ServicesMap}))

	learn := originalLookups(f, mapAffinityTimeouts)
	if st.cfg.Counters {
		learn = append([]graph.Rule{rule(jumpTo(chainCount))}, learn...)
	}
	st.addChain(fs, chainLearn, nil, nil, learn...)

	// Learning comes first: a verdict of NAT ends the chain, and a client that is masqueraded would never be learnt.
	st.addChain(fs, chainTranslated, nil, nil, append([]graph.Rule{
		rule(jumpTo(chainLearn)),
		rule(graph.MatchSet{X: graph.Concat{graph.SourceAddr, graph.DestAddr}, Set: setHairpin}, graph.Masquerade{}),
	}, originalLookups(f, mapMasqueradeServices)...)...)

	st.addChain(fs, chainSourceCheck, nil, nil, rule(append([]graph.Stmt{
		graph.MatchSet{X: serviceKey, Set: setRestrictedServices},
		graph.MatchSet{
			X:   graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort, graph.SourceAddr},
			Not: true, Set: setSourceRanges,
		},
	}, st.counted(drop())...)...))

	st.addChain(fs, chainUnserved, nil, nil,
		rule(graph.LookupVerdict{X: serviceKey, Map: graph.NoEndpointsMap}),
		rule(append([]graph.Stmt{graph.MatchSet{X: graph.DestAddr, Set: setClusterIPs}}, st.counted(goTo(chainRejectNew))...)...),
		rule(append([]graph.Stmt{graph.MatchSet{X: graph.DestAddr, Set: setServiceCIDRs}}, st.counted(drop())...)...))
}

// originalLookups look a translated connection up by where it was first sent to: as an address, then as a node port.
// The kernel knows that port only once the protocol is known, hence a rule for each.
func originalLookups(f graph.Family, name string) []graph.Rule {
	var rules []graph.Rule
	for _, key := range []graph.Concat{originalServiceKey, originalNodePortKey(f)} {
		for _, proto := range graph.Protos {
			rules = append(rules, rule(
				graph.Match{X: graph.L4Proto{}, Value: proto}, graph.LookupVerdict{X: key, Map: name}))
		}
	}
	return rules
}

func (st *state) addBaseChains(fs *familyState) {
	isNew := graph.Match{X: graph.CtState, Value: graph.CtNew}
	translated := graph.Match{X: graph.CtStatus, Value: graph.CtDNAT}
	base := func(name string, t graph.ChainType, at graph.HookPoint, priority int32, rules ...graph.Rule) {
		st.addChain(fs, name, &graph.Hook{Type: t, Point: at, Priority: priority}, nil, rules...)
	}
	base(chainNATPrerouting, graph.NATChain, graph.Prerouting, priorityDstNAT, rule(goTo(chainDispatch)))
	base(chainNATOutput, graph.NATChain, graph.Output, priorityDstNAT, rule(goTo(chainDispatch)))
	base(chainNATPostrouting, graph.NATChain, graph.Postrouting, prioritySrcNAT,
		rule(translated, goTo(chainTranslated)))
	// Connections to endpoints on the node itself never see postrouting, but are to be learnt like all others.
	base(chainNATInput, graph.NATChain, graph.Input, prioritySrcNAT, rule(translated, goTo(chainLearn)))

	base(chainFilterPrerouting, graph.FilterChain, graph.Prerouting, priorityEarly, rule(isNew, goTo(chainSourceCheck)))
	base(chainFilterOutputEarly, graph.FilterChain, graph.Output, priorityEarly, rule(isNew, goTo(chainSourceCheck)))
	base(chainFilterInput, graph.FilterChain, graph.Input, priorityFilter,
		// An external address may be one of the node's own.
		rule(isNew, graph.LookupVerdict{X: serviceKey, Map: graph.NoEndpointsMap}),
		rule(isNew, graph.MatchSet{X: graph.DestAddr, Set: graph.NodePortAddressesSet},
			graph.LookupVerdict{X: nodePortKey(fs.family), Map: graph.NoEndpointsMap}))
	base(chainFilterForward, graph.FilterChain, graph.Forward, priorityFilter, rule(isNew, goTo(chainUnserved)))
	base(chainFilterOutput, graph.FilterChain, graph.Output, priorityFilter, rule(isNew, goTo(chainUnserved)))
}
