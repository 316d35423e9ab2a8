package render

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

func planNFT(t testing.TB, p *plan.Plan) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := PlanNFT(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// edit gives both programs after a change to each table.
func edit(change func(p programBuilder, t *graph.Table)) *graph.Ruleset {
	rs := loadable(programs())
	for _, t := range rs.Tables {
		change(programBuilder{t.Family}, t)
		for _, s := range t.Sets {
			s.SortElements()
		}
	}
	return rs
}

// editElements changes the elements of a set.
func editElements(s *graph.Set, f func([]graph.Element) []graph.Element) {
	s.Elements = graph.ElementsOf(f(slices.Collect(s.Elements.All())))
}

// editEach changes every element of a set.
func editEach(s *graph.Set, f func(*graph.Element)) {
	editElements(s, func(elements []graph.Element) []graph.Element {
		for i := range elements {
			f(&elements[i])
		}
		return elements
	})
}

// The transitions that PlanNFT is tried on. None of them adds a dnat rule to a table that stays: nft 1.0.6 cannot.
var transitions = map[string]func(p programBuilder, t *graph.Table){
	"endpoint added": func(p programBuilder, t *graph.Table) {
		s := t.Set("endpoints")
		s.Elements.Append(p.endpoint("10.96.0.1", 80, 3, "10.1.4.2"))
	},
	"endpoint replaced": func(p programBuilder, t *graph.Table) {
		editElements(t.Set("endpoints"), func(e []graph.Element) []graph.Element {
			e[0].Data.Addr = p.addr("10.1.9.9")
			return e
		})
	},
	"shape changed": func(_ programBuilder, t *graph.Table) {
		editEach(t.Set("services"), func(e *graph.Element) { e.Data.Verdict.Chain = "random-1" })
	},
	"ranges": func(p programBuilder, t *graph.Table) {
		t.Set("cluster-cidrs").Elements = graph.ElementsOf(p.ranges("10.1.0.0", "10.1.127.255", "10.3.0.1", "10.3.0.7"))
		editElements(t.Set("source-ranges"), func(e []graph.Element) []graph.Element {
			e[0].Key.RangeTo = e[0].Key.Peer
			return e[:1]
		})
	},
	"new chain, map and rules": func(p programBuilder, t *graph.Table) {
		t.Sets = append(t.Sets, &graph.Set{
			Name: "learn-again", Key: serviceFields, Data: []graph.Field{graph.VerdictField}, Size: 64,
			Elements: graph.ElementsOf([]graph.Element{p.verdict("10.96.0.2", graph.TCP, 80, graph.Jump, "learn-60")}),
		})
		t.Chains = append(t.Chains, &graph.Chain{Name: "learn-60", Rules: []graph.Rule{ruleOf(isTCP, graph.Counter{})}})
		c := t.Chain("learn")
		c.Rules = append(c.Rules, ruleOf(isTCP, graph.LookupVerdict{X: originService, Map: "learn-again"}))
	},
	"chains and maps gone": func(_ programBuilder, t *graph.Table) {
		t.Set("services").Elements = graph.Elements{}
		t.Set("affinity-timeouts").Elements = graph.Elements{}
		gone := []string{
			"affinity-random-1", "affinity-random-4", "local-random-1-4", "learn-10800", "node-port-local-random-1-4",
		}
		t.Chains = slices.DeleteFunc(t.Chains, func(c *graph.Chain) bool { return slices.Contains(gone, c.Name) })
		t.Sets = slices.DeleteFunc(t.Sets, func(s *graph.Set) bool { return s.Name == "affinity" })
	},
	"another priority": func(_ programBuilder, t *graph.Table) {
		for _, c := range t.Chains {
			if c.Hook != nil && c.Hook.Type == graph.FilterChain {
				hook := *c.Hook
				hook.Priority++
				c.Hook = &hook
			}
		}
	},
	"replaced": func(_ programBuilder, t *graph.Table) {
		t.Comment = "another comment"
	},
}

// sortedListing lists tables in a way in which the order of chains and sets does not show.
const sortedListing = `nft -s list ruleset | tr '\n' '\f' | sed 's/\f\f/\n/g' | sort`

// Loaded over the old state, the script of a plan gives the new state.
func TestPlanNFTLeadsThere(t *testing.T) {
	before := loadable(programs())
	for name, change := range transitions {
		after := edit(change)
		for way, rs := range map[string][2]*graph.Ruleset{"": {before, after}, ", and back": {after, before}} {
			if strings.HasPrefix(name, "chains and maps gone") && way != "" {
				continue // needs dnat rules in a table that stays
			}
			t.Run(name+way, func(t *testing.T) {
				p := plan.Diff(rs[0], rs[1])
				if p.Empty() {
					t.Fatal("nothing changes")
				}
				files := map[string][]byte{
					"a.nft": nftText(t, rs[0]), "b.nft": nftText(t, rs[1]), "plan.nft": planNFT(t, p),
				}
				mustNetns(t, files, `
					nft -f b.nft; `+sortedListing+` >want; nft flush ruleset
					nft -f a.nft; nft -f plan.nft; `+sortedListing+` >got
					diff want got >&2`)
			})
		}
	}
}

// A table that is made again keeps what its packet path has learnt, in the script of the plan as in the transaction.
func TestPlanNFTKeeps(t *testing.T) {
	before := loadable(programs())
	affinity := before.Table(graph.IPv4).Set(graph.AffinityMap)
	if affinity == nil {
		t.Fatal("there is no affinity map to keep")
	}
	p := programBuilder{graph.IPv4}
	k := p.key("192.0.2.7", graph.TCP, 80)
	k.Peer = p.addr("10.96.0.2")
	learnt := *affinity
	endpoint := before.Table(graph.IPv4).Set(graph.EndpointsMap).Elements
	for e := range endpoint.All() {
		if e.Key.Addr == k.Peer {
			learnt.Elements = graph.ElementsOf([]graph.Element{{Key: k, Data: e.Data}})
		}
	}
	learnt.Lifetimes = []graph.Lifetime{{Timeout: 3 * time.Hour, Expires: 40 * time.Minute}}
	after := edit(func(_ programBuilder, t *graph.Table) { t.Comment = "another comment" })
	observed := loadable(programs())
	*observed.Table(graph.IPv4).Set(graph.AffinityMap) = learnt
	change := plan.Diff(observed, after)
	out := mustNetns(t, map[string][]byte{"a.nft": nftText(t, before), "plan.nft": planNFT(t, change)},
		"nft -f a.nft; nft -f plan.nft; nft list map ip svcctl affinity")
	if want := "192.0.2.7 . 10.96.0.2 . tcp . 80 timeout 3h expires 39m5"; !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
	text := showPlan(t, change, PlanOptions{})
	if want := "  ~ map affinity: keeps 1 element of the packet path's own\n"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	var b bytes.Buffer
	if err := PlanJSON(&b, change, nil, nil); err != nil || !strings.Contains(b.String(), `"kept": 1`) {
		t.Errorf("%v: no kept element in\n%s", err, b.String())
	}
}

// A base chain with another hook is shown as it was and as it will be, with its rules only where they change.
func TestPlanTextRemadeChain(t *testing.T) {
	hook := func(priority int32) *graph.Hook { return &graph.Hook{Point: graph.Input, Priority: priority} }
	table := func(priority int32, rules ...graph.Rule) *graph.Ruleset {
		return &graph.Ruleset{Tables: []*graph.Table{{Name: "svcctl", Chains: []*graph.Chain{
			{Name: "filter-input", Hook: hook(priority), Rules: rules},
		}}}}
	}
	observed, desired := table(0, ruleOf(isTCP)), table(5, ruleOf(isTCP))
	text := showPlan(t, plan.Diff(observed, desired), PlanOptions{Observed: observed})
	want := `table ip svcctl: update
  - chain filter-input { type filter hook input priority filter; policy accept; }
  + chain filter-input { type filter hook input priority 5; policy accept; }
0 elements added, 0 deleted, 1 chain
`
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	desired = table(5, ruleOf(graph.Counter{}))
	text = showPlan(t, plan.Diff(observed, desired), PlanOptions{Observed: observed})
	if want := "priority 5; policy accept; }\n    - meta l4proto tcp\n    + counter\n"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

// A plan that makes a table from nothing, dnat rules and all, and one that deletes it.
func TestPlanNFTCreateDelete(t *testing.T) {
	rs := loadable(programs())
	files := map[string][]byte{
		"all.nft":    nftText(t, rs),
		"create.nft": planNFT(t, plan.Diff(&graph.Ruleset{}, rs)),
		"delete.nft": planNFT(t, plan.Diff(rs, &graph.Ruleset{})),
	}
	left := mustNetns(t, files, `
		nft -f all.nft; `+sortedListing+` >want; nft flush ruleset
		nft -f create.nft; `+sortedListing+` >got
		diff want got >&2
		nft -f delete.nft; nft list ruleset`)
	if left != "" {
		t.Errorf("left over:\n%s", left)
	}
}

// A set gets a larger size by being declared again, on a kernel that can do that at all: what it does with a declaration
// written by hand decides.
func TestPlanNFTGrows(t *testing.T) {
	sized := func(n uint32) *graph.Ruleset {
		return edit(func(_ programBuilder, t *graph.Table) { t.Set("endpoints").Size, t.Set("services").Size = n, n })
	}
	files := map[string][]byte{
		"a.nft":    nftText(t, sized(64)),
		"plan.nft": planNFT(t, plan.Diff(sized(64), sized(128))),
		"hand.nft": []byte("add map ip svcctl services { type ipv4_addr . inet_proto . inet_service : verdict; size 128; }\n"),
	}
	if by := mustNetns(t, files, "nft -f a.nft; nft -f hand.nft; nft list ruleset"); !strings.Contains(by, "size 128") {
		t.Skip("this kernel keeps the size of a set that is there")
	}
	out := mustNetns(t, files, "nft -f a.nft; nft -f plan.nft; nft list ruleset")
	if n := strings.Count(out, "size 128"); n != 4 {
		t.Errorf("%d maps have grown, want 4", n)
	}
}

func showPlan(t testing.TB, p *plan.Plan, opts PlanOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := PlanText(&b, p, opts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// demoPlan is a change to a Service with one that goes, of which the observed side knows no owners.
func demoPlan() (observed, desired *graph.Ruleset) {
	v4 := func(change func(p programBuilder, t *graph.Table)) *graph.Ruleset {
		rs := &graph.Ruleset{Tables: edit(change).Tables[:1]}
		return rs
	}
	observed = v4(func(_ programBuilder, t *graph.Table) {
		for _, s := range t.Sets {
			editEach(s, func(e *graph.Element) { e.Owner, e.Pos = nil, diag.Pos{} })
		}
	})
	desired = v4(func(p programBuilder, t *graph.Table) {
		s := t.Set("endpoints")
		e := p.endpoint("10.96.0.1", 80, 3, "10.1.4.2")
		e.Owner = webOwner
		// slot 1 goes, slot 3 comes, slot 2 is another endpoint
		editElements(s, func(elements []graph.Element) []graph.Element {
			return slices.DeleteFunc(append(elements, e), func(e graph.Element) bool {
				return e.Key == graph.Key{Addr: p.addr("10.96.0.1"), Proto: graph.TCP, Port: 80, Slot: 1}
			})
		})
		editEach(s, func(e *graph.Element) {
			if e.Key.Addr == p.addr("10.96.0.1") && e.Key.Slot == 2 {
				e.Data.Addr = p.addr("10.1.5.2")
			}
		})
		s = t.Set("services")
		editElements(s, func(elements []graph.Element) []graph.Element {
			return slices.DeleteFunc(elements, func(e graph.Element) bool { return e.Key.Addr == p.addr("10.96.0.9") })
		})
		editEach(s, func(e *graph.Element) {
			if e.Key.Addr == p.addr("10.96.0.1") {
				e.Data.Verdict.Chain = "random-1"
			}
		})
		editElements(t.Set("cluster-cidrs"), func(elements []graph.Element) []graph.Element {
			return append(elements, p.ranges("10.2.0.0", "10.2.255.255")...)
		})
		t.Chain("masquerade-always").Rules = []graph.Rule{ruleOf(graph.Counter{}, graph.Masquerade{})}
	})
	return observed, desired
}

const demoPlanText = `table ip svcctl: update
  service demo/web port http
    ~ 10.96.0.1:80/tcp services: goto random-4 -> goto random-1
    - endpoint 10.1.2.2:8080  (10.96.0.1:80/tcp)
    - endpoint 10.1.3.2:8080  (10.96.0.1:80/tcp)
    + endpoint 10.1.4.2:8080  (10.96.0.1:80/tcp)
    + endpoint 10.1.5.2:8080  (10.96.0.1:80/tcp)
  service address 10.96.0.9:80/tcp
    - address 10.96.0.9:80/tcp  (goto affinity-random-1)
  set cluster-cidrs
    + 10.2.0.0/16
  ~ chain masquerade-always
    - masquerade fully-random
    + counter masquerade fully-random
2 elements added, 2 changed, 2 deleted, 1 chain
`

func TestPlanText(t *testing.T) {
	observed, desired := demoPlan()
	p := plan.Diff(observed, desired)
	opts := PlanOptions{Observed: observed, Desired: desired}
	if d := cmp.Diff(demoPlanText, showPlan(t, p, opts)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	opts.Color = true
	colored := showPlan(t, p, opts)
	if colored == demoPlanText {
		t.Error("no colour where it was asked for")
	}
	for _, sequence := range []string{"\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"} {
		if !strings.Contains(colored, sequence) {
			t.Errorf("no %q", sequence)
		}
		colored = strings.ReplaceAll(colored, sequence, "")
	}
	if d := cmp.Diff(demoPlanText, colored); d != "" {
		t.Errorf("colour changes the words (-want +got)\n%s", d)
	}
}

// Without the desired ruleset what is deleted is still listed, under the address where no other element names the
// Service.
func TestPlanTextUnowned(t *testing.T) {
	observed, desired := demoPlan()
	text := showPlan(t, plan.DeleteAll(observed), PlanOptions{})
	if text != "table ip svcctl: delete\n0 elements added, 0 deleted, 0 chains\n" {
		t.Errorf("deleting a table:\n%s", text)
	}
	text = showPlan(t, plan.Diff(desired, observed), PlanOptions{})
	if !strings.Contains(text, "  service demo/web port http\n") || !strings.Contains(text, "    + address 10.96.0.9:80/tcp") {
		t.Errorf("the way back:\n%s", text)
	}
	if text := showPlan(t, &plan.Plan{}, PlanOptions{}); text != "" {
		t.Errorf("an empty plan: %q", text)
	}
}

func TestPlanJSON(t *testing.T) {
	observed, desired := demoPlan()
	var b bytes.Buffer
	if err := PlanJSON(&b, plan.Diff(observed, desired), nil, nil); err != nil {
		t.Fatal(err)
	}
	var doc planDocument
	d := json.NewDecoder(&b)
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if want := (planSummary{2, 2, 2, 0, 1}); doc.Summary != want {
		t.Errorf("summary %+v, want %+v", doc.Summary, want)
	}
	want := planElement{
		Op: "change", Set: "services", Key: "10.96.0.1 . tcp . 80", Old: "goto random-4", New: "goto random-1",
		Owner: &planOwner{"demo/web", "http", "web.yaml:8"}, Pos: "web.yaml:8",
	}
	if !slices.ContainsFunc(doc.Tables[0].Elements, func(e planElement) bool { return cmp.Equal(e, want) }) {
		t.Errorf("no %+v in %+v", want, doc.Tables[0].Elements)
	}
	b.Reset()
	if err := PlanJSON(&b, &plan.Plan{}, nil, nil); err != nil || !strings.Contains(b.String(), `"tables": []`) {
		t.Errorf("an empty plan: %v\n%s", err, b.String())
	}
}

// Elements without a service address are shown as nft has them, under their owner; the tries of a new shape once.
func TestPlanTextCreate(t *testing.T) {
	rs := &graph.Ruleset{Tables: []*graph.Table{program(graph.IPv4)}}
	editEach(rs.Tables[0].Set("hairpin"), func(e *graph.Element) { e.Owner = webOwner })
	text := showPlan(t, plan.Diff(&graph.Ruleset{}, rs), PlanOptions{})
	for _, want := range []string{
		"table ip svcctl: create\n  service demo/web port http\n",
		"    + hairpin 10.1.1.2 . 10.1.1.2\n",
		"    + 203.0.113.9:80/tcp source-ranges 10.1.0.0/16\n",
		"  + chain random-1\n    + dnat to ip daddr . meta l4proto . th dport . numgen random mod 1 map @endpoints\n  + chain",
		"mod 4 map @endpoints  × 8\n",
		"  + chain nat-output { type nat hook output priority -100; policy accept; }\n    + goto dispatch\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Elements of the dynamic map belong to the service that the client talked to, not to the client.
func TestPlanTextAffinity(t *testing.T) {
	p := programBuilder{graph.IPv4}
	k := p.key("192.0.2.7", graph.TCP, 80)
	k.Peer = p.addr("10.96.0.2")
	set := program(graph.IPv4).Set(graph.AffinityMap)
	stale := graph.Element{Key: k, Data: graph.Data{Addr: p.addr("10.1.9.9"), Port: 8080}}
	text := showPlan(t, &plan.Plan{Tables: []plan.TableChange{{
		Op: plan.Update, Name: "svcctl", Elements: []plan.ElementChange{{Set: set, Del: graph.ElementsOf([]graph.Element{stale})}},
	}}}, PlanOptions{})
	want := "    - 10.96.0.2:80/tcp affinity 192.0.2.7: 10.1.9.9:8080\n"
	if !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

func TestUnifiedDiff(t *testing.T) {
	var b bytes.Buffer
	if err := UnifiedDiff(&b, "old.nft", "new.nft", []byte("a\nb\nc\n"), []byte("a\nB\nc\n")); err != nil {
		t.Fatal(err)
	}
	want := "--- old.nft\n+++ new.nft\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	if err := UnifiedDiff(&b, "x", "y", []byte("a\n"), []byte("a\n")); err != nil || b.Len() != 0 {
		t.Errorf("equal texts: %v %q", err, b.String())
	}
}

// Endpoints that come and go are told from those that only change slots, also where one has several.
func TestPlanTextSlots(t *testing.T) {
	rulesetOf := func(slots map[uint32]string) *graph.Ruleset {
		s := &graph.Set{
			Name: graph.EndpointsMap,
			Key:  []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.SlotField},
			Data: []graph.Field{graph.AddrField, graph.PortField},
		}
		for slot, addr := range slots {
			s.Elements.Append(graph.Element{
				Key:  graph.Key{Addr: netip.MustParseAddr("10.96.0.1"), Proto: graph.TCP, Port: 80, Slot: slot},
				Data: graph.Data{Addr: netip.MustParseAddr(addr), Port: 8080},
			})
		}
		s.SortElements()
		return &graph.Ruleset{Tables: []*graph.Table{{Name: "svcctl", Sets: []*graph.Set{s}}}}
	}
	cases := []struct {
		name          string
		before, after map[uint32]string
		want          []string
	}{
		{
			"one leaves, one moves",
			map[uint32]string{0: "10.1.1.2", 1: "10.1.2.2", 3: "10.1.3.2"},
			map[uint32]string{0: "10.1.1.2", 1: "10.1.3.2"},
			[]string{"- endpoint 10.1.2.2:8080  (10.96.0.1:80/tcp)", "~ 2 slots of 10.96.0.1:80/tcp for endpoints that stay"},
		},
		{
			"a weight shrinks",
			map[uint32]string{0: "10.1.1.2", 1: "10.1.1.2", 2: "10.1.2.2"},
			map[uint32]string{0: "10.1.1.2", 2: "10.1.2.2"},
			[]string{"~ 1 slot of 10.96.0.1:80/tcp for endpoints that stay"},
		},
		{
			"one comes",
			map[uint32]string{0: "10.1.1.2"},
			map[uint32]string{0: "10.1.1.2", 1: "10.1.2.2"},
			[]string{"+ endpoint 10.1.2.2:8080  (10.96.0.1:80/tcp)"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			observed, desired := rulesetOf(c.before), rulesetOf(c.after)
			text := showPlan(t, plan.Diff(observed, desired), PlanOptions{Observed: observed, Desired: desired})
			want := "table ip svcctl: update\n  service address 10.96.0.1:80/tcp\n    " + strings.Join(c.want, "\n    ") + "\n"
			if got := text[:strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n")+1]; got != want {
				t.Errorf("(-want +got)\n%s", cmp.Diff(want, got))
			}
		})
	}
}
