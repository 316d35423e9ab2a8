package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// PlanNFT writes a plan as a script of nft statements: loaded with nft -f into a kernel that holds the observed ruleset,
// it leaves the desired one, in one transaction.
//
// nft 1.0.6 loads the elements, sets, maps and chains of any plan, but no new dnat rule that uses a map it has to read
// from the kernel first: it forgets that th in the type of such a map stands for any protocol and reports "conflicting
// protocols specified: ip vs. th". There [NFT] is what to load: it declares the map in the same script.
func PlanNFT(w io.Writer, p *plan.Plan) error {
	out := newWriter(w)
	for i := range p.Tables {
		t := &p.Tables[i]
		if err := checkChangeNames(t); err != nil {
			out.fail(err)
			break
		}
		writeTableChange(out, t)
	}
	return out.close()
}

// checkChangeNames checks the names in a change as those of a table.
func checkChangeNames(t *plan.TableChange) error {
	sets := slices.Concat(t.AddSets, t.GrowSets, t.DelSets)
	for i := range t.Elements {
		sets = append(sets, t.Elements[i].Set)
	}
	for i := range t.Keep {
		sets = append(sets, t.Keep[i].Set)
	}
	chains := slices.Concat(t.AddChains, t.RemakeChains, t.SetRules, t.DelChains)
	return checkNames(&graph.Table{Family: t.Family, Name: t.Name, Comment: t.Comment, Sets: sets, Chains: chains})
}

func writeTableChange(out *writer, t *plan.TableChange) {
	name := t.Family.String() + " " + t.Name
	switch t.Op {
	case plan.Create:
		writeAddTable(out, name, t.Comment)
	case plan.Replace:
		out.str("add table ", name, "\ndelete table ", name, "\n")
		writeAddTable(out, name, t.Comment)
	case plan.Delete:
		out.str("delete table ", name, "\n")
		return
	case plan.Update:
	}
	// A set that is there already gets its new size by being declared once more.
	for _, s := range slices.Concat(t.AddSets, t.GrowSets) {
		out.str("add ", setWord(s), " ", name, " ", s.Name, " { ", strings.Join(setLines(t.Family, s), "; "), "; }\n")
	}
	for _, c := range t.AddChains {
		writeAddChain(out, name, c)
	}
	writeRuleCommands(out, name, t)
	for i := range t.Elements {
		writeDeleteElements(out, name, &t.Elements[i])
		writeAddElements(out, name, &t.Elements[i])
	}
	for i := range t.Keep {
		writeKeptElements(out, name, &t.Keep[i])
	}
	writeDeletions(out, name, t)
}

func writeAddTable(out *writer, name, comment string) {
	out.str("add table ", name)
	if comment != "" {
		out.str(" { comment \"", comment, "\"; }")
	}
	out.str("\n")
}

func writeAddChain(out *writer, table string, c *graph.Chain) {
	out.str("add chain ", table, " ", c.Name)
	if c.Hook != nil {
		out.str(" { ", hookText(c.Hook), " }")
	}
	out.str("\n")
}

func writeRuleCommands(out *writer, name string, t *plan.TableChange) {
	created := make(map[string]bool, len(t.AddChains))
	for _, c := range t.AddChains {
		created[c.Name] = true
	}
	for _, c := range t.RemakeChains {
		created[c.Name] = true
		out.str("flush chain ", name, " ", c.Name, "\ndelete chain ", name, " ", c.Name, "\n")
		writeAddChain(out, name, c)
	}
	for _, c := range t.SetRules {
		if !created[c.Name] {
			out.str("flush chain ", name, " ", c.Name, "\n")
		}
		for _, r := range c.Rules {
			out.str("add rule ", name, " ", c.Name, " ")
			out.buf = appendRule(out.buf, t.Family, r)
			out.str("\n")
		}
	}
}

// writeDeleteElements names elements by their keys: what they hold is of no account.
func writeDeleteElements(out *writer, table string, e *plan.ElementChange) {
	if e.Del.Len() == 0 {
		return
	}
	out.str("delete element ", table, " ", e.Set.Name, " {\n")
	for del := range e.Del.All() {
		out.buf = append(appendKey(append(out.buf, '\t'), e.Set, &del.Key), ",\n"...)
		out.spill()
	}
	out.str("}\n")
}

func writeAddElements(out *writer, table string, e *plan.ElementChange) {
	if e.Add.Len() == 0 {
		return
	}
	out.str("add element ", table, " ", e.Set.Name, " {\n")
	writeElements(out, "\t", e.Set, e.Add)
	out.str("}\n")
}

// writeKeptElements gives elements the time that was left to them.
func writeKeptElements(out *writer, table string, k *plan.KeptElements) {
	out.str("add element ", table, " ", k.Set.Name, " {\n")
	for i, l := range k.Lifetimes {
		e := k.Elements.At(i)
		out.buf = appendKey(append(out.buf, '\t'), k.Set, &e.Key)
		if l.Timeout > 0 {
			out.buf = fmt.Appendf(out.buf, " timeout %dms expires %dms", l.Timeout.Milliseconds(), l.Expires.Milliseconds())
		}
		if k.Set.IsMap() {
			out.buf = appendData(append(out.buf, " : "...), k.Set, &e.Data)
		}
		out.buf = append(out.buf, ",\n"...)
		out.spill()
	}
	out.str("}\n")
}

// writeDeletions empties all chains first, since they may lead to one another and use the sets. Sets go before chains: a
// verdict map holds on to the chains that its elements name.
func writeDeletions(out *writer, name string, t *plan.TableChange) {
	for _, c := range t.DelChains {
		out.str("flush chain ", name, " ", c.Name, "\n")
	}
	for _, s := range t.DelSets {
		out.str("delete ", setWord(s), " ", name, " ", s.Name, "\n")
	}
	for _, c := range t.DelChains {
		out.str("delete chain ", name, " ", c.Name, "\n")
	}
}
