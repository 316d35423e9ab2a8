package plan

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// endpointIndex answers whether an affinity element points at an endpoint that its client can still be sent to. It looks
// up only the services that are asked for: few clients need not cost a walk over all endpoints.
type endpointIndex struct {
	table  *graph.Table
	own    map[netip.Addr]bool
	pods   *graph.Set
	usable map[asker]map[netip.AddrPort]bool
}

func newEndpointIndex(t *graph.Table, own []netip.Addr) *endpointIndex {
	x := &endpointIndex{
		table: t, own: make(map[netip.Addr]bool, len(own)), pods: t.Set(graph.ClusterCIDRsSet),
		usable: map[asker]map[netip.AddrPort]bool{},
	}
	for _, a := range own {
		x.own[a] = true
	}
	return x
}

// asker is a kind of client of a service.
type asker struct {
	service graph.Key
	outside bool // neither a pod nor the node
}

func (x *endpointIndex) has(e *graph.Element) bool {
	service := graph.Key{Addr: e.Key.Peer, Proto: e.Key.Proto, Port: e.Key.Port}
	if s := x.table.Set(graph.ServicesMap); s != nil {
		if _, ok := s.Find(service); !ok {
			// The client sent to one of the node's own addresses: a node port.
			service.Addr = x.table.Family.Unspecified()
		}
	}
	client := e.Key.Addr
	a := asker{service, client != e.Key.Peer && !x.own[client] && !x.isPod(client)}
	endpoints, ok := x.usable[a]
	if !ok {
		endpoints = x.collect(a)
		x.usable[a] = endpoints
	}
	return endpoints[netip.AddrPortFrom(e.Data.Addr, e.Data.Port)]
}

func (x *endpointIndex) isPod(client netip.Addr) bool {
	if x.pods == nil {
		return false
	}
	for i := range x.pods.Elements.Len() {
		if k := x.pods.Elements.KeyAt(i); !client.Less(k.Addr) && !k.RangeTo.Less(client) {
			return true
		}
	}
	return false
}

// collect gives the endpoints of a service that are in slots which its chain tries for the kind of client.
func (x *endpointIndex) collect(a asker) map[netip.AddrPort]bool {
	out := map[netip.AddrPort]bool{}
	services, endpoints := x.table.Set(graph.ServicesMap), x.table.Set(graph.EndpointsMap)
	if services == nil || endpoints == nil {
		return out
	}
	entry, ok := services.Find(a.service)
	if !ok {
		return out
	}
	tries := x.tries(entry.Data.Verdict.Chain, a.outside)
	for e := range endpoints.From(a.service) {
		k := e.Key
		if k.Addr != a.service.Addr || k.Proto != a.service.Proto || k.Port != a.service.Port {
			break
		}
		if slices.ContainsFunc(tries, func(r slotRange) bool { return r.first <= k.Slot && k.Slot-r.first < r.count }) {
			out[netip.AddrPortFrom(e.Data.Addr, e.Data.Port)] = true
		}
	}
	return out
}

// slotRange is the slots that one rule draws from.
type slotRange struct{ first, count uint32 }

// tries follows a shape's chain as a packet of the kind of client would, and gives the slots it could be sent to.
func (x *endpointIndex) tries(chain string, outside bool) []slotRange {
	var out []slotRange
	c := x.table.Chain(chain)
	if c == nil {
		return nil
	}
	for i := range c.Rules {
		stmts := c.Rules[i].Stmts
		if outside && slices.ContainsFunc(stmts, keepsOut) {
			continue
		}
		switch last := stmts[len(stmts)-1].(type) {
		case graph.DNAT:
			if r, ok := slotsOf(last); ok {
				out = append(out, r)
			}
		case graph.Do:
			return append(out, x.tries(last.Verdict.Chain, outside)...)
		case graph.Match, graph.MatchSet, graph.LookupVerdict, graph.Masquerade, graph.Reject, graph.Counter, graph.Update:
		}
	}
	return out
}

// keepsOut reports whether a statement ends a rule for clients from outside: it wants a pod, or the node.
func keepsOut(st graph.Stmt) bool {
	switch st := st.(type) {
	case graph.MatchSet:
		return st.Set == graph.ClusterCIDRsSet && !st.Not
	case graph.Match:
		return st.X == graph.Expr(graph.FibType{Of: graph.SourceAddr})
	default:
		return false
	}
}

// slotsOf gives the slots that a rule draws from; ok is false for one that draws none, which is that of the affinity map.
func slotsOf(st graph.DNAT) (r slotRange, ok bool) {
	key, _ := st.X.(graph.Concat)
	if len(key) == 0 {
		return r, false
	}
	switch x := key[len(key)-1].(type) {
	case graph.Numgen:
		return slotRange{x.Offset, x.Mod}, true
	case graph.Jhash:
		return slotRange{x.Offset, x.Mod}, true
	default:
		return r, false
	}
}
