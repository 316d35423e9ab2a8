package plan

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Diff gives what turns the observed ruleset into the desired one. Applied to the observed ruleset the Plan gives the
// desired one; where they are the same already it is empty. Sets that are larger than they need to be stay so. Where the
// kernel does not give a set another size, a set that is large enough for its elements stays as it is.
//
// The elements of dynamic maps are the packet path's own. The Plan only removes those that remember an endpoint which is
// gone; own are the node's addresses: see [StaleAffinity].
func Diff(observed, desired *graph.Ruleset, own ...netip.Addr) *Plan {
	p := &Plan{}
	for _, f := range graph.Families {
		was, want := observed.Table(f), desired.Table(f)
		switch {
		case was == nil && want == nil:
		case want == nil:
			p.Tables = append(p.Tables, TableChange{Op: Delete, Family: f, Name: was.Name})
		case was == nil:
			p.Tables = append(p.Tables, build(Create, want))
		case mustReplace(was, want, observed.FixedSizes):
			c := build(Replace, want)
			c.Keep = keptElements(was, want, own)
			p.Tables = append(p.Tables, c)
		default:
			if c := update(was, want, own, observed.FixedSizes); !c.empty() {
				p.Tables = append(p.Tables, c)
			}
		}
	}
	return p
}

// ReplaceAll gives what makes the desired tables anew, whatever the observed ones hold: for tables that svcctl did not
// write and is told to take over.
func ReplaceAll(observed, desired *graph.Ruleset) *Plan {
	p := &Plan{}
	for _, want := range desired.Tables {
		op := Create
		if observed.Table(want.Family) != nil {
			op = Replace
		}
		p.Tables = append(p.Tables, build(op, want))
	}
	return p
}

// DeleteAll gives what removes every observed table.
func DeleteAll(observed *graph.Ruleset) *Plan {
	return Diff(observed, &graph.Ruleset{})
}

// build makes a table from nothing.
func build(op Op, want *graph.Table) TableChange {
	c := TableChange{
		Op: op, Family: want.Family, Name: want.Name, Comment: want.Comment,
		AddSets: want.Sets, AddChains: want.Chains,
	}
	for _, ch := range want.Chains {
		if len(ch.Rules) > 0 {
			c.SetRules = append(c.SetRules, ch)
		}
	}
	for _, s := range want.Sets {
		if s.Elements.Len() > 0 {
			c.Elements = append(c.Elements, ElementChange{Set: s, Add: s.Elements})
		}
	}
	return c
}

// mustReplace says whether some difference cannot be made in place: the kernel changes neither the comment of a table nor
// the type of a set, before Linux 6.5 not its size either, and what refers to a chain or a set would have to go first.
// (Nothing can refer to a base chain.)
func mustReplace(was, want *graph.Table, fixedSizes bool) bool {
	if was.Comment != want.Comment {
		return true
	}
	for _, s := range want.Sets {
		old := was.Set(s.Name)
		if old != nil && (!sameType(old, s) || fixedSizes && tooSmall(old, s)) {
			return true
		}
	}
	for _, ch := range want.Chains {
		if old := was.Chain(ch.Name); old != nil && (old.Hook == nil) != (ch.Hook == nil) {
			return true
		}
	}
	return false
}

// tooSmall reports whether a set is too small for what it should hold.
func tooSmall(was, want *graph.Set) bool {
	if want.Dynamic {
		return was.Size < want.Size
	}
	return was.Size != 0 && int(was.Size) < want.Elements.Len()
}

func sameType(a, b *graph.Set) bool {
	return slices.Equal(a.Key, b.Key) && slices.Equal(a.Data, b.Data) &&
		a.Interval == b.Interval && a.Dynamic == b.Dynamic && a.Timeout == b.Timeout && a.Counter == b.Counter
}

func update(was, want *graph.Table, own []netip.Addr, fixedSizes bool) TableChange {
	c := TableChange{Op: Update, Family: want.Family, Name: want.Name}
	for _, s := range want.Sets {
		old := was.Set(s.Name)
		if old == nil {
			c.AddSets = append(c.AddSets, s)
			old = &graph.Set{}
		} else if old.Size < s.Size && !fixedSizes {
			c.GrowSets = append(c.GrowSets, s)
		}
		if e := diffElements(old, s); !s.Dynamic && e.Add.Len()+e.Del.Len() > 0 {
			c.Elements = append(c.Elements, e)
		}
	}
	if e := staleAffinity(was, want, own); e.Del.Len() > 0 {
		c.Elements = append(c.Elements, e)
	}
	for _, ch := range want.Chains {
		old := was.Chain(ch.Name)
		if old == nil {
			c.AddChains = append(c.AddChains, ch)
			old = &graph.Chain{}
		} else if !reflect.DeepEqual(old.Hook, ch.Hook) {
			c.RemakeChains = append(c.RemakeChains, ch)
			old = &graph.Chain{}
		}
		if !SameRules(old.Rules, ch.Rules) {
			c.SetRules = append(c.SetRules, ch)
		}
	}
	for _, ch := range was.Chains {
		if want.Chain(ch.Name) == nil {
			c.DelChains = append(c.DelChains, ch)
		}
	}
	for _, s := range was.Sets {
		if want.Set(s.Name) == nil {
			c.DelSets = append(c.DelSets, s)
		}
	}
	return c
}

// SameRules reports whether two lists of rules do the same.
func SameRules(a, b []graph.Rule) bool {
	return slices.EqualFunc(a, b, func(x, y graph.Rule) bool { return reflect.DeepEqual(x.Stmts, y.Stmts) })
}

// diffElements walks both sorted lists once. A key with new data is deleted and added: the kernel refuses to add over
// other data (EEXIST).
func diffElements(was, want *graph.Set) ElementChange {
	c := ElementChange{Set: want}
	a, b := &was.Elements, &want.Elements
	i, j, n, m := 0, 0, was.Elements.Len(), want.Elements.Len()
	for {
		same := a.EqualRun(i, b, j)
		if i, j = i+same, j+same; i == n && j == m {
			return c
		}
		order := 0
		switch {
		case i == n:
			order = 1
		case j == m:
			order = -1
		default:
			order = a.CompareKeys(i, b, j)
		}
		if order <= 0 {
			c.Del.Append(a.At(i))
			i++
		}
		if order >= 0 {
			c.Add.Append(b.At(j))
			j++
		}
	}
}

func (c *TableChange) empty() bool {
	return len(c.AddSets)+len(c.GrowSets)+len(c.AddChains)+len(c.RemakeChains)+len(c.SetRules)+len(c.Elements)+
		len(c.DelChains)+len(c.DelSets) == 0
}
