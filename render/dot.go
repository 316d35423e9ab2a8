package render

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
)

// DOT writes the ruleset as a Graphviz digraph, a cluster per table: base chains where packets come in, chains with their
// rules, verdict maps with the chains their elements lead to, and the maps and sets that rules look up. Elements are
// counted, never listed, so the picture of ten services and that of ten thousand are the same but for the numbers.
func DOT(w io.Writer, rs *graph.Ruleset) error {
	out := newWriter(w)
	out.str("digraph svcctl {\n",
		"\trankdir=LR;\n",
		"\tnode [fontname=\"sans-serif\", fontsize=10, shape=box];\n",
		"\tedge [fontname=\"sans-serif\", fontsize=9];\n")
	for _, t := range rs.Tables {
		d := dotTable{out: out, t: t, prefix: t.Family.String() + " " + t.Name + " "}
		d.write()
	}
	out.str("}\n")
	return out.close()
}

// dotTable writes one table. Node names begin with the table, so that twins keep apart.
type dotTable struct {
	out    *writer
	t      *graph.Table
	prefix string
}

func (d *dotTable) write() {
	title := "table " + d.t.Family.String() + " " + d.t.Name
	d.out.str("\tsubgraph ", quoteDOT("cluster "+d.prefix), " {\n\t\tlabel=", quoteDOT(title), ";\n")
	for _, c := range d.t.Chains {
		if !c.CarriesDigest() { // nothing leads to it
			d.chain(c)
		}
	}
	for _, s := range d.t.Sets {
		d.set(s)
	}
	for _, c := range d.t.Chains {
		d.chainEdges(c)
	}
	for _, s := range d.t.Sets {
		d.verdictEdges(s)
	}
	d.out.str("\t}\n")
}

func (d *dotTable) chainNode(name string) string { return quoteDOT(d.prefix + "chain " + name) }

func (d *dotTable) setNode(name string) string { return quoteDOT(d.prefix + "set " + name) }

// chain writes a node with the rules of the chain.
func (d *dotTable) chain(c *graph.Chain) {
	lines := []string{"chain " + c.Name}
	style := ""
	if c.Hook != nil {
		lines = append(lines, fmt.Sprintf("%s %s, priority %s", c.Hook.Type, c.Hook.Point, priorityText(c.Hook)))
		style = ", style=filled, fillcolor=lightblue"
	}
	lines = append(lines, ruleRuns(d.t.Family, c.Rules)...)
	d.out.str("\t\t", d.chainNode(c.Name), " [label=", labelDOT(lines), style, "];\n")
}

func (d *dotTable) set(s *graph.Set) {
	count := strconv.Itoa(s.Elements.Len()) + " elements"
	switch {
	case s.Dynamic:
		count = "filled by packets"
	case s.Elements.Len() == 1:
		count = "1 element"
	}
	d.out.str("\t\t", d.setNode(s.Name), " [shape=cylinder, label=",
		labelDOT([]string{setWord(s) + " " + s.Name, setType(d.t.Family, s), count}), "];\n")
}

// dotEdge is where a rule leads.
type dotEdge struct {
	to, label string
	lookup    bool // into a set and back, or out through the verdict found there
}

// chainEdges writes an edge for each different thing that the rules of a chain lead to.
func (d *dotTable) chainEdges(c *graph.Chain) {
	var edges []dotEdge
	for _, r := range c.Rules {
		for _, s := range r.Stmts {
			if e, ok := d.edge(s); ok && !slices.Contains(edges, e) {
				edges = append(edges, e)
			}
		}
	}
	for _, e := range edges {
		style := ""
		if e.lookup {
			style = ", style=dashed"
		}
		d.out.str("\t\t", d.chainNode(c.Name), " -> ", e.to, " [label=", quoteDOT(e.label), style, "];\n")
	}
}

func (d *dotTable) edge(stmt graph.Stmt) (dotEdge, bool) {
	switch s := stmt.(type) {
	case graph.MatchSet:
		label := "in"
		if s.Not {
			label = "not in"
		}
		return dotEdge{d.setNode(s.Set), label, true}, true
	case graph.LookupVerdict:
		return dotEdge{d.setNode(s.Map), "vmap", true}, true
	case graph.DNAT:
		return dotEdge{d.setNode(s.Map), "dnat to", true}, true
	case graph.Update:
		return dotEdge{d.setNode(s.Map), "update", true}, true
	case graph.Do:
		return dotEdge{d.chainNode(s.Verdict.Chain), s.Verdict.Op.String(), false}, s.Verdict.Chain != ""
	case graph.Match, graph.Masquerade, graph.Reject, graph.Counter:
		return dotEdge{}, false
	default:
		panic(fmt.Sprintf("render: unhandled statement %T", stmt))
	}
}

// verdictEdges writes an edge from a verdict map to each chain its elements name, with the number of elements.
func (d *dotTable) verdictEdges(s *graph.Set) {
	if !s.IsVerdictMap() {
		return
	}
	counts := make(map[graph.Verdict]int)
	var verdicts []graph.Verdict
	for e := range s.Elements.All() {
		v := e.Data.Verdict
		if counts[v] == 0 && v.Chain != "" {
			verdicts = append(verdicts, v)
		}
		counts[v]++
	}
	slices.SortFunc(verdicts, func(a, b graph.Verdict) int { return strings.Compare(a.String(), b.String()) })
	for _, v := range verdicts {
		d.out.str("\t\t", d.setNode(s.Name), " -> ", d.chainNode(v.Chain),
			" [label=", quoteDOT(v.Op.String()+" × "+strconv.Itoa(counts[v])), "];\n")
	}
}

// labelDOT gives a label of several lines, left-aligned.
func labelDOT(lines []string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, l := range lines {
		b.WriteString(plainLine(l) + `\l`)
	}
	b.WriteByte('"')
	return b.String()
}

// quoteDOT quotes a name. What could end the quotes is replaced, the names of the program have none of it.
func quoteDOT(s string) string { return `"` + plainLine(s) + `"` }
