package behaviour

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// wayKey is a chain, and who comes to it.
type wayKey struct {
	chain  string
	proto  graph.Proto
	client Client
}

// way is what a chain does to a packet: it tries slots, and what misses them all comes to an end.
type way struct {
	tries []try
	end   Fate // Untouched where no rule decides: then what is unserved is looked up
}

// try draws a slot from a range of them.
type try struct {
	mod, offset uint32
	hash        bool
}

func (w way) same(o way) bool { return w.end == o.end && slices.Equal(w.tries, o.tries) }

func (w way) hashes() bool {
	return slices.ContainsFunc(w.tries, func(t try) bool { return t.hash })
}

// way follows the chains that a shape consists of. Every address of the shape goes the same way.
func (r *reader) way(chain string, proto graph.Proto, c Client) way {
	key := wayKey{chain, proto, c}
	w, ok := r.ways[key]
	if !ok {
		w.end = Untouched
		r.follow(&w, r.table.Chain(chain), proto, c)
		r.ways[key] = w
	}
	return w
}

// follow adds what a chain does, and reports whether nothing after it is reached.
func (r *reader) follow(w *way, chain *graph.Chain, proto graph.Proto, c Client) (ended bool) {
	if chain == nil {
		return false
	}
	for _, rule := range chain.Rules {
		switch v, ended := r.rule(w, rule, proto, c); {
		case ended:
			return true
		case v.Op == graph.Return:
			return false
		case v.Op == graph.Jump:
			if r.follow(w, r.table.Chain(v.Chain), proto, c) {
				return true
			}
		case v.Op == graph.Goto:
			return r.follow(w, r.table.Chain(v.Chain), proto, c)
		}
	}
	return false
}

// rule adds what a rule does, and gives the verdict with which it ends. A rule that asks for something that is not told
// apart here does not match: the program has none.
func (r *reader) rule(w *way, rule graph.Rule, proto graph.Proto, c Client) (v graph.Verdict, ended bool) {
	for _, stmt := range rule.Stmts {
		switch s := stmt.(type) {
		case graph.Match:
			if !matches(s, proto, c) {
				return v, false
			}
		case graph.MatchSet:
			if s.Set != graph.ClusterCIDRsSet || s.X != graph.Expr(graph.SourceAddr) || r.isPod(c) == s.Not {
				return v, false
			}
		case graph.DNAT:
			if t, ok := tryOf(s); ok {
				w.tries = append(w.tries, t)
			}
			return v, false
		case graph.Reject:
			w.end = Refused
			return v, true
		case graph.Do:
			switch s.Verdict.Op {
			case graph.Drop:
				w.end = Dropped
				return v, true
			case graph.Accept:
				return v, true
			default:
				return s.Verdict, false
			}
		case graph.LookupVerdict, graph.Masquerade:
			return v, false
		case graph.Counter, graph.Update:
		}
	}
	return v, false
}

// isPod reports whether a client's address is in the set of the pods'. Nobody's is where the configuration has no range.
func (r *reader) isPod(c Client) bool {
	return c == Pods && r.set(graph.ClusterCIDRsSet).Elements.Len() > 0
}

func matches(m graph.Match, proto graph.Proto, c Client) bool {
	switch v := m.Value.(type) {
	case graph.Proto:
		return v == proto
	case graph.AddrType:
		return m.X == graph.Expr(graph.FibType{Of: graph.SourceAddr}) && c == Node
	case graph.CtStateBit:
		return v == graph.CtNew
	case graph.CtStatusBit:
	}
	return false
}

// tryOf gives the slots that a translation draws from. A lookup of clients that are remembered draws none.
func tryOf(d graph.DNAT) (try, bool) {
	parts, ok := d.X.(graph.Concat)
	if !ok || d.Map != graph.EndpointsMap || len(parts) == 0 {
		return try{}, false
	}
	switch x := parts[len(parts)-1].(type) {
	case graph.Numgen:
		return try{x.Mod, x.Offset, false}, true
	case graph.Jhash:
		return try{x.Mod, x.Offset, true}, true
	case graph.Payload, graph.L4Proto, graph.Ct, graph.FibType, graph.Masked, graph.Concat:
	}
	return try{}, false
}

// reach gives where the tries lead, with the slots that an address has, and what becomes of what misses all of them. All
// sources are taken for equally frequent by a source hash.
func (w way) reach(slots []slot, missed Fate) Reach {
	if w.end != Untouched {
		missed = w.end
	}
	parts := map[netip.AddrPort]float64{}
	rest := 1.0
	for i := 0; i < len(w.tries); {
		t := w.tries[i]
		within := t.within(slots)
		miss := 1 - float64(len(within))/float64(t.mod)
		// The probability that a packet comes to one of these tries, which are all alike: a hash draws the same slot again.
		comes := 0.0
		for ; i < len(w.tries) && w.tries[i] == t; i++ {
			comes += rest
			if rest *= miss; t.hash {
				for i+1 < len(w.tries) && w.tries[i+1] == t {
					i++
				}
			}
		}
		for _, s := range within {
			parts[s.endpoint] += comes / float64(t.mod)
		}
	}
	if len(parts) == 0 {
		return Reach{Fate: missed}
	}
	out := Reach{Fate: Served, Shares: make([]Share, 0, len(parts))}
	for e, p := range parts {
		if p > 0 {
			out.Shares = append(out.Shares, Share{e, p})
		}
	}
	slices.SortFunc(out.Shares, func(a, b Share) int { return a.Endpoint.Compare(b.Endpoint) })
	if len(w.tries) > 0 && w.tries[0].hash {
		out.deal = w.tries[0].deal(slots, out.Shares)
	}
	return out
}

// within gives the slots that a try draws from.
func (t try) within(slots []slot) []slot {
	from, _ := slices.BinarySearchFunc(slots, t.offset, func(s slot, n uint32) int { return cmp.Compare(s.number, n) })
	to, _ := slices.BinarySearchFunc(slots, t.offset+t.mod, func(s slot, n uint32) int { return cmp.Compare(s.number, n) })
	return slots[from:to]
}

// deal gives for each slot of a source hash the place of its endpoint among the shares; what is nobody's goes to the first.
func (t try) deal(slots []slot, shares []Share) []uint16 {
	out := make([]uint16, t.mod)
	for _, s := range t.within(slots) {
		i, _ := slices.BinarySearchFunc(shares, s.endpoint, func(s Share, e netip.AddrPort) int { return s.Endpoint.Compare(e) })
		out[s.number-t.offset] = uint16(i)
	}
	return out
}
