package plan

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
)

// StaleAffinity gives the removal of every client that is remembered at an endpoint which it would not be sent to now: the
// endpoint is gone, or the traffic policy Local keeps it from this client. [Diff] includes it; it has to be asked for once
// more after the commit, because until then the packet path goes on learning.
//
// own are the node's addresses. The node itself may use endpoints that Local keeps from clients outside; a client whose
// address is in own, or the one it sent to, is the node.
func StaleAffinity(observed, desired *graph.Ruleset, own ...netip.Addr) *Plan {
	p := &Plan{}
	for _, want := range desired.Tables {
		was := observed.Table(want.Family)
		if was == nil {
			continue
		}
		if e := staleAffinity(was, want, own); e.Del.Len() > 0 {
			p.Tables = append(p.Tables, TableChange{
				Op: Update, Family: want.Family, Name: want.Name, Elements: []ElementChange{e},
			})
		}
	}
	return p
}

func staleAffinity(was, want *graph.Table, own []netip.Addr) ElementChange {
	learnt, set := was.Set(graph.AffinityMap), want.Set(graph.AffinityMap)
	if learnt == nil || set == nil || learnt.Elements.Len() == 0 {
		return ElementChange{}
	}
	c := ElementChange{Set: set}
	known := newEndpointIndex(want, own)
	for e := range learnt.Elements.All() {
		if !known.has(&e) {
			c.Del.Append(e)
		}
	}
	return c
}

// keptElements gives what the packet path has put into the dynamic sets of a table and what fits into those of another:
// elements of the same type, of endpoints that are still there, as many as there is room for, the youngest first.
func keptElements(was, want *graph.Table, own []netip.Addr) []KeptElements {
	var out []KeptElements
	for _, s := range want.Sets {
		old := was.Set(s.Name)
		if old == nil || !s.Dynamic || !sameElementType(old, s) {
			continue
		}
		lifetimes := old.Lifetimes
		if !old.Timeout {
			lifetimes = make([]graph.Lifetime, old.Elements.Len()) // they stay for ever
		}
		if len(lifetimes) != old.Elements.Len() {
			continue // it was not read with them
		}
		k := KeptElements{Set: s}
		known := newEndpointIndex(want, own)
		var places []int
		for i := range old.Elements.Len() {
			if e := old.Elements.At(i); s.Name != graph.AffinityMap || known.has(&e) {
				places = append(places, i)
			}
		}
		for _, i := range youngest(places, lifetimes, int(s.Size)) {
			k.Elements.Append(old.Elements.At(i))
			k.Lifetimes = append(k.Lifetimes, lifetimes[i])
		}
		if len(k.Lifetimes) > 0 {
			out = append(out, k)
		}
	}
	return out
}

func sameElementType(a, b *graph.Set) bool {
	return slices.Equal(a.Key, b.Key) && slices.Equal(a.Data, b.Data) && !a.Interval && !b.Interval && a.Timeout == b.Timeout
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
