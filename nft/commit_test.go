package nft

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

func commit(tb testing.TB, c *Conn, p *plan.Plan) {
	tb.Helper()
	if err := c.Commit(tb.Context(), p, 0); err != nil {
		tb.Fatal(err)
	}
}

func read(tb testing.TB, c *Conn) *State {
	tb.Helper()
	s, err := c.Read(tb.Context(), "svcctl")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// sameRuleset compares what the kernel can know of two rulesets.
func sameRuleset(tb testing.TB, want, got *g.Ruleset) {
	tb.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		tb.Errorf("ruleset (-want +got):\n%s", d)
	}
}

func TestRoundTrip(t *testing.T) {
	c := openPrivate(t)
	want := program()
	commit(t, c, createPlan(plan.Create, want.Tables...))
	s := read(t, c)
	sameRuleset(t, want, s.Ruleset)
	if len(s.Unknown) > 0 {
		t.Errorf("unknown: %q", s.Unknown)
	}
	if err := c.VerifyCounts(t.Context(), want); err != nil {
		t.Error(err)
	}
}
