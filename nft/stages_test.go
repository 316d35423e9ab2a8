package nft

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
	first, rest := got[0].plan.Tables[0], got[1].plan.Tables[0]
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

// Where a plan takes several transactions and a later one is refused, the error says what is in force, and the next plan
// puts it right.
func TestPartialError(t *testing.T) {
	refuse := func(t *testing.T, k kernel, edit func(w words, t *graph.Table, p *plan.TableChange)) (*Conn, *PartialError) {
		t.Helper()
		c := openPrivate(t)
		c.kernel = k
		was := &graph.Ruleset{Tables: []*graph.Table{programTable(graph.IPv4)}}
		commit(t, c, createPlan(plan.Create, was.Tables...))
		p := &plan.Plan{Tables: []plan.TableChange{{Op: plan.Update, Name: "svcctl"}}}
		edit(words{}, was.Tables[0], &p.Tables[0])
		before := read(t, c)
		err := c.Commit(t.Context(), p, before.Generation)
		var partial *PartialError
		var refused *KernelError
		if !errors.As(err, &partial) || !errors.As(err, &refused) {
			t.Fatalf("got %v, want a PartialError that wraps a KernelError", err)
		}
		if after := read(t, c); after.Generation != nextGeneration(before.Generation) {
			t.Errorf("%d transactions are in force, want 1", after.Generation-before.Generation)
		}
		return c, partial
	}
	nowhere := func(w words, t *graph.Table) []plan.ElementChange {
		return []plan.ElementChange{{
			Set: t.Set("services"), Add: w.verdicts(verdictAt{"10.96.0.7", graph.TCP, 80, gotoChain("nowhere")}),
		}}
	}
	grown := func(t *graph.Table) *graph.Set {
		s := *t.Set("services")
		s.Size *= 2
		return &s
	}
	heal := func(t *testing.T, c *Conn) {
		t.Helper()
		change(t, c, "the next apply", &graph.Ruleset{Tables: []*graph.Table{programTable(graph.IPv4)}})
	}
	t.Run("new chains", func(t *testing.T) {
		c, err := refuse(t, kernel{}, func(w words, t *graph.Table, p *plan.TableChange) {
			p.AddChains = []*graph.Chain{{Name: "random-2", Rules: tries(1, service, 2, 0)}}
			p.SetRules = p.AddChains
			p.Elements = nowhere(w, t)
		})
		if want := "new chains that nothing refers to"; err.Enacted != want {
			t.Errorf("in force are %q, want %q", err.Enacted, want)
		}
		if read(t, c).Ruleset.Tables[0].Chain("random-2") == nil {
			t.Error("the chain is not there")
		}
		heal(t, c)
	})
	t.Run("new chains and larger sets", func(t *testing.T) {
		c, err := refuse(t, kernel{}, func(w words, t *graph.Table, p *plan.TableChange) {
			p.AddChains = []*graph.Chain{{Name: "random-2", Rules: tries(1, service, 2, 0)}}
			p.SetRules = p.AddChains
			p.GrowSets = []*graph.Set{grown(t)}
			p.Elements = nowhere(w, t)
		})
		if want := "new chains that nothing refers to, and larger sizes of sets"; err.Enacted != want {
			t.Errorf("in force are %q, want %q", err.Enacted, want)
		}
		heal(t, c)
	})
	t.Run("larger sets", func(t *testing.T) {
		c, err := refuse(t, kernel{}, func(w words, t *graph.Table, p *plan.TableChange) {
			p.GrowSets = []*graph.Set{grown(t)}
			p.Elements = nowhere(w, t)
		})
		if want := "larger sizes of sets"; err.Enacted != want {
			t.Errorf("in force are %q, want %q", err.Enacted, want)
		}
		heal(t, c)
	})
	t.Run("all but the removal of chains", func(t *testing.T) {
		c, err := refuse(t, kernel{lateChains: true}, func(w words, t *graph.Table, p *plan.TableChange) {
			p.DelChains = []*graph.Chain{t.Chain("random-4")} // which services are still sent to
			p.Elements = []plan.ElementChange{{
				Set: t.Set("services"), Add: w.verdicts(verdictAt{"10.96.0.7", graph.TCP, 80, gotoChain("random-1")}),
			}}
		})
		if want := "all of it but the removal of chains that nothing refers to any more"; err.Enacted != want {
			t.Errorf("in force are %q, want %q", err.Enacted, want)
		}
		if !errors.Is(err, unix.EBUSY) {
			t.Errorf("got %v, want EBUSY", err)
		}
		added := func(e graph.Element) bool { return e.Key == (words{}).key("10.96.0.7", graph.TCP, 80) }
		if s := read(t, c).Ruleset.Tables[0].Set("services"); !slices.ContainsFunc(slices.Collect(s.Elements.All()), added) {
			t.Error("the element is not there")
		}
		heal(t, c)
	})
}

// On old kernels a chain that elements refer to goes late. The chain with the digest of what a table holds goes with the
// content that it describes: nothing refers to it.
func TestDigestIsNeverLate(t *testing.T) {
	digest := &graph.Chain{Name: graph.AppliedChain(strings.Repeat("0", 32))}
	shape := &graph.Chain{Name: "random-2"}
	late := kernel{lateChains: true}
	update := func(del ...*graph.Chain) *plan.Plan {
		return &plan.Plan{Tables: []plan.TableChange{{Op: plan.Update, Name: "svcctl", DelChains: del}}}
	}
	if got := stages(update(digest), late); len(got) != 1 {
		t.Errorf("the digest alone: %d transactions, want 1", len(got))
	}
	got := stages(update(digest, shape), late)
	if len(got) != 2 {
		t.Fatalf("%d transactions, want 2", len(got))
	}
	for i, want := range []*graph.Chain{digest, shape} {
		if del := got[i].plan.Tables[0].DelChains; len(del) != 1 || del[0] != want {
			t.Errorf("transaction %d deletes %v, want %s", i+1, del, want.Name)
		}
	}
}

// Another program that comes between two transactions of a plan is a conflict, and what is in force is said with it.
func TestConflictBetweenStages(t *testing.T) {
	c, w := openFaulty(t)
	want := &graph.Ruleset{Tables: []*graph.Table{programTable(graph.IPv4)}}
	commit(t, c, createPlan(plan.Create, want.Tables...))
	before := read(t, c)
	unchanged, err := c.Survey(t.Context(), "svcctl")
	if err != nil {
		t.Fatal(err)
	}
	table := want.Tables[0]
	table.Chains = append(table.Chains, &graph.Chain{Name: "random-2", Rules: tries(1, service, 2, 0)})
	editElement(table.Set("services"), 0, func(e *graph.Element) { e.Data.Verdict = gotoChain("random-2") })
	other, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	batches := 0
	w.onSend = func(d []byte) ([]byte, error) {
		if isBatch(d) {
			if batches++; batches == 2 {
				commit(t, other, createPlan(plan.Create, &graph.Table{Name: "foreign"}))
			}
		}
		return d, nil
	}
	err = c.Commit(t.Context(), plan.Diff(before.Ruleset, want), before.Generation)
	var partial *PartialError
	if !isConflict(err) || !errors.As(err, &partial) || partial.Enacted != "new chains that nothing refers to" || batches != 2 {
		t.Fatalf("got %v after %d transactions, want a conflict after the new chains", err, batches)
	}
	st, err := c.Survey(t.Context(), "svcctl")
	if err != nil {
		t.Fatal(err)
	}
	if st.Same(unchanged) {
		t.Error("a survey shows no difference, so that the plan would be sent once more as it is")
	}
	if chain := st.Ruleset.Tables[0].Chain("random-2"); chain == nil || len(chain.Rules) == 0 {
		t.Error("the new chain is not there")
	}
	change(t, c, "planned again", want)
}

// The generation after a commit is known without asking for it, however many transactions it takes.
func TestGenerationAfterCommit(t *testing.T) {
	c := openPrivate(t)
	want := program()
	chain := &graph.Chain{Name: "late", Rules: []graph.Rule{{Stmts: []graph.Stmt{graph.Counter{}}}}}
	with := program()
	with.Tables[0].Chains = append(with.Tables[0].Chains, chain)
	for i, p := range []*plan.Plan{plan.Diff(&graph.Ruleset{}, want), plan.Diff(want, with), plan.Diff(with, want)} {
		before, err := c.Generation(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(t.Context(), p, before); err != nil {
			t.Fatal(err)
		}
		if now, err := c.Generation(t.Context()); err != nil || now != c.After(p, before) {
			t.Errorf("plan %d: the generation is %d (%v), was said to be %d", i, now, err, c.After(p, before))
		}
	}
}
