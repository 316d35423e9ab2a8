package nft

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// Answer is what a probe found out.
type Answer uint8

// The answers.
const (
	CannotTell Answer = iota // it could not be tried; Probe.Why says why
	Yes
	No
)

// Probe is whether the kernel has a feature, found by trying it.
type Probe struct {
	Feature Feature
	Family  graph.Family
	Answer  Answer
	Why     string // of No and CannotTell
}

// Feature is something of the kernel that svcctl uses.
type Feature string

// The features without which there are no rules. A distribution may have any of them in a module that is not installed.
const (
	FeatureTables     Feature = "tables"     // nf_tables
	FeatureMaps       Feature = "maps"       // maps and verdict maps with concatenated keys
	FeatureNAT        Feature = "nat"        // NAT chains and dnat by a map
	FeatureRandom     Feature = "random"     // numgen
	FeatureConntrack  Feature = "conntrack"  // ct state, status and the original destination
	FeatureAddrType   Feature = "addrtype"   // fib
	FeatureMasquerade Feature = "masquerade" // masquerade with random ports
	FeatureReject     Feature = "reject"
	FeatureAffinity   Feature = "affinity"      // maps that packets write to, with timeouts
	FeatureRanges     Feature = "source-ranges" // sets of ranges with concatenated keys
)

// The features that only some services or settings use.
const (
	FeatureHash     Feature = "source-hash" // jhash
	FeatureCounters Feature = "counters"    // sets whose elements count
)

// The features without which svcctl takes another way.
const (
	FeatureResize     Feature = "set-resize"    // a set in use gets another size
	FeatureDestroy    Feature = "destroy"       // an element is deleted if it is there
	FeatureDropChains Feature = "chain-removal" // a chain goes in one transaction with the last element that leads to it
)

// Features tries every feature. Nothing stays of what is tried: it is done in a network namespace of its own, which ends
// with the trial. Where making one is not allowed, the transactions go to the given namespace without their end, so that
// the kernel checks them and aborts them, as for "nft --check"; what takes a commit to find out is then not known. The
// kernel may load modules that have what is asked for, as it would at the first apply.
func Features(ctx context.Context, netns string) []Probe {
	var out []Probe
	p, err := openProber(netns)
	if err == nil {
		defer p.close()
		p.all = p.takesAll()
	}
	for _, f := range graph.Families {
		for _, t := range trials {
			probe := Probe{Feature: t.feature, Family: f}
			switch {
			case err != nil:
				probe.Why = err.Error()
			default:
				probe.Answer, probe.Why = p.try(ctx, f, t)
			}
			out = append(out, probe)
		}
	}
	return out
}

// ProbeRuleset asks the kernel whether it would take a ruleset, but for the elements, and changes nothing, as [Features].
func ProbeRuleset(ctx context.Context, netns string, rs *graph.Ruleset) (Answer, string) {
	p, err := openProber(netns)
	if err != nil {
		return CannotTell, err.Error()
	}
	defer p.close()
	bare := &graph.Ruleset{}
	for _, t := range rs.Tables {
		table := *t
		table.Sets, table.Name = nil, probeTable
		for _, s := range t.Sets {
			set := *s
			set.Elements = graph.Elements{}
			table.Sets = append(table.Sets, &set)
		}
		bare.Tables = append(bare.Tables, &table)
	}
	return answerOf(ctx, p.conn.dryRun(plan.Diff(&graph.Ruleset{}, bare)))
}

// probeTable is the name of tables that are never committed but to a namespace of our own.
const probeTable = "svcctl-check"

// prober has a connection to a namespace in which features are tried.
type prober struct {
	conn    *Conn
	private bool  // it is our own: transactions may be committed
	refused error // why it is not
	all     bool  // everything that can be tried without a commit is there
}

func (p *prober) close() { _ = p.conn.Close() } // nothing depends on how it ends

func openProber(netns string) (*prober, error) {
	var own error
	conn := &Conn{}
	err := onThread(func() error {
		if own = unix.Unshare(unix.CLONE_NEWNET); own != nil {
			return own
		}
		c, err := Open("")
		if err == nil {
			conn = c
		}
		return err
	})
	if err == nil {
		conn.kernel = kernel{} // what is tried is the way of the newest
		return &prober{conn: conn, private: true}, nil
	}
	if conn, err = Open(netns); err != nil {
		return nil, err
	}
	conn.kernel = kernel{}
	return &prober{conn: conn, refused: fmt.Errorf("a network namespace to try it in: %w", own)}, nil
}

// onThread runs fn on a thread that ends with it, so that fn may change the namespaces of its thread.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, see inNetns
		if unix.Gettid() != unix.Getpid() {
			done <- fn()
			return
		}
		done <- onThread(fn)
		runtime.UnlockOSThread()
	}()
	return <-done
}

// dryRun has the kernel check a plan and not carry it out: a transaction without an end is aborted
// (net/netfilter/nfnetlink.c, nfnetlink_rcv_batch).
func (c *Conn) dryRun(p *plan.Plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, acknowledged := encode(p, c.sock.seq+1, 0, c.kernel)
	c.sock.seq += uint32(len(t.starts))
	t.buf = t.buf[:t.starts[len(t.starts)-1]]
	v, err := c.transact(t, acknowledged)
	switch {
	case err != nil:
		return fmt.Errorf("nftables transaction: %w", err)
	case v.refusal != nil:
		return v.refusal.err()
	case !v.acknowledged:
		return errNoAnswer
	default:
		return nil
	}
}

// answerOf reads the result of a trial. Only a refusal is a no.
func answerOf(ctx context.Context, err error) (Answer, string) {
	var refused *KernelError
	switch {
	case err == nil:
		return Yes, ""
	case ctx.Err() != nil:
		return CannotTell, context.Cause(ctx).Error()
	case errors.As(err, &refused) && refused.Errno != unix.ENOMEM && refused.Errno != unix.EINTR:
		return No, err.Error()
	default:
		return CannotTell, err.Error()
	}
}

// trial is how a feature is tried: what is made to see whether the kernel takes it, or, where that does not tell, a
// function that commits.
type trial struct {
	feature Feature
	table   func(f graph.Family) *graph.Table
	commit  func(p *prober, f graph.Family) (bool, error)
}

func (p *prober) try(ctx context.Context, f graph.Family, t trial) (Answer, string) {
	if t.commit == nil && p.all {
		return Yes, ""
	}
	if t.commit == nil {
		return answerOf(ctx, p.conn.dryRun(creation(t.table(f))))
	}
	if !p.private {
		return CannotTell, p.refused.Error()
	}
	// The table may be there from the trial before.
	_ = p.conn.Commit(ctx, &plan.Plan{Tables: []plan.TableChange{{Op: plan.Delete, Family: f, Name: probeTable}}}, 0)
	ok, err := t.commit(p, f)
	if err == nil && !ok {
		return No, "the kernel takes it and does nothing"
	}
	return answerOf(ctx, err)
}

// takesAll tries everything that needs no commit in one transaction: each costs the kernel a wait until no packet is
// under way (synchronize_rcu), and mostly nothing is missing.
func (p *prober) takesAll() bool {
	all := &plan.Plan{}
	for i, t := range trials {
		if t.table == nil {
			continue
		}
		for _, f := range graph.Families {
			table := t.table(f)
			table.Name += "-" + strconv.Itoa(i)
			all.Tables = append(all.Tables, creation(table).Tables...)
		}
	}
	return p.conn.dryRun(all) == nil
}

// creation is the plan that makes a table.
func creation(t *graph.Table) *plan.Plan {
	return plan.Diff(&graph.Ruleset{}, &graph.Ruleset{Tables: []*graph.Table{t}})
}

// The pieces of which trials are made.
var (
	serviceFields  = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField}
	slotFields     = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.SlotField}
	clientFields   = []graph.Field{graph.AddrField, graph.AddrField, graph.ProtoField, graph.PortField}
	endpointFields = []graph.Field{graph.AddrField, graph.PortField}
	verdictFields  = []graph.Field{graph.VerdictField}

	serviceExpr = graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort}
)

func bare(f graph.Family, sets ...*graph.Set) *graph.Table {
	return &graph.Table{Family: f, Name: probeTable, Sets: sets}
}

// with adds a chain to a table: a base chain where it has a hook.
func with(t *graph.Table, name string, h *graph.Hook, rules ...graph.Rule) *graph.Table {
	t.Chains = append(t.Chains, &graph.Chain{Name: name, Hook: h, Rules: rules})
	return t
}

func stmts(s ...graph.Stmt) graph.Rule { return graph.Rule{Stmts: s} }

func drawn(x graph.Expr) graph.Concat {
	return graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort, x}
}

var (
	natPrerouting  = &graph.Hook{Type: graph.NATChain, Point: graph.Prerouting, Priority: -100}
	natPostrouting = &graph.Hook{Type: graph.NATChain, Point: graph.Postrouting, Priority: 100}
	filterForward  = &graph.Hook{Type: graph.FilterChain, Point: graph.Forward}
)

// trials are all features, in the order in which they are told: what others need comes first.
var trials = []trial{
	{feature: FeatureTables, table: func(f graph.Family) *graph.Table {
		return with(bare(f), "c", filterForward)
	}},
	{feature: FeatureMaps, table: func(f graph.Family) *graph.Table {
		return with(bare(f, &graph.Set{Name: "m", Key: serviceFields, Data: verdictFields, Size: 8}), "c", filterForward,
			stmts(graph.LookupVerdict{X: serviceExpr, Map: "m"}))
	}},
	{feature: FeatureNAT, table: func(f graph.Family) *graph.Table {
		return with(bare(f, &graph.Set{Name: "m", Key: serviceFields, Data: endpointFields}), "c", natPrerouting,
			stmts(graph.DNAT{X: serviceExpr, Map: "m"}))
	}},
	{feature: FeatureRandom, table: func(f graph.Family) *graph.Table {
		return with(bare(f, &graph.Set{Name: "m", Key: slotFields, Data: endpointFields}), "c", natPrerouting,
			stmts(graph.DNAT{X: drawn(graph.Numgen{Mod: 4, Offset: 32768}), Map: "m"}))
	}},
	{feature: FeatureHash, table: func(f graph.Family) *graph.Table {
		return with(bare(f, &graph.Set{Name: "m", Key: slotFields, Data: endpointFields}), "c", natPrerouting,
			stmts(graph.DNAT{X: drawn(graph.Jhash{X: graph.SourceAddr, Mod: 4, Seed: 1}), Map: "m"}))
	}},
	{feature: FeatureConntrack, table: func(f graph.Family) *graph.Table {
		original := graph.Concat{graph.CtOriginalDest, graph.L4Proto{}, graph.CtOriginalDestPort}
		return with(bare(f, &graph.Set{Name: "m", Key: serviceFields, Data: verdictFields}), "c", filterForward,
			stmts(graph.Match{X: graph.CtState, Value: graph.CtNew}, graph.Match{X: graph.CtStatus, Value: graph.CtDNAT},
				graph.Match{X: graph.L4Proto{}, Value: graph.TCP}, graph.LookupVerdict{X: original, Map: "m"}))
	}},
	{feature: FeatureAddrType, table: func(f graph.Family) *graph.Table {
		return with(bare(f), "c", natPrerouting,
			stmts(graph.Match{X: graph.FibType{Of: graph.DestAddr}, Value: graph.AddrTypeLocal}))
	}},
	{feature: FeatureMasquerade, table: func(f graph.Family) *graph.Table {
		return with(bare(f), "c", natPostrouting, stmts(graph.Masquerade{}))
	}},
	{feature: FeatureReject, table: func(f graph.Family) *graph.Table {
		return with(bare(f), "c", filterForward,
			stmts(graph.Match{X: graph.L4Proto{}, Value: graph.TCP}, graph.Reject{With: graph.TCPReset}),
			stmts(graph.Reject{With: graph.PortUnreachable}))
	}},
	{feature: FeatureAffinity, table: func(f graph.Family) *graph.Table {
		return with(bare(f, &graph.Set{
			Name: "m", Key: clientFields, Data: endpointFields, Dynamic: true, Timeout: true, Size: 8,
		}), "c", natPostrouting, stmts(graph.Match{X: graph.L4Proto{}, Value: graph.TCP}, graph.Counter{}, graph.Update{
			Map: "m", Timeout: time.Hour,
			Key:  graph.Concat{graph.CtOriginalSource, graph.CtOriginalDest, graph.L4Proto{}, graph.CtOriginalDestPort},
			Data: graph.Concat{graph.DestAddr, graph.DestPort},
		}))
	}},
	{feature: FeatureRanges, table: func(f graph.Family) *graph.Table {
		fields := append(append([]graph.Field{}, serviceFields...), graph.AddrField)
		x := append(append(graph.Concat{}, serviceExpr...), graph.SourceAddr)
		return with(bare(f, &graph.Set{Name: "s", Key: fields, Interval: true}), "c", filterForward,
			stmts(graph.MatchSet{X: x, Set: "s"}))
	}},
	{feature: FeatureCounters, table: func(f graph.Family) *graph.Table {
		return with(bare(f, &graph.Set{Name: "s", Key: serviceFields, Counter: true}), "c", filterForward,
			stmts(graph.MatchSet{X: serviceExpr, Set: "s"}))
	}},
	{feature: FeatureResize, commit: (*prober).resizes},
	{feature: FeatureDestroy, commit: (*prober).destroys},
	{feature: FeatureDropChains, commit: (*prober).dropsChains},
}

// resizes makes a set larger and reads its size.
func (p *prober) resizes(f graph.Family) (bool, error) {
	set := &graph.Set{Name: "s", Key: serviceFields, Size: 8}
	if err := p.conn.run(creation(bare(f, set)), 0); err != nil {
		return false, err
	}
	larger := *set
	larger.Size = 16
	err := p.conn.run(&plan.Plan{Tables: []plan.TableChange{
		{Op: plan.Update, Family: f, Name: probeTable, GrowSets: []*graph.Set{&larger}},
	}}, 0)
	if err != nil {
		return false, err
	}
	st, err := p.conn.Survey(context.Background(), probeTable)
	if err != nil {
		return false, err
	}
	got := st.Ruleset.Table(f).Set("s")
	return got != nil && got.Size == larger.Size, nil
}

// destroys deletes an element that is not there.
func (p *prober) destroys(f graph.Family) (bool, error) {
	set := &graph.Set{Name: "m", Key: serviceFields, Data: endpointFields, Dynamic: true, Timeout: true, Size: 8}
	if err := p.conn.run(creation(bare(f, set)), 0); err != nil {
		return false, err
	}
	change := plan.ElementChange{Set: set, Del: graph.MakeElements(f, set, 1), Add: graph.MakeElements(f, set, 0)}
	key := graph.Key{Addr: f.Unspecified(), Proto: graph.TCP, Port: 1}
	change.Del.Append(graph.Element{Key: key})
	return true, p.conn.run(&plan.Plan{Tables: []plan.TableChange{
		{Op: plan.Update, Family: f, Name: probeTable, Elements: []plan.ElementChange{change}},
	}}, 0)
}

// dropsChains deletes a chain together with the element that leads to it.
func (p *prober) dropsChains(f graph.Family) (bool, error) {
	set := &graph.Set{Name: "m", Key: serviceFields, Data: verdictFields, Size: 8}
	chain := &graph.Chain{Name: "to"}
	set.Elements = graph.MakeElements(f, set, 1)
	set.Elements.Append(graph.Element{
		Key:  graph.Key{Addr: f.Unspecified(), Proto: graph.TCP, Port: 1},
		Data: graph.Data{Verdict: graph.Verdict{Op: graph.Goto, Chain: chain.Name}},
	})
	table := bare(f, set)
	table.Chains = []*graph.Chain{chain}
	if err := p.conn.run(creation(table), 0); err != nil {
		return false, err
	}
	change := plan.ElementChange{Set: set, Del: set.Elements, Add: graph.MakeElements(f, set, 0)}
	return true, p.conn.run(&plan.Plan{Tables: []plan.TableChange{{
		Op: plan.Update, Family: f, Name: probeTable,
		Elements: []plan.ElementChange{change}, DelChains: []*graph.Chain{chain},
	}}}, 0)
}
