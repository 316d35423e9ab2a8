package plan

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"

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

// keptElements gives what the packet path has put into the dynamic sets of a table and what fits into those of another:
// elements of the same type, of endpoints that are still there, as many as there is room for, the youngest first.
func keptElements(was, want *graph.Table) []KeptElements {
	var out []KeptElements
	for _, s := range want.Sets {
		old := was.Set(s.Name)
		if old == nil || !s.Dynamic || !sameElementType(old, s) || len(old.Lifetimes) != old.Elements.Len() {
			continue
		}
		k := KeptElements{Set: s}
		known := endpointIndex{table: want, byService: map[graph.Key]map[netip.AddrPort]bool{}}
		var places []int
		for i := range old.Elements.Len() {
			if s.Name != graph.AffinityMap || known.has(old.Elements.At(i)) {
				places = append(places, i)
			}
		}
		for _, i := range youngest(places, old.Lifetimes, int(s.Size)) {
			k.Elements.Append(old.Elements.At(i))
			k.Lifetimes = append(k.Lifetimes, old.Lifetimes[i])
		}
		if len(k.Lifetimes) > 0 {
			out = append(out, k)
		}
	}
	return out
}

func sameElementType(a, b *graph.Set) bool {
	return slices.Equal(a.Key, b.Key) && slices.Equal(a.Data, b.Data) && a.Interval == b.Interval && a.Timeout == b.Timeout
}

// youngest gives those places whose elements have the most time left, at most n, in order; 0 is all of them.
func youngest(places []int, lifetimes []graph.Lifetime, n int) []int {
	if n == 0 || len(places) <= n {
		return places
	}
	left := func(i int) time.Duration {
		if lifetimes[i] == (graph.Lifetime{}) {
			return math.MaxInt64 // it stays for ever
		}
		return lifetimes[i].Expires
	}
	slices.SortStableFunc(places, func(i, j int) int { return cmp.Compare(left(j), left(i)) })
	places = places[:n]
	slices.Sort(places)
	return places
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
