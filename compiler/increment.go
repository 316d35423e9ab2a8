package compiler

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Increment gives the ruleset of a model that differs from an earlier one in nothing but the endpoints of some Services:
// was is the ruleset that [Compile] gave for the earlier model with the same configuration, and part the model of these
// Services alone, as they are now. It gives what Compile gives for the whole model, but for the owners and places of
// elements that belong to other Services, which it does not have.
//
// The passes run on part. What comes out takes the place of all that was has under the addresses of these Services; the
// passes that look at everything, "sizes" and "digest", run again on the whole. What Services share is what this rests on:
//
//   - An address with its protocol and port belongs to one Service, and so does every element that has it in its key.
//   - A chain of a shape or of a timeout is there if some element leads to it. Where that comes or goes, so does its place
//     among the others, and the change is not local.
//   - An address is in "hairpin" if it is some endpoint's: as many look at the map "endpoints" as there are elements in it.
//     With source hashing an endpoint may have no slot, and then there is nothing to look at.
//   - A node port says something about addresses with the same port: see nodePortShadows.
//   - All else depends on the configuration, or on what Services say themselves.
//
// Where the change is not local to the Services the error is a [*NotLocalError]: then the whole model has to be compiled.
func Increment(was *graph.Ruleset, part *resolve.Model, cfg Config) (*graph.Ruleset, error) {
	now, err := Compile(part, cfg)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(part.ServicePorts, func(sp *resolve.ServicePort) bool { return sp.SourceHash }) {
		return nil, NotLocal("with source hashing an endpoint may be in no slot")
	}
	st := &state{cfg: cfg, rs: &graph.Ruleset{}, pass: "increment"}
	for _, f := range graph.Families {
		x := &exchange{family: f, was: was.Table(f), now: now.Table(f)}
		if x.was == nil {
			return nil, NotLocal("there was no table of the family %s", f)
		}
		x.addresses = addressesOf(part, f)
		fs := &familyState{family: f, table: x.table()}
		if x.refused != nil {
			return nil, x.refused
		}
		st.families = append(st.families, fs)
		st.rs.Tables = append(st.rs.Tables, fs.table)
		for _, s := range fs.table.Sets {
			st.fills = append(st.fills, fill{st.pass, fs.table, s, func() graph.Elements { return s.Elements }})
		}
	}
	setSizes(st)
	addDigest(st)
	if err := st.check(); err != nil {
		return nil, err
	}
	return st.rs, nil
}

// NotLocalError says why a change is not local to some Services.
type NotLocalError struct{ reason string }

// Error gives the reason.
func (e *NotLocalError) Error() string { return e.reason }

// NotLocal gives the error for a reason.
func NotLocal(format string, args ...any) error { return &NotLocalError{fmt.Sprintf(format, args...)} }

// addressesOf gives the addresses of all Services of a model in a family: what the keys of their elements begin with, in
// order.
func addressesOf(m *resolve.Model, f graph.Family) []graph.Key {
	var out []graph.Key
	for _, sp := range m.ServicePorts {
		if familyOf(sp.Family) != f {
			continue
		}
		for i := range sp.Addresses {
			out = append(out, graph.Key{Addr: sp.Addresses[i].Addr, Proto: protoOf(sp.Protocol), Port: sp.Addresses[i].Port})
		}
	}
	slices.SortFunc(out, graph.Key.Compare)
	return out
}

// exchange makes the table of one family from the one there was and the one of a part of the Services.
type exchange struct {
	family    graph.Family
	was, now  *graph.Table
	addresses []graph.Key // of the part
	refused   error       // the first reason why the change is not local
}

// refuse says why the change is not local.
func (x *exchange) refuse(format string, args ...any) {
	if x.refused == nil {
		x.refused = NotLocal(format, args...)
	}
}

// table makes the table, but for sizes and digest.
func (x *exchange) table() *graph.Table {
	t := &graph.Table{Family: x.family, Name: x.now.Name, Comment: x.now.Comment}
	sameName := func(a, b *graph.Set) bool { return a.Name == b.Name }
	if !slices.EqualFunc(x.was.Sets, x.now.Sets, sameName) || x.was.Name != t.Name {
		x.refuse("the table %s was another program's", x.family)
		return t
	}
	x.checkNodePorts()
	for i, s := range x.now.Sets {
		set := *s
		if !s.Interval && !s.Dynamic {
			set.Size = 0 // the pass "sizes" is still to come
		}
		switch old := x.was.Sets[i]; {
		case s.Dynamic: // the packet path's own
		case slices.Contains(s.Key, graph.ProtoField):
			set.Elements = old.Elements.Exchange(x.spans(old), s.Elements)
		case s.Name == setHairpin:
			set.Elements = x.hairpin(old, s)
		default:
			set.Elements = x.unchanged(old, s)
		}
		t.Sets = append(t.Sets, &set)
	}
	t.Chains = x.chains(t)
	return t
}

// spans are the elements of a set that belong to the part.
func (x *exchange) spans(s *graph.Set) []graph.Span {
	var out []graph.Span
	for _, at := range x.addresses {
		from, _ := s.Elements.Search(at)
		to := from
		for to < s.Elements.Len() && serviceOf(s.Elements.KeyAt(to)) == at {
			to++
		}
		if from < to {
			out = append(out, graph.Span{From: from, To: to})
		}
	}
	return out
}

func serviceOf(k graph.Key) graph.Key { return graph.Key{Addr: k.Addr, Proto: k.Proto, Port: k.Port} }

// unchanged gives the elements of a set that says nothing about endpoints.
func (x *exchange) unchanged(was, now *graph.Set) graph.Elements {
	for i := range now.Elements.Len() {
		if _, ok := was.Find(now.Elements.KeyAt(i)); !ok {
			x.refuse("%v is new in %s", now.Elements.KeyAt(i), now.Name)
		}
	}
	return was.Elements
}

// checkNodePorts refuses where what is said of a node port may say something of the addresses of other Services, or the
// other way round.
func (x *exchange) checkNodePorts() {
	was, now := x.was.Set(graph.ServicesMap), x.now.Set(graph.ServicesMap)
	for _, at := range x.addresses {
		nodePort := graph.Key{Addr: x.family.Unspecified(), Proto: at.Proto, Port: at.Port}
		_, before := was.Find(nodePort)
		if at != nodePort {
			if before {
				x.refuse("%s port %d is an address and a node port", at.Proto, at.Port)
			}
		} else if _, after := now.Find(nodePort); before != after {
			x.refuse("the node port %d begins or ends to have endpoints", at.Port)
		}
	}
}

// hairpin gives the addresses of all endpoints.
func (x *exchange) hairpin(was, now *graph.Set) graph.Elements {
	gone := map[netip.Addr]bool{}
	endpoints := x.was.Set(graph.EndpointsMap)
	spans := x.spans(endpoints)
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if a := endpoints.Elements.DataAt(i).Addr; !gone[a] {
				_, stays := now.Find(graph.Key{Addr: a, Peer: a})
				gone[a] = !stays
			}
		}
	}
	x.keepUsed(gone, endpoints, spans)
	var out []graph.Span
	for a, is := range gone {
		if i, ok := was.Elements.Search(graph.Key{Addr: a, Peer: a}); is && ok {
			out = append(out, graph.Span{From: i, To: i + 1})
		}
	}
	slices.SortFunc(out, func(a, b graph.Span) int { return a.From - b.From })
	var added graph.Elements
	for e := range now.Elements.All() {
		if _, ok := was.Find(e.Key); !ok {
			added.Append(e)
		}
	}
	return was.Elements.Exchange(out, added)
}

// keepUsed takes from the addresses that are gone those that are also addresses of other Services' endpoints: of elements
// that are in none of the spans.
func (x *exchange) keepUsed(gone map[netip.Addr]bool, endpoints *graph.Set, spans []graph.Span) {
	some := false
	for _, is := range gone {
		some = some || is
	}
	if !some {
		return
	}
	if x.hashes() {
		x.refuse("an endpoint goes, and with source hashing an endpoint may be in no slot")
	}
	next := 0
	for i := 0; i < endpoints.Elements.Len(); i++ {
		if next < len(spans) && i == spans[next].From {
			i = spans[next].To - 1
			next++
			continue
		}
		if a := endpoints.Elements.DataAt(i).Addr; gone[a] {
			gone[a] = false
		}
	}
}

// hashes reports whether some chain draws slots by a hash.
func (x *exchange) hashes() bool {
	for _, c := range x.was.Chains {
		for _, r := range c.Rules {
			if slices.ContainsFunc(r.Stmts, drawsByHash) {
				return true
			}
		}
	}
	return false
}

func drawsByHash(s graph.Stmt) bool {
	d, ok := s.(graph.DNAT)
	if !ok {
		return false
	}
	key, ok := d.X.(graph.Concat)
	return ok && slices.ContainsFunc(key, func(e graph.Expr) bool {
		_, ok := e.(graph.Jhash)
		return ok
	})
}

// chains gives the chains there were, but for the one with the digest, if they are the ones that the sets of the new table
// need.
func (x *exchange) chains(t *graph.Table) []*graph.Chain {
	constant := map[string]bool{} // chains that are there whatever the Services
	for _, c := range x.now.Chains {
		if c.Pass != passShapes && c.Pass != passAffinity {
			constant[c.Name] = true
		}
	}
	there := map[string]*graph.Chain{}
	var out []*graph.Chain
	for _, c := range x.was.Chains {
		if !c.CarriesDigest() {
			there[c.Name] = c
			out = append(out, c)
		}
	}
	needed := map[string]bool{}
	var need func(name string)
	need = func(name string) {
		if constant[name] || needed[name] {
			return
		}
		needed[name] = true
		if there[name] == nil {
			x.refuse("the chain %s is new", name)
			return
		}
		for _, r := range there[name].Rules {
			for _, s := range r.Stmts {
				if do, ok := s.(graph.Do); ok && do.Verdict.Chain != "" {
					need(do.Verdict.Chain)
				}
			}
		}
	}
	for _, s := range t.Sets {
		if s.IsVerdictMap() {
			for _, name := range s.Elements.Targets() {
				need(name)
			}
		}
	}
	for _, c := range out {
		if !constant[c.Name] && !needed[c.Name] {
			x.refuse("nothing leads to the chain %s any more", c.Name)
		}
	}
	return out
}
