package nft

import (
	"fmt"
	"slices"
	"testing"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// change commits what turns the kernel's ruleset into the wanted one and checks that it did.
func change(t *testing.T, c *Conn, step string, want *g.Ruleset) *plan.Plan {
	t.Helper()
	before := read(t, c)
	p := plan.Diff(before.Ruleset, want)
	if err := c.Commit(t.Context(), p, before.Generation); err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	after := read(t, c)
	if again := plan.Diff(after.Ruleset, want); !again.Empty() {
		t.Fatalf("%s: after the commit there is still to do: %+v", step, again)
	}
	if err := c.VerifyCounts(t.Context(), want); err != nil {
		t.Errorf("%s: %v", step, err)
	}
	return p
}

// editElement changes one element of a set.
func editElement(s *g.Set, i int, f func(*g.Element)) {
	elements := slices.Collect(s.Elements.All())
	f(&elements[i])
	s.Elements = g.ElementsOf(elements)
}

// TestUpdate walks through changes of every kind, each from the ruleset before it.
func TestUpdate(t *testing.T) {
	steps := []step{
		{"everything is new", func(words, *g.Table) {}},
		{"elements come and go", func(w words, t *g.Table) {
			s := t.Set("endpoints")
			s.Elements = s.Elements.Slice(3, s.Elements.Len())
			s.Elements.Append(w.endpoints(endpoint{"10.96.0.1", 80, 3, "10.1.1.2"}).At(0))
			ips := t.Set("cluster-ips")
			ips.Elements = ips.Elements.Slice(1, ips.Elements.Len())
			ips.Elements.Append(g.Element{Key: g.Key{Addr: w.a("203.0.113.5")}})
		}},
		{"data changes", func(_ words, t *g.Table) {
			s := t.Set("endpoints")
			for i := range s.Elements.Len() {
				editElement(s, i, func(e *g.Element) { e.Data.Port = 9090 })
			}
		}},
		{"ranges come and go", func(w words, t *g.Table) {
			t.Set("cluster-cidrs").Elements = w.ranges("10.96.0.0", "10.96.255.255", "203.0.113.9", "203.0.113.9")
			t.Set("node-port-addresses").Elements = w.ranges("0.0.0.0", "255.255.255.255")
			t.Set("source-ranges").Elements = g.ElementsOf([]g.Element{{Key: w.sourceRange("10.96.0.0", "10.96.255.255")}})
		}},
		{"a verdict changes", func(_ words, t *g.Table) {
			editElement(t.Set("services"), 0, func(e *g.Element) { e.Data.Verdict = gotoChain("random-1") })
		}},
		{"a shape comes with its verdicts", func(w words, t *g.Table) {
			t.Chains = append(t.Chains, &g.Chain{Name: "random-2", Rules: tries(1, service, 2, 0)})
			s := t.Set("services")
			editElement(s, 1, func(e *g.Element) { e.Data.Verdict = gotoChain("random-2") })
			s.Elements.Append(w.verdicts(verdictAt{"10.96.0.7", g.TCP, 80, gotoChain("random-2")}).At(0))
		}},
		{"a shape goes with its verdicts", func(_ words, t *g.Table) {
			t.Chains = slices.DeleteFunc(t.Chains, func(c *g.Chain) bool { return c.Name == "affinity-random-1" })
			s := t.Set("services")
			s.Elements = g.ElementsOf(slices.DeleteFunc(slices.Collect(s.Elements.All()), func(e g.Element) bool {
				return e.Data.Verdict.Chain == "affinity-random-1"
			}))
		}},
		{"a chain gets other rules", func(_ words, t *g.Table) {
			c := t.Chain("reject-new")
			c.Rules = []g.Rule{rule(do(g.Verdict{Op: g.Drop}))}
			t.Chain("filter-input").Rules = nil
			t.Chain("masquerade-always").Rules = append(t.Chain("masquerade-always").Rules, rule(do(g.Verdict{Op: g.Return})))
		}},
		{"two chains swap the direction of a jump", func(_ words, t *g.Table) {
			t.Chain("masquerade-always").Rules = []g.Rule{rule(do(jumpChain("masquerade-node-local")))}
		}},
		{"and swap it back", func(_ words, t *g.Table) {
			t.Chain("masquerade-always").Rules = []g.Rule{rule(g.Masquerade{})}
			t.Chain("masquerade-node-local").Rules = []g.Rule{rule(do(jumpChain("masquerade-always")))}
		}},
		{"a verdict map goes with its chain", func(_ words, t *g.Table) {
			t.Sets = slices.DeleteFunc(t.Sets, func(s *g.Set) bool { return s.Name == "affinity-timeouts" })
			t.Chain("learn").Rules = nil
			t.Chains = slices.DeleteFunc(t.Chains, func(c *g.Chain) bool { return c.Name == "learn-10800" })
		}},
		{"a chain goes with the sets that it looks up", func(_ words, t *g.Table) {
			t.Chain("filter-prerouting").Rules = nil
			t.Chains = slices.DeleteFunc(t.Chains, func(c *g.Chain) bool { return c.Name == "source-check" })
			t.Sets = slices.DeleteFunc(t.Sets, func(s *g.Set) bool {
				return s.Name == "restricted-services" || s.Name == "source-ranges"
			})
		}},
		{"a set grows and is filled", func(w words, t *g.Table) {
			s := t.Set("services")
			s.Size = 2 * s.Size
			for port := range uint16(s.Size - 100) {
				s.Elements.Append(w.verdicts(verdictAt{"10.96.0.9", g.SCTP, port, g.Verdict{Op: g.Accept}}).At(0))
			}
		}},
		{"a base chain gets another priority, and other rules", func(_ words, t *g.Table) {
			c := t.Chain("nat-prerouting")
			hook := *c.Hook
			hook.Priority -= 5
			c.Hook, c.Rules = &hook, append(slices.Clone(c.Rules), rule(g.Counter{}))
		}},
		{"base chains move to other hooks, and another type", func(_ words, t *g.Table) {
			t.Chain("filter-forward").Hook = &g.Hook{Type: g.FilterChain, Point: g.Prerouting, Priority: 7}
			t.Chain("filter-prerouting").Hook = &g.Hook{Type: g.NATChain, Point: g.Prerouting, Priority: 7}
		}},
		{"the type of a set changes", func(w words, t *g.Table) {
			s := t.Set("cluster-ips")
			s.Interval = true
			s.Elements = w.ranges("10.96.0.0", "10.96.255.255")
		}},
		{"the comment changes", func(_ words, t *g.Table) { t.Comment = "another" }},
	}
	for _, k := range []kernel{kernelOf("6.18"), kernelOf("6.2"), kernelOf("6.1")} {
		t.Run(fmt.Sprintf("%+v", k), func(t *testing.T) { walk(t, k, steps) })
	}
}

// step is a change of a ruleset.
type step struct {
	name string
	edit func(w words, t *g.Table)
}

func walk(t *testing.T, k kernel, steps []step) {
	t.Helper()
	c := openPrivate(t)
	c.kernel = k
	want := program()
	for _, s := range steps {
		for _, table := range want.Tables {
			s.edit(words{family: table.Family}, table)
			for _, set := range table.Sets {
				set.SortElements()
			}
		}
		if p := change(t, c, s.name, want); s.name != "everything is new" && p.Empty() {
			t.Errorf("%s: nothing changed", s.name)
		}
	}
	change(t, c, "everything goes", &g.Ruleset{})
	if s := read(t, c); len(s.Ruleset.Tables) != 0 {
		t.Errorf("after deletion there are %d tables", len(s.Ruleset.Tables))
	}
}

// TestDynamicElements deletes elements that the packet path may delete at the same time.
func TestDynamicElements(t *testing.T) {
	for _, plainDelete := range []bool{false, true} {
		c := openPrivate(t)
		c.kernel.plainDelete = plainDelete
		want := program()
		commit(t, c, createPlan(plan.Create, want.Tables...))
		table := want.Table(g.IPv4)
		w := words{family: g.IPv4}
		affinity := table.Set("affinity")
		learnt := func(client string) g.Element {
			k := w.key(client, g.TCP, 80)
			k.Peer = w.a("10.96.0.2")
			return g.Element{Key: k, Data: g.Data{Addr: w.a("10.1.1.2"), Port: 8080}}
		}
		elements := func(del, add []g.Element) *plan.Plan {
			return &plan.Plan{Tables: []plan.TableChange{{
				Op: plan.Update, Name: "svcctl", Elements: []plan.ElementChange{{Set: affinity, Del: g.ElementsOf(del), Add: g.ElementsOf(add)}},
			}}}
		}
		there, gone := learnt("198.51.100.0"), learnt("203.0.113.9")
		commit(t, c, elements(nil, []g.Element{there}))
		if got := read(t, c).Ruleset.Table(g.IPv4).Set("affinity").Elements; !got.Equal(g.ElementsOf([]g.Element{there})) {
			t.Fatalf("learnt: %v", got)
		}
		err := c.Commit(t.Context(), elements([]g.Element{there, gone}, nil), 0)
		got := read(t, c).Ruleset.Table(g.IPv4).Set("affinity").Elements
		switch {
		case plainDelete && (!isConflict(err) || got.Len() != 1):
			t.Errorf("kernels before Linux 6.3: got %v and %d elements, want a conflict and 1", err, got.Len())
		case !plainDelete && (err != nil || got.Len() != 0):
			t.Errorf("got %v and %d elements, want none of either", err, got.Len())
		}
	}
}
