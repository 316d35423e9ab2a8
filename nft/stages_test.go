package nft

import (
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// A chain that packets are sent to by the change is there, with its rules, before the change: a packet on its way would
// find it empty. A base chain is not: packets reach it as soon as it is there.
func TestNewChainsComeFirst(t *testing.T) {
	shape := &graph.Chain{Name: "random-2", Rules: []graph.Rule{{Stmts: []graph.Stmt{graph.Counter{}}}}}
	base := &graph.Chain{Name: "nat-input", Hook: &graph.Hook{Type: graph.NATChain, Point: graph.Input}}
	changed := &graph.Chain{Name: "learn"}
	set := &graph.Set{Name: "services"}
	p := &plan.Plan{Tables: []plan.TableChange{{
		Op: plan.Update, Name: "svcctl",
		AddSets: []*graph.Set{set}, AddChains: []*graph.Chain{shape, base}, SetRules: []*graph.Chain{shape, changed},
		Elements: []plan.ElementChange{{Set: set, Add: graph.ElementsOf([]graph.Element{{}})}},
	}}}
	got := stages(p, kernel{})
	if len(got) != 2 {
		t.Fatalf("%d transactions, want 2", len(got))
	}
	first, rest := got[0].Tables[0], got[1].Tables[0]
	if len(first.AddSets) != 1 || len(first.AddChains) != 1 || first.AddChains[0] != shape ||
		len(first.SetRules) != 1 || first.SetRules[0] != shape || len(first.Elements) > 0 {
		t.Errorf("first: %+v", first)
	}
	if len(rest.AddSets) > 0 || len(rest.AddChains) != 1 || rest.AddChains[0] != base ||
		len(rest.SetRules) != 1 || rest.SetRules[0] != changed || len(rest.Elements) != 1 {
		t.Errorf("then: %+v", rest)
	}
	if len(p.Tables[0].AddChains) != 2 || len(p.Tables[0].SetRules) != 2 {
		t.Errorf("the plan itself was changed: %+v", p.Tables[0])
	}
	p.Tables[0].Op = plan.Create
	if got := stages(p, kernel{}); len(got) != 1 {
		t.Errorf("a new table in %d transactions: no packet is on its way through it", len(got))
	}
}
