package compiler

import (
	"slices"
	"strconv"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
)

// The names of the program. They are what `nft list ruleset` shows and what operators script against: changing one
// changes the interface.
const (
	setClusterCIDRs        = graph.ClusterCIDRsSet
	setServiceCIDRs        = graph.ServiceCIDRsSet
	mapAffinityTimeouts    = graph.AffinityTimeoutsMap
	mapMasqueradeServices  = graph.MasqueradeServicesMap
	setHairpin             = "hairpin"
	setRestrictedServices  = graph.RestrictedServicesSet
	setSourceRanges        = graph.SourceRangesSet
	setClusterIPs          = graph.ClusterIPsSet
	chainMasqAlways        = graph.MasqueradeAlwaysChain
	chainMasqOffCluster    = graph.MasqueradeOffClusterChain
	chainMasqNodeLocal     = graph.MasqueradeNodeLocalChain
	chainRejectNew         = "reject-new"
	chainDispatch          = "dispatch"
	chainLearn             = "learn"
	chainCount             = "count"
	chainTranslated        = "translated"
	chainSourceCheck       = "source-check"
	chainUnserved          = "unserved"
	chainNATPrerouting     = "nat-prerouting"
	chainNATOutput         = "nat-output"
	chainNATPostrouting    = "nat-postrouting"
	chainNATInput          = "nat-input"
	chainFilterPrerouting  = "filter-prerouting"
	chainFilterOutputEarly = "filter-output-early"
	chainFilterInput       = "filter-input"
	chainFilterForward     = "filter-forward"
	chainFilterOutput      = "filter-output"
)

// learnChain is the name of the chain that remembers a client for so long.
func learnChain(timeout time.Duration) string {
	return "learn-" + strconv.Itoa(int(timeout/time.Second))
}

// The keys of the program's lookups.
var (
	// serviceKey is the address a packet is sent to.
	serviceKey = graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort}
	// originalServiceKey is the address a connection was first sent to, before translation. It needs no packet mark,
	// so svcctl cannot conflict with anybody's use of marks.
	originalServiceKey = graph.Concat{graph.CtOriginalDest, graph.L4Proto{}, graph.CtOriginalDestPort}
	// affinityKey is a client and the address it sends to.
	affinityKey = graph.Concat{graph.SourceAddr, graph.DestAddr, graph.L4Proto{}, graph.DestPort}
	// originalAffinityKey is the same, once the connection is translated.
	originalAffinityKey = graph.Concat{
		graph.CtOriginalSource, graph.CtOriginalDest, graph.L4Proto{}, graph.CtOriginalDestPort,
	}
)

// withEndpoint is the key of a translated connection together with where it was sent.
func withEndpoint(key graph.Concat) graph.Concat {
	return append(slices.Clip(key), graph.DestAddr, graph.DestPort)
}

// anyAddress masks an address away: node ports are stored under the unspecified address and looked up by it, so that one
// map serves them and all other service addresses.
func anyAddress(f graph.Family, x graph.Expr) graph.Expr {
	return graph.Masked{X: x, Mask: f.Unspecified()}
}

// nodePortKey is the key under which a packet to one of the node's own addresses is looked up.
func nodePortKey(f graph.Family) graph.Concat {
	return graph.Concat{anyAddress(f, graph.DestAddr), graph.L4Proto{}, graph.DestPort}
}

// originalNodePortKey is the same, once the connection is translated.
func originalNodePortKey(f graph.Family) graph.Concat {
	return graph.Concat{anyAddress(f, graph.CtOriginalDest), graph.L4Proto{}, graph.CtOriginalDestPort}
}

func rule(stmts ...graph.Stmt) graph.Rule { return graph.Rule{Stmts: stmts} }

func jumpTo(chain string) graph.Stmt {
	return graph.Do{Verdict: graph.Verdict{Op: graph.Jump, Chain: chain}}
}

func goTo(chain string) graph.Stmt {
	return graph.Do{Verdict: graph.Verdict{Op: graph.Goto, Chain: chain}}
}

func drop() graph.Stmt { return graph.Do{Verdict: graph.Verdict{Op: graph.Drop}} }

func gotoData(chain string) graph.Data {
	return graph.Data{Verdict: graph.Verdict{Op: graph.Goto, Chain: chain}}
}
