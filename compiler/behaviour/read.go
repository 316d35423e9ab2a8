package behaviour

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Of says what a ruleset does. Addresses whose elements do not say whose they are get their names from names, which may be
// nil.
func Of(rs *graph.Ruleset, names Names) *Behaviour {
	b := &Behaviour{}
	for _, f := range graph.Families {
		if t := rs.Table(f); t != nil {
			r := reader{table: t, names: names, ways: map[wayKey]way{}}
			b.Addresses = append(b.Addresses, r.addresses()...)
			b.Settings = append(b.Settings, settings(t)...)
		}
	}
	return b
}

// settings are the sets of the configuration.
func settings(t *graph.Table) []Setting {
	var out []Setting
	for _, name := range [...]string{graph.ClusterCIDRsSet, graph.ServiceCIDRsSet, graph.NodePortAddressesSet} {
		if s := t.Set(name); s != nil {
			setting := Setting{Family: t.Family, Set: name}
			for e := range s.Elements.All() {
				setting.Ranges = append(setting.Ranges, Range{e.Key.Addr, e.Key.RangeTo})
			}
			out = append(out, setting)
		}
	}
	return out
}

// reader reads one table.
type reader struct {
	table *graph.Table
	names Names
	ways  map[wayKey]way
}

// set gives a set of the program, or an empty one: somebody may have deleted it.
func (r *reader) set(name string) *graph.Set {
	if s := r.table.Set(name); s != nil {
		return s
	}
	return &graph.Set{Name: name}
}

// addresses gives every service address, those without endpoints, too.
func (r *reader) addresses() []Address {
	services, unserved := r.set(graph.ServicesMap), r.set(graph.NoEndpointsMap)
	out := make([]Address, 0, services.Elements.Len())
	// Both are sorted by the same key, and an address may be in both.
	i, j := 0, 0
	for i < services.Elements.Len() || j < unserved.Elements.Len() {
		order := 0
		switch {
		case j >= unserved.Elements.Len():
			order = -1
		case i >= services.Elements.Len():
			order = 1
		default:
			order = services.Elements.CompareKeys(i, &unserved.Elements, j)
		}
		var service, no *graph.Element
		if order <= 0 {
			e := services.Elements.At(i)
			service = &e
			i++
		}
		if order >= 0 {
			e := unserved.Elements.At(j)
			no = &e
			j++
		}
		out = append(out, r.address(service, no))
	}
	return out
}

// address reads one service address from its element in the map of those that are served, and from that in the map of
// those that are not. One of them may be nil.
func (r *reader) address(service, no *graph.Element) Address {
	given := service
	if given == nil {
		given = no
	}
	key := given.Key
	a := Address{Key: keyOf(key), Owner: given.Owner, Kind: r.kind(key.Addr), Source: r.source(key)}
	if a.Owner == nil {
		a.Owner = r.names[a.Key]
	}
	missed := Untouched
	if no != nil {
		missed = Refused
		if no.Data.Verdict.Op == graph.Drop {
			missed, a.Local = Dropped, true
		}
	}
	if service == nil {
		for c := range a.Reach {
			a.Reach[c].Fate = missed
		}
	} else {
		a.Shape = service.Data.Verdict.Chain
		r.reach(&a, missed)
	}
	r.readAffinity(&a, key)
	r.readSources(&a, key)
	return a
}

func (r *reader) kind(addr netip.Addr) Kind {
	if addr == r.table.Family.Unspecified() {
		return NodePort
	}
	if _, ok := r.set(graph.ClusterIPsSet).Find(graph.Key{Addr: addr}); ok {
		return ClusterIP
	}
	return External
}

// source says who decides about the source of connections to an address.
func (r *reader) source(key graph.Key) SourceNAT {
	e, ok := r.set(graph.MasqueradeServicesMap).Find(key)
	if !ok || e.Data.Verdict.Op == graph.Return {
		return KeepSource
	}
	switch e.Data.Verdict.Chain {
	case graph.MasqueradeAlwaysChain:
		return TranslateAlways
	case graph.MasqueradeOffClusterChain:
		return TranslateOffCluster
	case graph.MasqueradeNodeLocalChain:
		return TranslateNode
	default:
		return TranslateOtherwise
	}
}

// readAffinity reads from the chain that remembers the clients of an address how long it does so.
func (r *reader) readAffinity(a *Address, key graph.Key) {
	e, ok := r.set(graph.AffinityTimeoutsMap).Find(key)
	if !ok {
		return
	}
	chain := r.table.Chain(e.Data.Verdict.Chain)
	if chain == nil {
		return
	}
	for _, rule := range chain.Rules {
		for _, s := range rule.Stmts {
			if u, ok := s.(graph.Update); ok {
				a.Affinity = u.Timeout
			}
		}
	}
}

func (r *reader) readSources(a *Address, key graph.Key) {
	if _, a.Restricted = r.set(graph.RestrictedServicesSet).Find(key); !a.Restricted {
		return
	}
	for e := range r.set(graph.SourceRangesSet).From(key) {
		if keyOf(e.Key) != a.Key {
			break
		}
		a.Sources = append(a.Sources, Range{e.Key.Peer, e.Key.RangeTo})
	}
}

// slot is an element of the map "endpoints".
type slot struct {
	number   uint32
	endpoint netip.AddrPort
}

// slots gives the slots of an address in the order of their numbers.
func (r *reader) slots(k Key) []slot {
	var out []slot
	for e := range r.set(graph.EndpointsMap).From(graph.Key{Addr: k.Addr, Proto: k.Proto, Port: k.Port}) {
		if keyOf(e.Key) != k {
			break
		}
		out = append(out, slot{e.Key.Slot, netip.AddrPortFrom(e.Data.Addr, e.Data.Port)})
	}
	return out
}

// reach works out where the connections to an address go. missed is what becomes of those that no rule translates.
func (r *reader) reach(a *Address, missed Fate) {
	slots := r.slots(a.Key)
	for c := range Clients {
		w := r.way(a.Shape, a.Proto, c)
		if c == Outside && slices.ContainsFunc(w.tries, func(t try) bool { return t.offset > 0 }) {
			a.Local = true
		}
		a.SourceHash = a.SourceHash || w.hashes()
		same := false
		for before := range c {
			if r.way(a.Shape, a.Proto, before).same(w) {
				a.Reach[c] = a.Reach[before]
				same = true
				break
			}
		}
		if !same {
			a.Reach[c] = w.reach(slots, missed)
		}
	}
}
