package nft

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// applied commits the program with its digests and gives it, as it is in the kernel.
func applied(t *testing.T, c *Conn) *g.Ruleset {
	t.Helper()
	want := program()
	for _, table := range want.Tables {
		table.Chains = append(table.Chains, &g.Chain{Name: g.AppliedChain(table.Digest())})
	}
	if err := c.Commit(t.Context(), plan.Diff(&g.Ruleset{}, want), 0); err != nil {
		t.Fatal(err)
	}
	return want
}

func survey(t *testing.T, c *Conn) *State {
	t.Helper()
	st, err := c.Survey(t.Context(), "svcctl")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// A survey with what is known gives what reading gives.
func TestSurveyWithTheKnown(t *testing.T) {
	c := openPrivate(t)
	want := applied(t, c)
	read, err := c.Read(t.Context(), "svcctl")
	if err != nil {
		t.Fatal(err)
	}
	st := survey(t, c)
	for _, generation := range []uint32{0, st.Generation} {
		got, err := st.With(want, generation)
		if err != nil {
			t.Errorf("doubts at generation %d: %v", generation, err)
		}
		if d := cmp.Diff(read.Ruleset, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("survey (+) against read (-):\n%s", d)
		}
	}
}

// Whatever somebody else does to our tables, the survey shows it or doubts the elements.
func TestSurveyDoubts(t *testing.T) {
	needNFT(t)
	for name, tc := range map[string]struct{ script, doubt string }{
		"an element less": {
			"delete element ip svcctl cluster-ips { 10.96.0.1 }", "ip svcctl set cluster-ips: has 3 elements in the kernel, should have 4",
		},
		"an element more": {
			"add element ip6 svcctl service-cidrs { fd00:99::/64 }", "ip6 svcctl set service-cidrs: has 2 elements in the kernel",
		},
		"a set more":    {"add set ip svcctl mine { type ipv4_addr; }", "ip svcctl set mine should not be there"},
		"another table": {"add table ip6 other; delete table ip6 svcctl", "there are 1 tables, and should be 2"},
		"another digest": {
			"add chain ip svcctl applied-00112233445566778899aabbccddeeff", "table ip svcctl does not say what was applied to it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := openPrivate(t)
			known := applied(t, c)
			generation := survey(t, c).Generation
			nftCommand(t, tc.script, "-f", "-")
			_, err := survey(t, c).With(known, generation)
			if err == nil || !strings.Contains(err.Error(), tc.doubt) {
				t.Errorf("got %v; want %q", err, tc.doubt)
			}
		})
	}
	t.Run("a rule more", func(t *testing.T) {
		c := openPrivate(t)
		known := applied(t, c)
		nftCommand(t, "add rule ip svcctl unserved counter", "-f", "-")
		rs, err := survey(t, c).With(known, 0)
		if err != nil {
			t.Fatal(err)
		}
		if p := plan.Diff(rs, known); p.Empty() || len(p.Tables) != 1 || len(p.Tables[0].SetRules) != 1 {
			t.Errorf("the plan to mend it: %+v", p)
		}
	})
}

// What a later program applied is not taken for what is known, although the counts are the same.
func TestSurveyOfAnotherContent(t *testing.T) {
	c := openPrivate(t)
	known := applied(t, c)
	other := program()
	editElement(other.Tables[0].Set(g.EndpointsMap), 0, func(e *g.Element) { e.Data.Port++ })
	for _, table := range other.Tables {
		table.Chains = append(table.Chains, &g.Chain{Name: g.AppliedChain(table.Digest())})
	}
	if err := c.Commit(t.Context(), plan.Diff(known, other), 0); err != nil {
		t.Fatal(err)
	}
	var count *CountError
	if _, err := survey(t, c).With(known, 0); err == nil || errors.As(err, &count) {
		t.Errorf("got %v; want another digest and no other count", err)
	}
	if _, err := survey(t, c).With(other, 0); err != nil {
		t.Errorf("what is there is doubted: %v", err)
	}
}

func BenchmarkSurvey(b *testing.B) {
	c := openPrivate(b)
	rs := program()
	if err := c.Commit(b.Context(), plan.Diff(&g.Ruleset{}, rs), 0); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Survey(b.Context(), "svcctl"); err != nil {
			b.Fatal(err)
		}
	}
}
