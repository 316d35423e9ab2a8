package render

import (
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// elementChange is what happens to one key of a set: exactly one of added, deleted or, with both, changed.
type elementChange struct {
	set      *graph.Set
	del, add *graph.Element
}

// elementChanges pairs the deletion and the addition of the same key, which together are one change to a reader. The
// order is that of the keys. Both lists are sorted, as all elements of the graph are.
func elementChanges(c *plan.ElementChange) []elementChange {
	out := make([]elementChange, 0, c.Del.Len()+c.Add.Len())
	i, j := 0, 0
	for i < c.Del.Len() || j < c.Add.Len() {
		order := 0
		switch {
		case i == c.Del.Len():
			order = 1
		case j == c.Add.Len():
			order = -1
		default:
			order = c.Del.CompareKeys(i, &c.Add, j)
		}
		e := elementChange{set: c.Set}
		if order <= 0 {
			del := c.Del.At(i)
			e.del = &del
			i++
		}
		if order >= 0 {
			add := c.Add.At(j)
			e.add = &add
			j++
		}
		out = append(out, e)
	}
	return out
}

// element gives the element as it will be, or as it was where it goes.
func (e elementChange) element() *graph.Element {
	if e.add != nil {
		return e.add
	}
	return e.del
}

// sign gives the rune of listings: + added, - deleted, ~ changed.
func (e elementChange) sign() byte {
	switch {
	case e.del == nil:
		return '+'
	case e.add == nil:
		return '-'
	default:
		return '~'
	}
}

// op gives the word for machines.
func (e elementChange) op() string {
	switch e.sign() {
	case '+':
		return "add"
	case '-':
		return "delete"
	default:
		return "change"
	}
}

// data gives what the element holds, before and after; "" where there is nothing, as always in a set.
func (e elementChange) data() (before, after string) {
	if !e.set.IsMap() {
		return "", ""
	}
	if e.del != nil {
		before = e.dataText(e.del)
	}
	if e.add != nil {
		after = e.dataText(e.add)
	}
	return before, after
}

// dataText gives a verdict as nft has it, and an endpoint as "10.1.0.31:80".
func (e elementChange) dataText(el *graph.Element) string {
	if e.set.IsVerdictMap() {
		return el.Data.Verdict.String()
	}
	return endpointText(el.Data)
}
