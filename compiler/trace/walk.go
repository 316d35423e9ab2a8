package trace

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// walker follows packets. A choice splits a packet; every packet ends as an outcome.
type walker struct {
	host     Host
	table    *graph.Table
	outcomes []Outcome
}

// end is where a chain leaves a packet.
type end uint8

const (
	fellThrough end = iota // the end of the chain, or return
	accepted               // no further rule of this base chain
	gone                   // the packet has ended, or has been split into others that were followed to their ends
)

func (w *walker) finish(p *packet, f Fate) { w.outcomes = append(w.outcomes, p.outcome(f)) }

func (w *walker) prerouting(p *packet) {
	w.hook(p, graph.Prerouting, func(p *packet) {
		if w.host.IsLocal(p.dest.Addr()) {
			w.hook(p, graph.Input, w.arrive)
			return
		}
		w.hook(p, graph.Forward, func(p *packet) { w.hook(p, graph.Postrouting, w.arrive) })
	})
}

// output is the way of what the node itself sends. If it sends to itself, the packet leaves through the loopback device
// and comes in again.
func (w *walker) output(p *packet) {
	w.hook(p, graph.Output, func(p *packet) {
		w.hook(p, graph.Postrouting, func(p *packet) {
			if w.host.IsLocal(p.dest.Addr()) {
				w.prerouting(p)
				return
			}
			w.arrive(p)
		})
	})
}

func (w *walker) arrive(p *packet) {
	if p.translated {
		w.finish(p, Translated)
	} else {
		w.finish(p, Untouched)
	}
}

// hook runs the base chains of a hook in order of priority, and then goes on. Chains that translate are asked once per
// connection.
func (w *walker) hook(p *packet, at graph.HookPoint, then func(*packet)) {
	var chains []*graph.Chain
	for _, ch := range w.table.Chains {
		if ch.Hook != nil && ch.Hook.Point == at {
			chains = append(chains, ch)
		}
	}
	slices.SortStableFunc(chains, func(a, b *graph.Chain) int { return cmp.Compare(a.Hook.Priority, b.Hook.Priority) })
	w.baseChains(p, chains, then)
}

func (w *walker) baseChains(p *packet, chains []*graph.Chain, then func(*packet)) {
	if len(chains) == 0 {
		then(p)
		return
	}
	base := chains[0]
	next := func(p *packet) { w.baseChains(p, chains[1:], then) }
	if base.Hook.Type == graph.NATChain && !p.decide(base.Hook.Point) {
		next(p)
		return
	}
	r := &run{walker: w, base: base, next: next}
	if r.chain(p, base) != gone {
		next(p)
	}
}

// decide says whether the translating chains of a hook are to be asked, and notes that they were.
func (p *packet) decide(at graph.HookPoint) bool {
	decided := &p.sourceDecided
	if at == graph.Prerouting || at == graph.Output {
		decided = &p.destDecided
	}
	if *decided {
		return false
	}
	*decided = true
	return true
}

// run is the evaluation of one base chain.
type run struct {
	*walker
	base *graph.Chain
	next func(*packet) // the way of a packet that this base chain is done with
}

// chain evaluates the rules of a chain.
func (r *run) chain(p *packet, ch *graph.Chain) end {
	for i := range ch.Rules {
		switch v, e := r.rule(p, ch, i); {
		case e != fellThrough:
			return e
		case v.Op == graph.Return:
			return fellThrough
		case v.Op == graph.Jump:
			if e := r.chain(p, r.table.Chain(v.Chain)); e != fellThrough {
				return e
			}
		case v.Op == graph.Goto:
			return r.chain(p, r.table.Chain(v.Chain))
		}
	}
	return fellThrough
}

// rule evaluates one rule. A verdict that moves between chains is given back; all others are carried out.
func (r *run) rule(p *packet, ch *graph.Chain, i int) (graph.Verdict, end) {
	none := graph.Verdict{}
	acted := false
	step := func(s *graph.Set, found *graph.Element) {
		if s == nil && acted {
			return // the lookup before it says it
		}
		acted = true
		p.steps = append(p.steps, Step{Hook: r.base.Hook.Point, Chain: ch, Rule: i, Set: s, Found: found})
	}
	for _, st := range ch.Rules[i].Stmts {
		switch st := st.(type) {
		case graph.Match:
			if !r.matches(p, st) {
				return none, fellThrough
			}
		case graph.MatchSet:
			s := r.table.Set(st.Set)
			e := lookup(s, keyOf(s, p, st.X))
			if (e != nil) == st.Not {
				return none, fellThrough
			}
			step(s, e)
		case graph.LookupVerdict:
			s := r.table.Set(st.Map)
			e := lookup(s, keyOf(s, p, st.X))
			if e == nil {
				return none, fellThrough
			}
			step(s, e)
			return r.verdict(p, e.Data.Verdict)
		case graph.DNAT:
			return none, r.dnat(p, st, step)
		case graph.Masquerade:
			step(nil, nil)
			p.masquerade = true
			return none, accepted
		case graph.Reject:
			step(nil, nil)
			r.finish(p, Rejected)
			return none, gone
		case graph.Update:
			step(r.table.Set(st.Map), nil)
		case graph.Do:
			step(nil, nil)
			return r.verdict(p, st.Verdict)
		case graph.Counter:
		default:
			panic(fmt.Sprintf("trace: unhandled statement %T", st))
		}
	}
	return none, fellThrough
}

func (r *run) verdict(p *packet, v graph.Verdict) (graph.Verdict, end) {
	switch v.Op {
	case graph.Accept:
		return v, accepted
	case graph.Drop:
		r.finish(p, Dropped)
		return v, gone
	default:
		return v, fellThrough
	}
}

// dnat draws where the key has a random part: every way that hits an element is followed to its end, and what is left of
// the packet, the ways that miss, goes on to the next rule.
func (r *run) dnat(p *packet, st graph.DNAT, step func(*graph.Set, *graph.Element)) end {
	s := r.table.Set(st.Map)
	draws := keysOf(s, p, st.X)
	hit := 0
	mark := len(p.steps)
	for _, key := range draws {
		e := lookup(s, key)
		if e == nil {
			continue
		}
		hit++
		p.steps = p.steps[:mark:mark]
		step(s, e)
		way := p.split(1 / float64(len(draws)))
		way.dest, way.translated = addrPort(e.Data), true
		r.next(way)
	}
	p.steps = p.steps[:mark:mark]
	if hit == len(draws) {
		return gone
	}
	p.probability *= float64(len(draws)-hit) / float64(len(draws))
	return fellThrough
}
