package render

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// serviceKey is a service address: what the keys of all per-service maps begin with.
type serviceKey struct {
	Addr  netip.Addr
	Proto graph.Proto
	Port  uint16
}

// owners knows the Service port behind a service address. Elements read back from the kernel have no owner; another
// element of the same address, in the plan or in the desired ruleset, often has one.
type owners map[serviceKey]*graph.Owner

// newOwners gathers the owners of what a plan adds and, where given, of the desired ruleset.
func newOwners(p *plan.Plan, desired *graph.Ruleset) owners {
	known := owners{}
	if desired != nil {
		for _, t := range desired.Tables {
			for _, s := range t.Sets {
				known.learn(s, s.Elements)
			}
		}
	}
	for i := range p.Tables {
		for _, e := range p.Tables[i].Elements {
			known.learn(e.Set, e.Add)
			known.learn(e.Set, e.Del)
		}
	}
	return known
}

func (o owners) learn(s *graph.Set, elements graph.Elements) {
	for e := range elements.All() {
		if key, ok := serviceOf(s, &e.Key); ok && e.Owner != nil && o[key] == nil {
			o[key] = e.Owner
		}
	}
}

// of gives the owner of an element, or nil.
func (o owners) of(s *graph.Set, e *graph.Element) *graph.Owner {
	if e.Owner != nil {
		return e.Owner
	}
	if key, ok := serviceOf(s, &e.Key); ok {
		return o[key]
	}
	return nil
}

// serviceOf gives the service address in a key, and whether the keys of the set have one: it is the address in front of
// the protocol, the second one where a client's comes first.
func serviceOf(s *graph.Set, k *graph.Key) (serviceKey, bool) {
	proto := slices.Index(s.Key, graph.ProtoField)
	if proto < 1 || !slices.Contains(s.Key, graph.PortField) {
		return serviceKey{}, false
	}
	addr := k.Addr
	if slices.Index(s.Key, graph.AddrField) < proto-1 {
		addr = k.Peer
	}
	return serviceKey{addr, k.Proto, k.Port}, true
}

// String gives the address as "10.96.0.1:80/tcp", that of a node port as "0.0.0.0:30000/tcp".
func (k serviceKey) String() string {
	return netip.AddrPortFrom(k.Addr, k.Port).String() + "/" + k.Proto.String()
}

func (k serviceKey) compare(o serviceKey) int {
	return cmp.Or(k.Addr.Compare(o.Addr), cmp.Compare(k.Proto, o.Proto), cmp.Compare(k.Port, o.Port))
}
