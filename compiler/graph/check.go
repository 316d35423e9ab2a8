package graph

import (
	"errors"
	"fmt"
	"slices"
)

// maxJumps is how many jumps and gotos deep a packet may be (include/net/netfilter/nf_tables.h,
// NFT_JUMP_STACK_SIZE).
const maxJumps = 16

// maxNameLen is the longest name the kernel takes (include/uapi/linux/netfilter/nf_tables.h, NFT_NAME_MAXLEN less the
// final zero).
const maxNameLen = 255

// Check proves the invariants of a ruleset: everything that is referred to is there, keys and data are of the types that
// the lookups need, no chain reaches itself, NAT happens only where the kernel allows it, and the elements of every set
// are in order, complete and without duplicates. It returns every violation.
func Check(rs *Ruleset) error {
	var errs []error
	for i, t := range rs.Tables {
		if i > 0 && rs.Tables[i-1].Family >= t.Family {
			errs = append(errs, fmt.Errorf("table %s %s: out of order", t.Family, t.Name))
		}
		errs = append(errs, CheckProgram(t))
		for _, s := range t.Sets {
			errs = append(errs, CheckElements(t, s))
		}
	}
	return errors.Join(errs...)
}

// CheckProgram is the part of [Check] that does not depend on the elements of the sets, but for the verdicts' targets in
// the reachability of chains.
func CheckProgram(t *Table) error {
	c := &checker{table: t, sets: map[string]*Set{}, chains: map[string]*Chain{}, targets: map[string][]string{}}
	c.names()
	for _, s := range t.Sets {
		c.setType(s)
	}
	for _, ch := range t.Chains {
		for i := range ch.Rules {
			c.rule(ch, i)
		}
	}
	for _, ch := range t.Chains {
		if ch.Hook != nil {
			c.walk(ch, ch, nil)
		}
	}
	return errors.Join(c.errs...)
}

type checker struct {
	table   *Table
	sets    map[string]*Set
	chains  map[string]*Chain
	targets map[string][]string // verdict map → chains its elements go to
	errs    []error
}

func (c *checker) errorf(format string, args ...any) {
	prefix := fmt.Sprintf("table %s %s: ", c.table.Family, c.table.Name)
	c.errs = append(c.errs, fmt.Errorf(prefix+format, args...))
}

func (c *checker) names() {
	checkName := func(kind, name string) {
		if name == "" || len(name) > maxNameLen {
			c.errorf("%s %q: a name has 1 to %d bytes", kind, name, maxNameLen)
		}
	}
	checkName("table", c.table.Name)
	for _, s := range c.table.Sets {
		checkName("set", s.Name)
		if c.sets[s.Name] != nil {
			c.errorf("set %s: declared twice", s.Name)
		}
		c.sets[s.Name] = s
	}
	for _, ch := range c.table.Chains {
		checkName("chain", ch.Name)
		if c.chains[ch.Name] != nil {
			c.errorf("chain %s: declared twice", ch.Name)
		}
		c.chains[ch.Name] = ch
	}
}

func (c *checker) setType(s *Set) {
	addrs, ports := 0, 0
	for _, f := range s.Key {
		if f == VerdictField {
			c.errorf("set %s: a verdict is not a key", s.Name)
		}
		if f == AddrField {
			addrs++
		}
		if f == PortField {
			ports++
		}
	}
	switch {
	case len(s.Key) == 0:
		c.errorf("set %s: no key", s.Name)
	case addrs > 2:
		c.errorf("set %s: more than two addresses in a key", s.Name)
	case ports > 2:
		c.errorf("set %s: more than two ports in a key", s.Name)
	case s.Counter && (s.Interval || s.Dynamic):
		c.errorf("set %s: only the elements of static sets without intervals count", s.Name)
	case s.Interval && s.Key[len(s.Key)-1] != AddrField:
		c.errorf("set %s: an interval set ends in an address", s.Name)
	case s.Dynamic && s.IsVerdictMap():
		c.errorf("map %s: the packet path cannot write verdicts", s.Name)
	}
	if slices.Contains(s.Data, VerdictField) && !s.IsVerdictMap() {
		c.errorf("map %s: a verdict stands alone", s.Name)
	}
}

func (c *checker) rule(ch *Chain, i int) {
	protocol := false // the transport protocol has been matched
	for j, st := range ch.Rules[i].Stmts {
		where := fmt.Sprintf("chain %s rule %d", ch.Name, i+1)
		last := j == len(ch.Rules[i].Stmts)-1
		switch st := st.(type) {
		case Match:
			if !matches(st.X, st.Value) {
				c.errorf("%s: %T cannot be compared with %T", where, st.X, st.Value)
			}
			protocol = protocol || st.X == Expr(L4Proto{})
		case MatchSet:
			c.lookup(where, st.X, st.Set, nil, protocol)
		case LookupVerdict:
			c.lookup(where, st.X, st.Map, []Field{VerdictField}, protocol)
			c.end(where, last)
		case DNAT:
			c.lookup(where, st.X, st.Map, []Field{AddrField, PortField}, protocol)
			c.end(where, last)
		case Update:
			c.update(where, st, protocol)
		case Do:
			c.verdict(where, st.Verdict)
			c.end(where, last)
		case Masquerade, Reject:
			c.end(where, last)
		case Counter:
		default:
			panic(fmt.Sprintf("graph: unhandled statement %T", st))
		}
	}
	if len(ch.Rules[i].Stmts) == 0 {
		c.errorf("chain %s rule %d: empty", ch.Name, i+1)
	}
}

func (c *checker) end(where string, last bool) {
	if !last {
		c.errorf("%s: nothing can follow a verdict", where)
	}
}

func (c *checker) verdict(where string, v Verdict) {
	switch v.Op {
	case Jump, Goto:
		if c.chains[v.Chain] == nil {
			c.errorf("%s: no chain %q", where, v.Chain)
		} else if c.chains[v.Chain].Hook != nil {
			c.errorf("%s: %s is a base chain", where, v.Chain)
		}
	case Accept, Drop, Return:
		if v.Chain != "" {
			c.errorf("%s: %s takes no chain", where, v.Op)
		}
	default:
		c.errorf("%s: no verdict", where)
	}
}

func (c *checker) lookup(where string, x Expr, name string, data []Field, protocol bool) {
	s := c.sets[name]
	if s == nil {
		c.errorf("%s: no set %q", where, name)
		return
	}
	c.fields(where, "key of "+name, x, s.Key)
	if data == nil && s.IsMap() || data != nil && !slices.Equal(data, s.Data) {
		c.errorf("%s: %s holds other data than the lookup takes", where, name)
	}
	if !protocol && contains(x, CtOriginalDestPort) {
		c.errorf("%s: ct original proto-dst without a match of the protocol before it", where)
	}
}

func (c *checker) fields(where, what string, x Expr, want []Field) {
	got, err := FieldsOf(x)
	if err != nil {
		c.errorf("%s: %s: %w", where, what, err)
	} else if !slices.Equal(got, want) {
		c.errorf("%s: %s: wrong types", where, what)
	}
}

func (c *checker) update(where string, u Update, protocol bool) {
	s := c.sets[u.Map]
	if s == nil {
		c.errorf("%s: no map %q", where, u.Map)
		return
	}
	c.fields(where, "key of "+u.Map, u.Key, s.Key)
	c.fields(where, "data of "+u.Map, u.Data, s.Data)
	if !s.Dynamic {
		c.errorf("%s: %s is not dynamic", where, u.Map)
	}
	if u.Timeout <= 0 || !s.Timeout {
		c.errorf("%s: %s: an update without a timeout", where, u.Map)
	}
	if !protocol && contains(u.Key, CtOriginalDestPort) {
		c.errorf("%s: ct original proto-dst without a match of the protocol before it", where)
	}
}

func contains(x, part Expr) bool {
	switch x := x.(type) {
	case Concat:
		return slices.ContainsFunc(x, func(p Expr) bool { return contains(p, part) })
	case Masked:
		return contains(x.X, part)
	default:
		return x == part
	}
}

// walk follows a base chain through everything it can reach: no chain reaches itself, none is too deep, and what
// translates addresses is reached from hooks where that is possible.
func (c *checker) walk(base, ch *Chain, path []string) {
	if slices.Contains(path, ch.Name) {
		c.errorf("chain %s: reaches itself through %v", ch.Name, path)
		return
	}
	if len(path) > maxJumps {
		c.errorf("chain %s: more than %d jumps deep", ch.Name, maxJumps)
		return
	}
	path = append(path, ch.Name)
	for i := range ch.Rules {
		for _, st := range ch.Rules[i].Stmts {
			c.allowed(base, ch, st)
			for _, next := range c.next(st) {
				if to := c.chains[next]; to != nil && to.Hook == nil {
					c.walk(base, to, path)
				}
			}
		}
	}
}

// next are the chains that a statement can go to.
func (c *checker) next(st Stmt) []string {
	switch st := st.(type) {
	case Do:
		if st.Verdict.Chain != "" {
			return []string{st.Verdict.Chain}
		}
	case LookupVerdict:
		if s := c.sets[st.Map]; s != nil {
			return c.mapTargets(s)
		}
	case Match, MatchSet, DNAT, Masquerade, Reject, Counter, Update:
	}
	return nil
}

func (c *checker) mapTargets(s *Set) []string {
	if t, ok := c.targets[s.Name]; ok {
		return t
	}
	t := s.Elements.Targets()
	c.targets[s.Name] = t
	return t
}

// allowed checks that the kernel lets a statement run in the base chain it is reached from
// (net/netfilter/nft_nat.c, nft_masq.c, nft_reject_inet.c: validate).
func (c *checker) allowed(base, ch *Chain, st Stmt) {
	h := base.Hook
	ok := true
	switch st.(type) {
	case DNAT:
		ok = h.Type == NATChain && (h.Point == Prerouting || h.Point == Output)
	case Masquerade:
		ok = h.Type == NATChain && h.Point == Postrouting
	case Reject:
		ok = h.Type == FilterChain && h.Point != Postrouting
	case Match, MatchSet, LookupVerdict, Counter, Update, Do:
	}
	if !ok {
		c.errorf("chain %s: %T is not possible behind base chain %s (%s %s)", ch.Name, st, base.Name, h.Type, h.Point)
	}
}
