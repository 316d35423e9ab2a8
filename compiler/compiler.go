// Package compiler turns a resolved model into the rule graph: a list of named passes over typed data, with a check
// between them.
//
// It takes a [resolve.Model] and a [Config] and gives a [graph.Ruleset]. It is pure: no files, no clock, no network, no
// kernel. The same input gives the same graph. It may assume what resolve promises: every address of the family of its
// ServicePort, no address and port claimed twice, endpoints sorted and without duplicates, at most
// [resolve.MaxEndpoints] of them.
//
// The program that comes out is constant; the services are data. A service port is an element of the map "services",
// its verdict the chain of a [Shape]; its endpoints are elements of the map "endpoints". Nothing is ever made per
// service but elements, so that the cost of a packet and of an update does not grow with their number.
package compiler

import (
	"net/netip"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// TableComment marks our tables in the kernel. A table of our name with another comment was not written by svcctl.
const TableComment = "svcctl: service rules; edits are overwritten"

// Config is the part of the configuration that shapes the ruleset.
type Config struct {
	Table string // name of the tables, one per family
	// ClusterCIDRs say whose source addresses are pods'. Empty for a family: nobody's, and ClusterIP traffic of that
	// family keeps its source.
	ClusterCIDRs []netip.Prefix
	// ServiceCIDRs are the ranges whose unallocated addresses are dropped.
	ServiceCIDRs []netip.Prefix
	// NodePortAddresses restrict the node's own addresses on which node ports are served. Empty for a family: all but
	// loopback.
	NodePortAddresses []netip.Prefix
	// MasqueradeAll translates the source of all ClusterIP traffic.
	MasqueradeAll bool
	// AffinityMapSize is the largest number of clients remembered per family.
	AffinityMapSize uint32
	// Counters makes the program count connections by service address and endpoint, and what it refuses and drops.
	Counters bool
}

// Pass is one step of the compilation. Every pass may rely on what the passes before it did.
type Pass struct {
	Name string
	Doc  string // one line: what it adds to the graph
	run  func(*state)
}

// passes is the whole compilation, in order. The order is that of reference: whatever a pass refers to, an earlier one
// made. "sizes" counts the elements of all others, and "digest" digests everything. No pass before these two looks at the
// elements of a set, so the passes say what they are and [state.settle] works all of them out at once.
var passes = []Pass{
	{"tables", "one table per family, with every set and map of the program, empty", addTables},
	{"policy-sets", "the address ranges of the configuration", fillPolicySets},
	{passShapes, "one chain per way of choosing an endpoint that some service port needs", addShapes},
	{"services", "which address, protocol and port goes to which shape", fillServices},
	{"endpoints", "the endpoints of every service port, each in its slot", fillEndpoints},
	{passAffinity, "which service ports remember their clients, and for how long", addAffinity},
	{"masquerade", "whose source address is translated", addMasquerade},
	{"hairpin", "endpoints that reach themselves through their own service", fillHairpin},
	{"no-endpoints", "what is refused and what is dropped for want of a usable endpoint", addNoEndpoints},
	{"source-ranges", "which sources may use a load-balancer address", fillSourceRanges},
	{"counters", "what is counted, and the chain that counts connections", addCounters},
	{"hooks", "the base chains, and the chains that look packets up", addHooks},
	{"sizes", "room in every static map, so that the kernel picks its fastest one", setSizes},
	{"digest", "an empty chain whose name tells what the table holds", addDigest},
}

// The passes whose chains depend on what the Services are.
const (
	passShapes   = "shapes"
	passAffinity = "affinity"
)

// Passes lists the passes in order.
func Passes() []Pass { return append([]Pass(nil), passes...) }

// Option changes how Compile works, never what comes out.
type Option func(*options)

type options struct {
	after func(pass string, rs *graph.Ruleset)
}

// After calls f with the graph as it stands after each pass. f must not keep or change it.
func After(f func(pass string, rs *graph.Ruleset)) Option {
	return func(o *options) { o.after = f }
}

// Compile runs the passes. An error says that a pass broke an invariant of the graph: a defect of the compiler, never of
// the input.
func Compile(m *resolve.Model, cfg Config, opts ...Option) (*graph.Ruleset, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	st := newState(m, cfg)
	for _, p := range passes {
		st.pass = p.Name
		p.run(st)
		if o.after != nil {
			st.settle()
		}
		if err := st.check(); err != nil {
			return nil, err
		}
		if o.after != nil {
			o.after(p.Name, st.rs)
		}
	}
	return st.rs, nil
}
