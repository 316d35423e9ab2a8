package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/diag"
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
// after it; a client of an endpoint that stays is not. So it is where the elements of large tables are not read, and where
// nobody is remembered any more afterwards.
func TestForgetGone(t *testing.T) {
	for name, tc := range map[string]struct {
		small int
		left  []string // the endpoints, of 10.1.0.1 and 10.1.0.2
		want  []string // the clients, of 192.0.2.1 and 192.0.2.2
	}{
		"one goes":                   {20_000, []string{"10.1.0.1:8080"}, []string{"192.0.2.1"}},
		"one goes of a large table":  {0, []string{"10.1.0.1:8080"}, []string{"192.0.2.1"}},
		"all go":                     {20_000, nil, nil},
		"all go of a large table":    {0, nil, nil},
		"none goes of a large table": {0, []string{"10.1.0.1:8080", "10.1.0.2:8080"}, []string{"192.0.2.1", "192.0.2.2"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func(was int) { smallTables = was }(smallTables)
			smallTables = tc.small
			target, _ := newTarget(t)
			compile := func(endpoints ...string) *graph.Ruleset {
				t.Helper()
				rs, err := target.cli.compile(affinityModel(endpoints...))
				if err != nil {
					t.Fatal(err)
				}
				target.expect(nil, rs)
				return rs
			}
			both, left := compile("10.1.0.1:8080", "10.1.0.2:8080"), compile(tc.left...)
			if _, err := target.apply(t.Context(), target.towards(both), false); err != nil {
				t.Fatal(err)
			}
			ch, err := target.apply(t.Context(), target.towards(left), false)
			if err != nil {
				t.Fatal(err)
			}
			learn(t, "192.0.2.1 . 10.96.0.1 . tcp . 80", "10.1.0.1 . 8080")
			learn(t, "192.0.2.2 . 10.96.0.1 . tcp . 80", "10.1.0.2 . 8080")
			if err := target.forgetGone(t.Context(), ch, left); err != nil {
				t.Fatal(err)
			}
			st, err := target.conn.Read(t.Context(), "svcctl")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for e := range st.Ruleset.Table(graph.IPv4).Set(graph.AffinityMap).Elements.All() {
				got = append(got, e.Key.Addr.String())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("remembered are %v, want %v", got, tc.want)
			}
		})
	}
}

// Where the elements are known and not read, clients that are remembered at an endpoint that goes are forgotten all the
// same, in the transaction that takes it away.
func TestForgetWithoutReading(t *testing.T) {
	target, _ := newTarget(t)
	var rulesets [2]*graph.Ruleset
	for i, endpoints := range [][]string{{"10.1.0.1:8080", "10.1.0.2:8080"}, {"10.1.0.1:8080"}} {
		var err error
		if rulesets[i], err = target.cli.compile(affinityModel(endpoints...)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := target.apply(t.Context(), target.towards(rulesets[0]), false); err != nil {
		t.Fatal(err)
	}
	learn(t, "192.0.2.1 . 10.96.0.1 . tcp . 80", "10.1.0.1 . 8080")
	learn(t, "192.0.2.2 . 10.96.0.1 . tcp . 80", "10.1.0.2 . 8080")
	st, err := target.survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	target.expected = []expectation{{rulesets[0], st.Generation}}
	ch, err := target.apply(t.Context(), target.towards(rulesets[1]), false)
	if err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, e := range ch.plan.Tables[0].Elements {
		if e.Set.Name == graph.AffinityMap {
			gone += e.Del.Len()
		}
	}
	if gone != 1 {
		t.Errorf("the transaction forgets %d clients, want one", gone)
	}
	if now, err := target.conn.Generation(t.Context()); err != nil || now != ch.generation {
		t.Errorf("the generation is %d (%v), said to be %d", now, err, ch.generation)
	}
}

// faultyCommitter carries out plans and loses the answers of the kernel.
type faultyCommitter struct {
	committer
	// commit stands for the commits one after the other; those beyond it are as they should be.
	commit []func(ctx context.Context, c committer, p *plan.Plan, generation uint32) error
	tries  int
}

func (f *faultyCommitter) Commit(ctx context.Context, p *plan.Plan, generation uint32) error {
	if f.tries++; f.tries > len(f.commit) {
		return f.committer.Commit(ctx, p, generation)
	}
	return f.commit[f.tries-1](ctx, f.committer, p, generation)
}

// Where the answer to a commit is lost, it is found out whether it is in force, and said what became of it: no more is
// done than needed, and nothing is said that is not so.
func TestApplyWithLostAnswers(t *testing.T) {
	lostInForce := func(ctx context.Context, c committer, p *plan.Plan, generation uint32) error {
		if err := c.Commit(ctx, p, generation); err != nil {
			return err
		}
		return &nft.LostAnswerError{Before: generation, After: generation + 1}
	}
	lostRefused := func(_ context.Context, _ committer, _ *plan.Plan, generation uint32) error {
		return &nft.LostAnswerError{Before: generation, After: generation}
	}
	lostWithGeneration := func(context.Context, committer, *plan.Plan, uint32) error {
		return &nft.LostAnswerError{Before: 7}
	}
	refused := func(context.Context, committer, *plan.Plan, uint32) error {
		return &nft.KernelError{Errno: unix.ENOMEM, What: "ip svcctl map services"}
	}
	disturbed := func(_ context.Context, _ committer, _ *plan.Plan, generation uint32) error {
		disturb(t)
		return &nft.LostAnswerError{Before: generation, After: generation + 1}
	}
	type commits = []func(context.Context, committer, *plan.Plan, uint32) error
	tests := []struct {
		name   string
		commit commits
		tries  int
		said   string // of the error, "" for none
		unsaid string
	}{
		{"in force", commits{lostInForce}, 1, "", ""},
		{"certainly not in force", commits{lostRefused, lostRefused}, 3, "", ""},
		{"not known, and not in force", commits{lostWithGeneration}, 2, "", ""},
		{"another's transaction in place of it", commits{disturbed}, 2, "", ""},
		{"certainly not in force, and then refused", commits{lostRefused, refused}, 2, "nothing was changed", "may be in force"},
		{"not in force, and then refused", commits{lostWithGeneration, refused}, 2, "may be in force", "tries"},
		{"another's transaction in place of it, and then refused", commits{disturbed, refused}, 2, "nothing was changed", "may be in force"},
		{"each time", slices.Repeat(commits{lostRefused}, maxTries), maxTries, "gave up after 20 tries", "may be in force"},
		{
			"each time, and nothing is known", slices.Repeat(commits{lostWithGeneration}, maxTries), maxTries,
			"may be in force", "nothing was changed",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target, desired := newTarget(t)
			f := &faultyCommitter{committer: target.conn, commit: tt.commit}
			target.committer = f
			towards := func(observed *graph.Ruleset) *plan.Plan { return plan.Diff(observed, desired) }
			ch, err := target.apply(t.Context(), towards, false)
			if f.tries != tt.tries {
				t.Errorf("%d commits, want %d", f.tries, tt.tries)
			}
			if tt.said != "" {
				if err == nil || !strings.Contains(err.Error(), tt.said) || strings.Contains(err.Error(), tt.unsaid) && tt.unsaid != "" {
					t.Errorf("got %v, want words of %q and none of %q", err, tt.said, tt.unsaid)
				} else if got := classify(t.Context(), err); got.code != exitSystem {
					t.Errorf("exit code %d, want %d", got.code, exitSystem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if ch.plan.Empty() || len(ch.observed.Tables) != 0 {
				t.Errorf("it is told that %+v changed, from %d tables", ch.plan.Count(), len(ch.observed.Tables))
			}
			st, err := target.conn.Read(t.Context(), "svcctl")
			if err != nil {
				t.Fatal(err)
			}
			if st.Generation != ch.generation || !plan.Diff(st.Ruleset, desired).Empty() {
				t.Errorf("generation %d, said to be %d; still to do %+v", st.Generation, ch.generation, plan.Diff(st.Ruleset, desired).Count())
			}
		})
	}
}

// An interruption while it is not known whether a change is in force does not end in "nothing was changed".
func TestInterruptedInDoubt(t *testing.T) {
	target, desired := newTarget(t)
	ctx, cancel := context.WithCancel(t.Context())
	target.committer = &faultyCommitter{committer: target.conn, commit: []func(context.Context, committer, *plan.Plan, uint32) error{
		func(ctx context.Context, c committer, p *plan.Plan, generation uint32) error {
			cancel()
			return &nft.LostAnswerError{Before: generation, After: generation + 1, Err: c.Commit(ctx, p, generation)}
		},
	}}
	ch, err := target.apply(ctx, func(observed *graph.Ruleset) *plan.Plan { return plan.Diff(observed, desired) }, false)
	if err != nil || ch.plan.Empty() {
		t.Errorf("got %v, want the change that is in force", err)
	}
}

// What the kernel refuses is told with its Service and line, what is in force, and what can be done about it.
func TestRefusalForAPerson(t *testing.T) {
	target, _ := newTarget(t)
	target.cli.config.AffinityMapSize = 4096
	model := affinityModel("10.1.0.1:8080")
	model.ServicePorts[0].Pos = diag.Pos{File: "services.yaml", Line: 14, Column: 5}
	desired, err := target.cli.compile(model)
	if err != nil {
		t.Fatal(err)
	}
	services := desired.Table(graph.IPv4).Set(graph.ServicesMap)
	elements := slices.Collect(services.Elements.All())
	elements[0].Data.Verdict.Chain = "nowhere"
	services.Elements = graph.ElementsOf(elements)
	_, err = target.apply(t.Context(), func(observed *graph.Ruleset) *plan.Plan { return plan.Diff(observed, desired) }, false)
	want := "the kernel refused service default/a (services.yaml:14:5): nothing was changed: " +
		"ip svcctl map services element 10.96.0.1 . tcp . 80: " +
		"it is not there, or what it refers to is not, or a module of the kernel is missing (ENOENT)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	kernel := func(errno unix.Errno, set string) *nft.KernelError {
		return &nft.KernelError{Errno: errno, What: "ip svcctl map " + set, Set: set}
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{kernel(unix.ENFILE, graph.AffinityMap), "the kernel refused the change: nothing was changed: ip svcctl map affinity: " +
			"the set is full (ENFILE): affinityMapSize in the configuration, now 4096, is how many clients it holds"},
		{kernel(unix.ENFILE, graph.EndpointsMap), "nothing was changed: ip svcctl map endpoints: the set is full (ENFILE): " +
			"svcctl makes its sets larger than it fills them, so that this is a defect of svcctl"},
		{kernel(unix.EBUSY, "hairpin"), "something still refers to it (EBUSY): look for what another program put there: nft list table ip svcctl"},
		{kernel(unix.ENOMEM, "hairpin"), "the kernel has no memory for it (ENOMEM): free memory, or raise the memory limit"},
		{kernel(unix.ERANGE, "hairpin"), "larger than the kernel takes (ERANGE): names in nftables have at most 255 bytes"},
		{kernel(unix.EINVAL, "hairpin"), "ip svcctl map hairpin: invalid argument"},
		{os.NewSyscallError("sendmsg", unix.ENOBUFS), "nothing was changed: sendmsg: no buffer space available: free memory"},
		{
			&nft.PartialError{Enacted: "larger sizes of sets", Err: kernel(unix.ENOMEM, "hairpin")},
			"the kernel refused the change: in force of it: larger sizes of sets: ip svcctl map hairpin: the kernel has no memory",
		},
		{nft.ErrPermission, "changing or reading nftables needs CAP_NET_ADMIN in the network namespace"},
	} {
		if got := target.refused(tt.err).Error(); !strings.Contains(got, tt.want) {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		if got := classify(t.Context(), target.refused(tt.err)); got.code != exitSystem {
			t.Errorf("%v: exit code %d", tt.err, got.code)
		}
	}
}

// A table that has to be made again keeps the clients it remembers, for as long as was left to them, whether the elements
// were read or are known.
func TestReplacementKeepsClients(t *testing.T) {
	for _, known := range []bool{false, true} {
		target, _ := newTarget(t)
		desired, err := target.cli.compile(affinityModel("10.1.0.1:8080"))
		if err != nil {
			t.Fatal(err)
		}
		towards := func(observed *graph.Ruleset) *plan.Plan { return plan.Diff(observed, desired) }
		if _, err := target.apply(t.Context(), towards, false); err != nil {
			t.Fatal(err)
		}
		learn(t, "192.0.2.1 . 10.96.0.1 . tcp . 80", "10.1.0.1 . 8080")
		learn(t, "192.0.2.2 . 10.96.0.1 . tcp . 80", "10.1.0.2 . 8080") // an endpoint that is not there
		if known {
			st, err := target.survey(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			target.expected = []expectation{{desired, st.Generation}}
		}
		desired, err = target.cli.compile(affinityModel("10.1.0.1:8080"))
		if err != nil {
			t.Fatal(err)
		}
		hairpin := desired.Table(graph.IPv4).Set("hairpin")
		hairpin.Key, hairpin.Elements = hairpin.Key[:1], graph.Elements{}
		hairpinRules(desired.Table(graph.IPv4))
		ch, err := target.apply(t.Context(), towards, false)
		if err != nil || len(ch.plan.Tables) != 1 || ch.plan.Tables[0].Op != plan.Replace {
			t.Fatalf("got %v, want the table replaced", err)
		}
		st, err := target.conn.Read(t.Context(), "svcctl")
		if err != nil {
			t.Fatal(err)
		}
		affinity := st.Ruleset.Table(graph.IPv4).Set(graph.AffinityMap)
		if affinity.Elements.Len() != 1 || affinity.Elements.KeyAt(0).Addr != netip.MustParseAddr("192.0.2.1") {
			t.Fatalf("known %v: remembered are %v; want the client of the endpoint that is there", known, affinity.Elements)
		}
		if l := affinity.Lifetimes[0]; l.Timeout != time.Hour || l.Expires > time.Hour || l.Expires < 59*time.Minute {
			t.Errorf("known %v: it is remembered for %+v", known, l)
		}
	}
}

// hairpinRules takes the rules that look up pairs of addresses out of a table.
func hairpinRules(t *graph.Table) {
	for _, c := range t.Chains {
		c.Rules = slices.DeleteFunc(c.Rules, func(r graph.Rule) bool {
			return slices.ContainsFunc(r.Stmts, func(s graph.Stmt) bool {
				m, ok := s.(graph.MatchSet)
				return ok && m.Set == "hairpin"
			})
		})
	}
}

// flusher removes all tables as soon as something is committed.
type flusher struct {
	committer
	t *testing.T
}

func (f flusher) Commit(ctx context.Context, p *plan.Plan, generation uint32) error {
	err := f.committer.Commit(ctx, p, generation)
	if out, err := exec.CommandContext(f.t.Context(), "nft", "flush ruleset").CombinedOutput(); err != nil {
		f.t.Fatalf("%v: %s", err, out)
	}
	return err
}

// Somebody who flushes everything right after the commit, before the elements are counted, is a conflict, and it is told that
// the change was made.
func TestFlushedAfterCommit(t *testing.T) {
	target, desired := newTarget(t)
	target.committer = flusher{target.committer, t}
	ch, err := target.converge(t.Context(), desired, false, nil)
	if ch == nil || !errors.Is(err, errMeddled) {
		t.Fatalf("got %v, %v", ch, err)
	}
	if code := classify(t.Context(), err).code; code != exitConflict {
		t.Errorf("exit code %d: %v", code, err)
	}
}
