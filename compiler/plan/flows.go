package plan

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Flow is a connection as the kernel tracks it, as far as it matters here.
type Flow struct {
	To       netip.AddrPort // the destination that the client sends to
	Endpoint netip.AddrPort // where answers come from: To, where the flow was never translated
}

// StaleFlow says which flows to one service address have to go: those whose endpoint serves it no more, and those that were
// never translated because it had none when they began. The kernel decides about the first packet of a flow only, so
// without that they would go on into the void for as long as the client keeps sending.
//
// TCP is left out: a connection ends by itself, and until then its endpoint finishes what it has begun.
type StaleFlow struct {
	Family graph.Family
	Proto  graph.Proto // UDP or SCTP
	Addr   netip.Addr  // the service address; the unspecified one for a node port
	Port   uint16
	// Keep are the endpoints whose flows stay, sorted: all that the address has, and those that got no new connections
	// any more but still serve (graph.Owner.Spared).
	Keep []netip.AddrPort
	// Untranslated says that flows which were never translated go, too. It is false where the address is none of a
	// Service any more: such a flow is then as it should be.
	Untranslated bool
	// Within are the addresses that a node port is served at, of the node's own, and Except, sorted, are those among them
	// at which another Service has the port.
	Within []AddrRange
	Except []netip.Addr
}

// AddrRange is a range of addresses, both ends included.
type AddrRange struct {
	First, Last netip.Addr
}

// IsNodePort reports whether the flows are those to a node port: to any of the node's own addresses.
func (s *StaleFlow) IsNodePort() bool { return s.Addr == s.Family.Unspecified() }

// Cuts reports whether a flow has to go. The flow is of the family and protocol; own says whether its destination is an
// address of the node itself.
func (s *StaleFlow) Cuts(f Flow, own bool) bool {
	if f.To.Port() != s.Port {
		return false
	}
	if s.IsNodePort() {
		if !own || !s.serves(f.To.Addr()) {
			return false
		}
	} else if f.To.Addr() != s.Addr {
		return false
	}
	if f.To == f.Endpoint && !s.Untranslated {
		return false
	}
	_, keep := slices.BinarySearchFunc(s.Keep, f.Endpoint, netip.AddrPort.Compare)
	return !keep
}

// serves reports whether one of the node's own addresses has the node port.
func (s *StaleFlow) serves(own netip.Addr) bool {
	_, except := slices.BinarySearchFunc(s.Except, own, netip.Addr.Compare)
	return !except && slices.ContainsFunc(s.Within, func(r AddrRange) bool {
		return r.First.Compare(own) <= 0 && own.Compare(r.Last) <= 0
	})
}

// StaleFlows gives the flows that a plan from one ruleset to another leaves behind, in the order of families and keys.
//
// Only service addresses that the change touches are named: those that the plan takes an endpoint from, makes or removes,
// and those of Service ports that are said to have changed otherwise. That an endpoint serves no more of which no new
// connections were made anyhow is no element's matter. changed may be nil.
//
// Of these addresses the flows are compared with what is desired, not with what was there: a step that was lost before
// does not matter.
func StaleFlows(p *Plan, observed, desired *graph.Ruleset, changed func(*graph.Owner) bool) []StaleFlow {
	var out []StaleFlow
	for _, f := range graph.Families {
		x := flowFinder{was: tableOrNone(observed, f), want: tableOrNone(desired, f)}
		for i := range p.Tables {
			switch t := &p.Tables[i]; {
			case t.Family != f:
			case t.Op == Update:
				x.visitChange(t)
			default:
				x.visitAll()
			}
		}
		if changed != nil {
			x.visitOwners(changed)
		}
		out = append(out, x.result()...)
	}
	return out
}

func tableOrNone(rs *graph.Ruleset, f graph.Family) *graph.Table {
	if t := rs.Table(f); t != nil {
		return t
	}
	return &graph.Table{Family: f}
}

// flowFinder collects the service addresses of one table whose flows have to be looked at.
type flowFinder struct {
	was, want *graph.Table
	// Keys are service addresses, those without a slot.
	known   map[graph.Key]kept
	touched map[graph.Key]bool
}

// kept is what an address keeps.
type kept struct {
	endpoints []netip.AddrPort // sorted
	wanted    bool             // the address is a Service's
}

// visitAll touches every service address there was or is.
func (x *flowFinder) visitAll() {
	for _, t := range [...]*graph.Table{x.was, x.want} {
		for _, name := range [...]string{graph.ServicesMap, graph.NoEndpointsMap} {
			if s := t.Set(name); s != nil {
				x.touchElements(s.Elements, nil)
			}
		}
	}
}

// visitOwners touches the addresses of Service ports that are said to have changed.
func (x *flowFinder) visitOwners(changed func(*graph.Owner) bool) {
	for _, name := range [...]string{graph.ServicesMap, graph.NoEndpointsMap} {
		s := x.want.Set(name)
		if s == nil {
			continue
		}
		for i := range s.Elements.Len() {
			key := s.Elements.KeyAt(i)
			if !hasFlows(key.Proto) {
				continue
			}
			if owner := s.Elements.At(i).Owner; owner != nil && changed(owner) {
				x.touch(serviceOf(key))
			}
		}
	}
}

// visitChange touches the service addresses that a change of the table concerns.
func (x *flowFinder) visitChange(c *TableChange) {
	for i := range c.Elements {
		e := &c.Elements[i]
		switch e.Set.Name {
		case graph.ServicesMap:
			// In both lists is an address that has another number of slots now, and no less for it.
			added, deleted := keysOf(e.Add), keysOf(e.Del)
			x.touchElements(e.Add, deleted)
			x.touchElements(e.Del, added)
		case graph.EndpointsMap:
			x.visitEndpoints(e.Del)
		}
	}
}

func keysOf(elements graph.Elements) map[graph.Key]bool {
	out := make(map[graph.Key]bool, elements.Len())
	for i := range elements.Len() {
		out[elements.KeyAt(i)] = true
	}
	return out
}

// visitEndpoints touches the addresses that lose one of the endpoints: an endpoint may only have moved to another slot.
func (x *flowFinder) visitEndpoints(lost graph.Elements) {
	for i := range lost.Len() {
		key := serviceOf(lost.KeyAt(i))
		if !hasFlows(key.Proto) || x.touched[key] {
			continue
		}
		e := lost.At(i)
		at := netip.AddrPortFrom(e.Data.Addr, e.Data.Port)
		if _, kept := slices.BinarySearchFunc(x.keep(key).endpoints, at, netip.AddrPort.Compare); !kept {
			x.touch(key)
		}
	}
}

// touchElements touches the addresses of elements, but for those in except.
func (x *flowFinder) touchElements(elements graph.Elements, except map[graph.Key]bool) {
	for i := range elements.Len() {
		if key := elements.KeyAt(i); hasFlows(key.Proto) && !except[key] {
			x.touch(key)
		}
	}
}

func (x *flowFinder) touch(key graph.Key) {
	if x.touched == nil {
		x.touched = map[graph.Key]bool{}
	}
	x.touched[key] = true
}

// hasFlows reports whether flows of a protocol are cut: see [StaleFlow].
func hasFlows(p graph.Proto) bool { return p == graph.UDP || p == graph.SCTP }

func serviceOf(k graph.Key) graph.Key { return graph.Key{Addr: k.Addr, Proto: k.Proto, Port: k.Port} }

// keep gives the endpoints whose flows to a service address stay.
func (x *flowFinder) keep(service graph.Key) kept {
	if known, ok := x.known[service]; ok {
		return known
	}
	var out kept
	if s := x.want.Set(graph.EndpointsMap); s != nil {
		for e := range s.From(service) {
			if serviceOf(e.Key) != service {
				break
			}
			out.endpoints = append(out.endpoints, netip.AddrPortFrom(e.Data.Addr, e.Data.Port))
		}
	}
	var e graph.Element
	if e, out.wanted = findService(x.want, service); out.wanted && e.Owner != nil {
		out.endpoints = append(out.endpoints, e.Owner.Spared...)
	}
	slices.SortFunc(out.endpoints, netip.AddrPort.Compare)
	out.endpoints = slices.Compact(out.endpoints) // an endpoint may have thousands of slots
	if x.known == nil {
		x.known = map[graph.Key]kept{}
	}
	x.known[service] = out
	return out
}

// findService finds a service address, whether it has endpoints or not.
func findService(t *graph.Table, service graph.Key) (graph.Element, bool) {
	for _, name := range [...]string{graph.ServicesMap, graph.NoEndpointsMap} {
		if s := t.Set(name); s != nil {
			if e, ok := s.Find(service); ok {
				return e, true
			}
		}
	}
	return graph.Element{}, false
}

func (x *flowFinder) result() []StaleFlow {
	if len(x.touched) == 0 {
		return nil
	}
	keys := make([]graph.Key, 0, len(x.touched))
	for key := range x.touched {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, graph.Key.Compare)
	out := make([]StaleFlow, 0, len(keys))
	for _, key := range keys {
		k := x.keep(key)
		out = append(out, StaleFlow{
			Family: x.want.Family, Proto: key.Proto, Addr: key.Addr, Port: key.Port,
			Keep: k.endpoints, Untranslated: k.wanted,
		})
	}
	x.addNodePorts(out)
	return out
}

// addNodePorts says at which addresses the node ports among the flows are served.
func (x *flowFinder) addNodePorts(flows []StaleFlow) {
	type port struct {
		proto graph.Proto
		port  uint16
	}
	nodePorts := map[port][]netip.Addr{}
	for i := range flows {
		if flows[i].IsNodePort() {
			nodePorts[port{flows[i].Proto, flows[i].Port}] = nil
		}
	}
	if len(nodePorts) == 0 {
		return
	}
	for _, t := range [...]*graph.Table{x.was, x.want} {
		if s := t.Set(graph.ServicesMap); s != nil {
			for i := range s.Elements.Len() {
				k := s.Elements.KeyAt(i)
				at := port{k.Proto, k.Port}
				if known, ok := nodePorts[at]; ok && k.Addr != t.Family.Unspecified() {
					nodePorts[at] = append(known, k.Addr)
				}
			}
		}
	}
	within := nodePortRanges(x.want)
	if within == nil {
		within = nodePortRanges(x.was)
	}
	for i := range flows {
		if flows[i].IsNodePort() {
			flows[i].Within = within
			except := nodePorts[port{flows[i].Proto, flows[i].Port}]
			slices.SortFunc(except, netip.Addr.Compare)
			flows[i].Except = slices.Compact(except)
		}
	}
}

func nodePortRanges(t *graph.Table) []AddrRange {
	s := t.Set(graph.NodePortAddressesSet)
	if s == nil {
		return nil
	}
	out := make([]AddrRange, s.Elements.Len())
	for i := range out {
		key := s.Elements.KeyAt(i)
		out[i] = AddrRange{key.Addr, key.RangeTo}
	}
	return out
}
