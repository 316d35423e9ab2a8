package plan

import (
	"net/netip"

	"github.com/svcctl/svcctl/compiler/graph"
)

// StaleAffinity gives the removal of every remembered client whose endpoint is gone. [Diff] includes it; it has to be
// asked for once more after the commit, because until then the packet path goes on learning.
func StaleAffinity(observed, desired *graph.Ruleset) *Plan {
	p := &Plan{}
	for _, want := range desired.Tables {
		was := observed.Table(want.Family)
		if was == nil {
			continue
		}
		if e := staleAffinity(was, want); e.Del.Len() > 0 {
			p.Tables = append(p.Tables, TableChange{
				Op: Update, Family: want.Family, Name: want.Name, Elements: []ElementChange{e},
			})
		}
	}
	return p
}

func staleAffinity(was, want *graph.Table) ElementChange {
	learnt, set := was.Set(graph.AffinityMap), want.Set(graph.AffinityMap)
	if learnt == nil || set == nil || learnt.Elements.Len() == 0 {
		return ElementChange{}
	}
	c := ElementChange{Set: set}
	known := endpointIndex{table: want, byService: map[graph.Key]map[netip.AddrPort]bool{}}
	for e := range learnt.Elements.All() {
		if !known.has(e) {
			c.Del.Append(e)
		}
	}
	return c
}

// endpointIndex answers whether an affinity element points at an endpoint that its service still has. It looks up only
// the services that are asked for: few clients need not cost a walk over all endpoints.
type endpointIndex struct {
	table     *graph.Table
	byService map[graph.Key]map[netip.AddrPort]bool
}

func (x endpointIndex) has(e graph.Element) bool {
	service := graph.Key{Addr: e.Key.Peer, Proto: e.Key.Proto, Port: e.Key.Port}
	if s := x.table.Set(graph.ServicesMap); s != nil {
		if _, ok := s.Find(service); !ok {
			// The client sent to one of the node's own addresses: a node port.
			service.Addr = x.table.Family.Unspecified()
		}
	}
	endpoints, ok := x.byService[service]
	if !ok {
		endpoints = x.collect(service)
		x.byService[service] = endpoints
	}
	return endpoints[netip.AddrPortFrom(e.Data.Addr, e.Data.Port)]
}

func (x endpointIndex) collect(service graph.Key) map[netip.AddrPort]bool {
	out := map[netip.AddrPort]bool{}
	s := x.table.Set(graph.EndpointsMap)
	if s == nil {
		return out
	}
	for e := range s.From(service) {
		k := e.Key
		if k.Addr != service.Addr || k.Proto != service.Proto || k.Port != service.Port {
			break
		}
		out[netip.AddrPortFrom(e.Data.Addr, e.Data.Port)] = true
	}
	return out
}
