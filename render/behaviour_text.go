package render

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// ReviewOptions say how a review is written.
type ReviewOptions struct {
	Color bool // ANSI colours
	// Summary leaves the details out: a line for each Service, and the sums.
	Summary bool
	// FlowsCut is how many flows of connection tracking carrying out the plan cuts; nil: not known.
	FlowsCut *int
}

// ReviewText writes a change for a reviewer: what it does to connections, Service by Service, the gravest first; then how
// much of the rules changes. An empty plan gives no text at all.
func ReviewText(w io.Writer, p *plan.Plan, d *behaviour.Diff, opts ReviewOptions) error {
	if p.Empty() {
		return nil
	}
	out := newWriter(w)
	t := planText{out: out, opts: PlanOptions{Color: opts.Color}}
	if opts.Summary {
		t.summary(d)
	} else {
		for _, g := range behaviourGroups(d) {
			t.behaviour(&g)
		}
	}
	out.str(verdictText(d), "\n")
	for _, l := range programLines(p) {
		t.line("", '~', l)
	}
	if opts.FlowsCut != nil && *opts.FlowsCut > 0 {
		out.str(flowsCutText(*opts.FlowsCut), "\n")
	}
	sums := sumPlan(p)
	out.str("rules: ", sums.text(), "\n")
	return out.close()
}

// behaviour writes what is different for a Service.
func (d *planText) behaviour(g *behaviourGroup) {
	d.heading(g.title)
	for _, b := range g.blocks {
		for _, h := range b.heads {
			d.line("  ", h.sign, h.text)
		}
		for _, l := range b.lines {
			d.line("      ", l.sign, l.text)
		}
	}
}

// summary writes a line for each Service, in columns.
func (d *planText) summary(diff *behaviour.Diff) {
	width := 0
	for i := range diff.Services {
		width = max(width, len(serviceCell(&diff.Services[i])))
	}
	for i := range diff.Services {
		s := &diff.Services[i]
		name := serviceCell(s)
		d.line("", summarySign(s), name+strings.Repeat(" ", width-len(name)+2)+summaryText(s))
	}
	if n := len(diff.Settings); n > 0 {
		d.line("", '~', "settings: "+count(n, "set of addresses")+" with other ranges")
	}
}

// serviceCell names a Service in a table.
func serviceCell(s *behaviour.ServiceDiff) string {
	if s.Service == "" {
		return "(not known)"
	}
	return plainLine(s.Service)
}

// summarySign tells Services that are only new from those that are only gone, and both from others.
func summarySign(s *behaviour.ServiceDiff) byte {
	switch sums := s.Sum(); len(s.Addresses) {
	case sums.Exposed:
		return '+'
	case sums.Withdrawn:
		return '-'
	default:
		return '~'
	}
}

// verdictText sums a difference up in a line.
func verdictText(d *behaviour.Diff) string {
	if d.Empty() {
		return "no service address behaves otherwise"
	}
	if len(d.Services) == 0 {
		return "no service changes, but settings do"
	}
	verb := " change: "
	if len(d.Services) == 1 {
		verb = " changes: "
		return "1 service" + verb + summaryText(&d.Services[0])
	}
	sums := d.Sum()
	return strconv.Itoa(len(d.Services)) + " services" + verb + sumsText(&sums, 0)
}

func flowsCutText(n int) string {
	if n == 1 {
		return "1 stale flow (UDP or SCTP) would be cut"
	}
	return strconv.Itoa(n) + " stale flows (UDP or SCTP) would be cut"
}

// programLines name chains of the program that are there and get other rules. svcctl never changes one: somebody else did,
// or another version wrote them, and then what packets did before may be something else than the elements say.
func programLines(p *plan.Plan) []string {
	var out []string
	for i := range p.Tables {
		t := &p.Tables[i]
		if t.Op == plan.Create || t.Op == plan.Delete {
			continue
		}
		var names []string
		for _, c := range slices.Concat(t.RemakeChains, t.SetRules) {
			added := slices.ContainsFunc(t.AddChains, func(a *graph.Chain) bool { return a.Name == c.Name })
			if (!added || c.Hook != nil) && !slices.Contains(names, plainLine(c.Name)) && t.Op == plan.Update {
				names = append(names, plainLine(c.Name))
			}
		}
		if t.Op == plan.Replace {
			out = append(out, "table "+t.Family.String()+" "+plainLine(t.Name)+" is made again")
		}
		if len(names) > 0 {
			out = append(out, "table "+t.Family.String()+" "+plainLine(t.Name)+": the program itself changes, in the "+
				"chains "+strings.Join(names, ", ")+" (-o rules shows how)")
		}
	}
	return out
}

// sumPlan counts what a plan changes.
func sumPlan(p *plan.Plan) planSums {
	var sums planSums
	for i := range p.Tables {
		t := &p.Tables[i]
		for j := range t.Elements {
			for _, e := range elementChanges(&t.Elements[j]) {
				sums.element(e)
			}
		}
		sums.sets += len(t.AddSets) + len(t.GrowSets) + len(t.DelSets)
		seen := map[string]bool{}
		for _, c := range slices.Concat(t.AddChains, t.RemakeChains, t.SetRules, t.DelChains) {
			if !seen[c.Name] {
				seen[c.Name] = true
				sums.chain(c)
			}
		}
	}
	return sums
}
