package nft

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// TestForeign lets somebody else put all kinds of things into our table: each has to be noticed and undone.
func TestForeign(t *testing.T) {
	needNFT(t)
	tests := []struct {
		name, text string
		unknown    string // what is said about it; "" where the ruleset itself shows it
		invisible  bool   // nothing that the plan could see: it takes over the table as a whole
	}{
		{
			"a rule with a limit", "add rule ip svcctl learn limit rate 5/second accept",
			`chain learn rule 4: its expression "limit"`, false,
		},
		{
			"a rule with an anonymous set", "add rule ip svcctl learn ip saddr { 1.1.1.1, 2.2.2.2 } accept",
			`chain learn rule 4: its expression "lookup"`, false,
		},
		{
			"a rule with a mark", "add rule ip svcctl learn meta mark set 1",
			`chain learn rule 4: its expression "immediate"`, false,
		},
		{
			"a reply direction", "add rule ip svcctl learn ct reply ip saddr 1.1.1.1 accept",
			`chain learn rule 4: its expression "ct"`, false,
		},
		{
			"another port", "add rule ip svcctl learn th sport 1 accept",
			`chain learn rule 4: its expression "payload"`, false,
		},
		{
			"a comparison the other way", "add rule ip svcctl learn meta l4proto != tcp accept",
			`chain learn rule 4: its expression "cmp"`, false,
		},
		{
			"a state that is not new", "add rule ip svcctl learn ct state established accept",
			`chain learn rule 4: its expression "cmp"`, false,
		},
		{
			"an inverted verdict", "add rule ip svcctl reject-new reject with icmp admin-prohibited",
			`chain reject-new rule 3: its expression "reject"`, false,
		},
		{
			"a masquerade to ports", "add rule ip svcctl masquerade-always meta l4proto tcp masquerade to :1024-2048",
			`chain masquerade-always rule 2`, false,
		},
		{
			"a persistent masquerade", "add rule ip svcctl masquerade-always masquerade persistent",
			`chain masquerade-always rule 2: its expression "masq"`, false,
		},
		{
			"a translation of the source", "add rule ip svcctl masquerade-always snat to 1.1.1.1",
			`chain masquerade-always rule 2`, false,
		},
		{
			"an incremental number", "add rule ip svcctl random-1 numgen inc mod 2 0 accept",
			`chain random-1 rule 2: its expression "numgen"`, false,
		},
		{"a rule in between", "insert rule ip svcctl learn accept", "", false},
		{"a rule less", "flush chain ip svcctl learn", "", false},
		{"a chain", "add chain ip svcctl extra", "", false},
		{
			"a base chain that drops", "add chain ip svcctl extra { type filter hook input priority 5; policy drop; }",
			"chain extra: its chain policy", false,
		},
		{
			"a chain of another type", "add chain ip svcctl extra { type route hook output priority 5; }",
			"chain extra: its chain type", false,
		},
		{"a set", "add set ip svcctl extra { type ether_addr; }", "set extra: its key type", false},
		{"a set with counters", "add set ip svcctl extra { type ipv4_addr; counter; }", "", false},
		{"a set with quotas", "add set ip svcctl extra { type ipv4_addr; quota 9 bytes; }", "set extra: its elements do", false},
		{"a set with counters and quotas", "add set ip svcctl extra { type ipv4_addr; counter quota 9 bytes; }", "set extra: it has", false},
		{"a constant set", "add set ip svcctl extra { type ipv4_addr; flags constant; }", "set extra: it has flags", false},
		{"an element", "add element ip svcctl cluster-ips { 1.1.1.1 }", "", false},
		{"an element less", "delete element ip svcctl cluster-ips { 10.96.0.1 }", "", false},
		{
			"an element of a foreign protocol", "add element ip svcctl services { 1.1.1.1 . icmp . 0 : drop }",
			"set services: it has elements", false,
		},
		{
			"a verdict that continues", "add element ip svcctl services { 1.1.1.1 . tcp . 1 : continue }",
			"set services: it has elements", false,
		},
		{
			"a range of ports", "add element ip svcctl source-ranges { 1.1.1.1 . tcp . 1-5 . 1.1.1.1 }",
			"set source-ranges: it has elements", false,
		},
		{"an element for all", "add element ip svcctl cluster-ips { * }", "set cluster-ips: it has elements", false},
		{"a counter", "add counter ip svcctl extra", "object extra", true},
		{"a dormant table", "add table ip svcctl { flags dormant; }", "table ip svcctl: it is switched off", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openPrivate(t)
			want := &g.Ruleset{Tables: []*g.Table{programTable(g.IPv4)}}
			commit(t, c, createPlan(plan.Create, want.Tables...))
			nftCommand(t, tt.text, "-f", "-")
			s := read(t, c)
			if tt.unknown == "" {
				if len(s.Unknown) > 0 {
					t.Errorf("unknown: %q", s.Unknown)
				}
			} else if !slices.ContainsFunc(s.Unknown, func(u string) bool { return strings.Contains(u, tt.unknown) }) {
				t.Errorf("unknown is %q, want %q in it", s.Unknown, tt.unknown)
			}
			p := plan.Diff(s.Ruleset, want)
			if p.Empty() != tt.invisible {
				t.Errorf("the plan is empty: %t", p.Empty())
			}
			if tt.invisible {
				p = plan.ReplaceAll(s.Ruleset, want)
			}
			if err := c.Commit(t.Context(), p, s.Generation); err != nil {
				t.Fatal(err)
			}
			s = read(t, c)
			sameRuleset(t, want, s.Ruleset)
			if len(s.Unknown) > 0 {
				t.Errorf("after the repair: unknown: %q", s.Unknown)
			}
		})
	}
}

// TestReadUnderChange reads while another connection moves an element from one set to another and back without rest. It
// is always in one of them.
func TestReadUnderChange(t *testing.T) {
	c := openPrivate(t)
	other, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	addr := []g.Field{g.AddrField}
	element := g.ElementsOf([]g.Element{{Key: g.Key{Addr: netip.MustParseAddr("192.0.2.1")}}})
	table := &g.Table{Name: "svcctl", Sets: []*g.Set{{Name: "one", Key: addr, Elements: element}, {Name: "two", Key: addr}}}
	commit(t, c, createPlan(plan.Create, table))
	move := func(from, to *g.Set) *plan.Plan {
		return &plan.Plan{Tables: []plan.TableChange{{
			Op: plan.Update, Name: "svcctl",
			Elements: []plan.ElementChange{{Set: from, Del: element}, {Set: to, Add: element}},
		}}}
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() {
		var err error
		from, to := table.Sets[0], table.Sets[1]
		for ctx.Err() == nil && err == nil {
			err = other.Commit(t.Context(), move(from, to), 0)
			from, to = to, from
		}
		stopped <- errors.Join(err, other.Close())
	}()
	for range 2000 {
		s, err := c.Read(t.Context(), "svcctl")
		if isConflict(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		sets := s.Ruleset.Tables[0].Sets
		if n := sets[0].Elements.Len() + sets[1].Elements.Len(); n != 1 {
			t.Errorf("the element is there %d times", n)
			break
		}
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// givesUp is a context that ends after a number of questions.
type givesUp struct {
	context.Context
	left int
}

func (g *givesUp) Err() error {
	if g.left--; g.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestCancel gives up reading at every possible moment. What the kernel had still to say must not be taken for the answer
// to the next request.
func TestCancel(t *testing.T) {
	c := openPrivate(t)
	want := &g.Ruleset{Tables: []*g.Table{largeTable(3000)}}
	commit(t, c, createPlan(plan.Create, want.Tables...))
	for n := 0; ; n++ {
		_, err := c.Read(&givesUp{t.Context(), n}, "svcctl")
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("given up after %d questions: got %v", n, err)
		}
		if err := c.VerifyCounts(t.Context(), want); err != nil {
			t.Fatalf("given up after %d questions: %v", n, err)
		}
		if p := plan.Diff(read(t, c).Ruleset, want); !p.Empty() {
			t.Fatalf("given up after %d questions, the next reading differs: %+v", n, p.Count())
		}
	}
}

func TestVerifyCounts(t *testing.T) {
	c := openPrivate(t)
	want := program()
	commit(t, c, createPlan(plan.Create, want.Tables...))
	for _, edit := range []func(t *g.Table){
		func(t *g.Table) {
			s := t.Set("hairpin")
			s.Elements = s.Elements.Slice(1, s.Elements.Len())
		},
		func(t *g.Table) { t.Set("cluster-cidrs").Elements = g.Elements{} },
		func(t *g.Table) { t.Set("source-ranges").Elements = g.Elements{} },
		func(t *g.Table) { t.Sets = append(t.Sets, &g.Set{Name: "missing", Key: []g.Field{g.AddrField}}) },
	} {
		other := program()
		edit(other.Table(g.IPv6))
		var count *CountError
		if err := c.VerifyCounts(t.Context(), other); !errors.As(err, &count) {
			t.Errorf("got %v, want a CountError", err)
		}
	}
}

func TestKernelOf(t *testing.T) {
	for release, want := range map[string]kernel{
		"6.1.0-18-amd64": {plainDelete: true, lateChains: true, fixedSizes: true},
		"5.15.0":         {plainDelete: true, lateChains: true, fixedSizes: true},
		"6.2.16":         {plainDelete: true, fixedSizes: true},
		"6.3":            {fixedSizes: true},
		"6.5.1":          {},
		"7.0.0-rc1":      {},
		"":               {plainDelete: true, lateChains: true, fixedSizes: true},
	} {
		if got := kernelOf(release); got != want {
			t.Errorf("%q: got %+v, want %+v", release, got, want)
		}
	}
}
