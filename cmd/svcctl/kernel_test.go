package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/config"
	"github.com/svcctl/svcctl/nft"
)

// newTarget connects to a network namespace of the test's own.
func newTarget(t *testing.T) (*target, *graph.Ruleset) {
	t.Helper()
	if ok, err := haveNamespaces(); err != nil {
		t.Fatal(err)
	} else if !ok {
		t.Skip("needs network namespaces")
	}
	if err := enterNamespace(); err != nil {
		t.Fatal(err)
	}
	c := &cli{
		env:    &environment{stderr: &bytes.Buffer{}, now: time.Now},
		log:    slog.New(slog.DiscardHandler),
		config: config.Config{Table: "svcctl", ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}},
	}
	desired, err := compiler.Compile(&resolve.Model{}, c.config.Compiler())
	if err != nil {
		t.Fatal(err)
	}
	target, err := c.openTarget(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.close)
	return target, desired
}

// disturb makes somebody else's change to nftables.
func disturb(t *testing.T) {
	t.Helper()
	const change = "add table inet other; delete table inet other"
	if out, err := exec.CommandContext(t.Context(), "nft", change).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// Somebody who changes other tables between our reading and our committing costs one more try, and not even a new plan.
// Somebody who never stops costs maxTries of them, and then it is a conflict and nothing was changed.
func TestApplyAgainstAnotherWriter(t *testing.T) {
	target, desired := newTarget(t)
	plans, left := 0, 0
	decide := func(observed *graph.Ruleset) *plan.Plan {
		plans++
		return plan.Diff(observed, desired)
	}
	target.cli.env.now = func() time.Time { // asked for at the last moment before a commit
		if left > 0 {
			left--
			disturb(t)
		}
		return time.Now()
	}
	left = maxTries
	_, err := target.apply(t.Context(), decide, false)
	if !errors.Is(err, nft.ErrConflict) || left != 0 || plans != 1 {
		t.Fatalf("got %v after %d tries and %d plans, want a conflict after %d tries and one plan", err, maxTries-left, plans, maxTries)
	}
	got := classify(t.Context(), err)
	if got.code != exitConflict || !strings.Contains(got.Error(), "gave up after 20 tries") {
		t.Errorf("it is told as %d %v", got.code, got)
	}
	if st, err := target.conn.Read(t.Context(), "svcctl"); err != nil || len(st.Ruleset.Tables) != 0 {
		t.Fatalf("after the conflict there are %d tables (%v), want none", len(st.Ruleset.Tables), err)
	}
	left, plans = maxTries-1, 0
	ch, err := target.apply(t.Context(), decide, false)
	if err != nil || ch.plan.Empty() || plans != 1 {
		t.Fatalf("the last try was undisturbed: got %v and %d plans", err, plans)
	}
	ch, err = target.apply(t.Context(), decide, false)
	if err != nil || !ch.plan.Empty() {
		t.Errorf("a second time: error %v, and a plan that is not empty", err)
	}
}

// Somebody who changes our own tables between our reading and our committing has the plan made anew.
func TestApplyPlansAgain(t *testing.T) {
	target, desired := newTarget(t)
	if _, err := target.apply(t.Context(), func(o *graph.Ruleset) *plan.Plan { return plan.Diff(o, desired) }, false); err != nil {
		t.Fatal(err)
	}
	more, err := target.cli.compile(affinityModel("10.1.0.1:8080"))
	if err != nil {
		t.Fatal(err)
	}
	disturbed := false
	target.cli.env.now = func() time.Time {
		if !disturbed {
			disturbed = true
			if out, err := exec.CommandContext(t.Context(), "nft", "add chain ip svcctl stranger").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		return time.Now()
	}
	plans := 0
	_, err = target.apply(t.Context(), func(o *graph.Ruleset) *plan.Plan {
		plans++
		return plan.Diff(o, more)
	}, false)
	if err != nil || plans != 2 {
		t.Fatalf("%v after %d plans, want two", err, plans)
	}
	st, err := target.conn.Read(t.Context(), "svcctl")
	if err != nil || st.Ruleset.Table(graph.IPv4).Chain("stranger") != nil || !plan.Diff(st.Ruleset, more).Empty() {
		t.Errorf("%v; the stranger's chain is still there, or something else is missing", err)
	}
}

// learn puts a client into the affinity map, as the packet path would.
func learn(t *testing.T, key, data string) {
	t.Helper()
	command := "add element ip svcctl affinity { " + key + " timeout 1h : " + data + " }"
	if out, err := exec.CommandContext(t.Context(), "nft", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// affinityModel is a Service with ClientIP affinity and these endpoints.
func affinityModel(endpoints ...string) *resolve.Model {
	svc := &resolve.Service{}
	svc.Ref.Kind, svc.Ref.Namespace, svc.Ref.Name = "service", "default", "a"
	sp := &resolve.ServicePort{
		Service: svc, Family: "IPv4", Protocol: "TCP", Affinity: time.Hour, HasEndpoints: true,
		Addresses: []resolve.Address{{Kind: resolve.ClusterIP, Addr: netip.MustParseAddr("10.96.0.1"), Port: 80}},
	}
	for _, e := range endpoints {
		sp.Cluster = append(sp.Cluster, resolve.Endpoint{Addr: netip.MustParseAddrPort(e)})
	}
	return &resolve.Model{Services: []*resolve.Service{svc}, ServicePorts: []*resolve.ServicePort{sp}}
}

// A client that is learnt between the reading and the commit, and whose endpoint goes with that commit, is forgotten
// after it; a client of an endpoint that stays is not.
func TestForgetGone(t *testing.T) {
	target, _ := newTarget(t)
	compile := func(endpoints ...string) *graph.Ruleset {
		t.Helper()
		rs, err := target.cli.compile(affinityModel(endpoints...))
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	both, one := compile("10.1.0.1:8080", "10.1.0.2:8080"), compile("10.1.0.1:8080")
	towards := func(desired *graph.Ruleset) planner {
		return func(observed *graph.Ruleset) *plan.Plan { return plan.Diff(observed, desired) }
	}
	if _, err := target.apply(t.Context(), towards(both), false); err != nil {
		t.Fatal(err)
	}
	ch, err := target.apply(t.Context(), towards(one), false)
	if err != nil {
		t.Fatal(err)
	}
	learn(t, "192.0.2.1 . 10.96.0.1 . tcp . 80", "10.1.0.1 . 8080")
	learn(t, "192.0.2.2 . 10.96.0.1 . tcp . 80", "10.1.0.2 . 8080")
	if err := target.forgetGone(t.Context(), ch, one); err != nil {
		t.Fatal(err)
	}
	st, err := target.conn.Read(t.Context(), "svcctl")
	if err != nil {
		t.Fatal(err)
	}
	left := st.Ruleset.Table(graph.IPv4).Set(graph.AffinityMap).Elements
	if left.Len() != 1 || left.KeyAt(0).Addr != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("remembered are %v; want the client of the endpoint that stays", left)
	}
}
