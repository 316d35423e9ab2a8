package golden

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/nft"
	"github.com/svcctl/svcctl/render"
)

// checkKernel takes a case into the kernel on both ways, netlink in one namespace and `nft -f` of the rendered text in
// another, and compares what nft lists in each. It also loads the listing again, reads the kernel back into a graph, and
// for a change applies the plan on both ways to the base.
func checkKernel(t *testing.T, r *result) {
	t.Helper()
	lab := netlab.Start(t, netlab.Options{})
	byNetlink, byText := lab.Node, lab.Client
	// nft 1.0.6 aborts while it parses an IPv6 map update with a concatenated key. The kernel takes it, and nft lists it:
	// the netlink way is tested with it below, the comparison of both ways is made without.
	loadable := withoutUpdates(r.desired)

	commit(t, byNetlink, plan.Diff(&graph.Ruleset{}, loadable))
	load(t, byText, render.NFT, loadable)
	listed := list(t, byNetlink)
	compareListings(t, "netlink and text", list(t, byText), listed)

	runScript(t, byText, "flush ruleset")
	runScript(t, byText, listed)
	compareListings(t, "load, list, load", listed, list(t, byText))

	commit(t, byNetlink, plan.Diff(observe(t, byNetlink, r.desired), r.desired))
	if again := plan.Diff(observe(t, byNetlink, r.desired), r.desired); !again.Empty() {
		var b bytes.Buffer
		_ = render.PlanText(&b, again, render.PlanOptions{})
		t.Errorf("after the commit something still differs:\n%s", b.String())
	}
	if r.base != nil {
		checkChange(t, byNetlink, byText, r)
	}
}

// checkChange applies the base and then the plan, over netlink and as text: both must give the desired state.
func checkChange(t *testing.T, byNetlink, byText *netlab.Namespace, r *result) {
	t.Helper()
	runScript(t, byNetlink, "flush ruleset")
	runScript(t, byText, "flush ruleset")
	base, desired := withoutUpdates(r.base), withoutUpdates(r.desired)
	change := plan.Diff(base, desired)

	commit(t, byNetlink, plan.Diff(&graph.Ruleset{}, base))
	commit(t, byNetlink, change)
	got := sorted(list(t, byNetlink))
	// nft 1.0.6 loads no new dnat rule whose map is in the kernel already (see render.PlanNFT): such a change is only
	// compared with a fresh start.
	if !newTranslations(change) {
		load(t, byText, render.NFT, base)
		load(t, byText, render.PlanNFT, change)
		compareListings(t, "the plan over netlink and as text", sorted(list(t, byText)), got)
		runScript(t, byText, "flush ruleset")
	}
	load(t, byText, render.NFT, desired)
	compareListings(t, "changed and fresh", sorted(list(t, byText)), got)
}

func commit(t *testing.T, ns *netlab.Namespace, p *plan.Plan) {
	t.Helper()
	c := open(t, ns)
	if err := c.Commit(t.Context(), p, 0); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func observe(t *testing.T, ns *netlab.Namespace, rs *graph.Ruleset) *graph.Ruleset {
	t.Helper()
	state, err := open(t, ns).Read(t.Context(), rs.Tables[0].Name)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if len(state.Unknown) > 0 {
		t.Errorf("read: not understood: %v", state.Unknown)
	}
	return state.Ruleset
}

func open(t *testing.T, ns *netlab.Namespace) *nft.Conn {
	t.Helper()
	c, err := nft.Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func load[T any](t *testing.T, ns *netlab.Namespace, write func(io.Writer, T) error, what T) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, what); err != nil {
		t.Fatal(err)
	}
	if out, err := ns.Run(t.Context(), b.String(), "nft", "-c", "-f", "-"); err != nil {
		t.Fatalf("nft -c: %v: %s", err, out)
	}
	runScript(t, ns, b.String())
}

func runScript(t *testing.T, ns *netlab.Namespace, script string) {
	t.Helper()
	if out, err := ns.Run(t.Context(), script, "nft", "-f", "-"); err != nil {
		t.Fatalf("nft -f: %v: %s", err, out)
	}
}

func list(t *testing.T, ns *netlab.Namespace) string {
	t.Helper()
	out, err := ns.Run(t.Context(), "", "nft", "list", "ruleset")
	if err != nil {
		t.Fatalf("nft list: %v: %s", err, out)
	}
	return out
}

func compareListings(t *testing.T, what, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	var b bytes.Buffer
	_ = render.UnifiedDiff(&b, "want", "got", []byte(want), []byte(got))
	t.Errorf("%s: the listings differ:\n%s", what, b.String())
}

var blocks = regexp.MustCompile(`(?ms)^\t(?:set|map|chain) .*?^\t}\n`)

// sorted gives a listing with its sets, maps and chains in order of their names: a change appends what it adds.
func sorted(listing string) string {
	found := blocks.FindAllString(listing, -1)
	slices.Sort(found)
	return blocks.ReplaceAllString(listing, "") + strings.Join(found, "")
}

func newTranslations(p *plan.Plan) bool {
	for _, t := range p.Tables {
		for _, ch := range t.SetRules {
			for _, r := range ch.Rules {
				if slices.ContainsFunc(r.Stmts, func(s graph.Stmt) bool { _, ok := s.(graph.DNAT); return ok }) {
					return true
				}
			}
		}
	}
	return false
}

// withoutUpdates gives the ruleset without the rules that write a map from the packet path, in its IPv6 table.
func withoutUpdates(rs *graph.Ruleset) *graph.Ruleset {
	out := &graph.Ruleset{}
	for _, t := range rs.Tables {
		if t.Family != graph.IPv6 {
			out.Tables = append(out.Tables, t)
			continue
		}
		c := *t
		c.Chains = nil
		for _, ch := range t.Chains {
			ch := *ch
			ch.Rules = slices.DeleteFunc(slices.Clone(ch.Rules), func(r graph.Rule) bool {
				return slices.ContainsFunc(r.Stmts, func(s graph.Stmt) bool { _, ok := s.(graph.Update); return ok })
			})
			c.Chains = append(c.Chains, &ch)
		}
		out.Tables = append(out.Tables, &c)
	}
	return out
}
