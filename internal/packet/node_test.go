package packet

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/nft"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// silence is how long to wait before a packet that should be dropped counts as dropped. The links are virtual: an answer
// takes well under a millisecond.
const silence = 400 * time.Millisecond

// node is a lab whose node is ours to program.
type node struct {
	*netlab.Lab
	config compiler.Config
	conn   *nft.Conn
}

// start builds a lab with as many pods, all of them listening on the endpoint port with every transport.
func start(t *testing.T, pods int) *node {
	t.Helper()
	n := &node{
		Lab: netlab.Start(t, netlab.Options{Pods: pods}),
		config: compiler.Config{
			Table:           "svcctl",
			ClusterCIDRs:    prefixes("10.1.0.0/16", "fd00:10:1::/48"),
			ServiceCIDRs:    prefixes("10.96.0.0/16", "fd00:10:96::/112"),
			AffinityMapSize: 1024,
		},
	}
	conn, err := nft.Open(n.Node.Path())
	if err != nil {
		t.Fatal(err)
	}
	n.conn = conn
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, pod := range n.Pods {
		n.serve(t, pod)
	}
	return n
}

func (n *node) serve(t *testing.T, ns *netlab.Namespace) {
	t.Helper()
	for _, f := range families {
		for _, p := range protocols {
			if err := ns.Serve(t.Context(), p, netip.AddrPortFrom(f.of(ns), endpointPort)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// gateway is the node's own address toward a pod: what the pod sees of a connection whose source was translated.
func gateway(pod *netlab.Namespace, f family) netip.Addr { return f.of(pod).Prev() }

// apply puts the manifests into the node's kernel, the whole way, and insists that doing so again would change nothing.
func (n *node) apply(t *testing.T, manifests ...string) {
	t.Helper()
	ruleset := n.compile(t, manifests...)
	n.commit(t, func(observed *graph.Ruleset) *plan.Plan { return plan.Diff(observed, ruleset) })
	// Until the commit, clients go on learning endpoints that are now gone.
	n.commit(t, func(observed *graph.Ruleset) *plan.Plan { return plan.StaleAffinity(observed, ruleset) })
	if again := plan.Diff(n.read(t).Ruleset, ruleset); !again.Empty() {
		t.Fatalf("a second apply would change %+v", again.Count())
	}
}

// deleteAll takes everything of ours out of the node's kernel.
func (n *node) deleteAll(t *testing.T) {
	t.Helper()
	n.commit(t, plan.DeleteAll)
}

// compile goes from YAML to the rule graph. Any finding of any phase fails the test: these manifests have no faults.
func (n *node) compile(t *testing.T, manifests ...string) *graph.Ruleset {
	t.Helper()
	source := manifest.Source{Name: t.Name() + ".yaml", Data: []byte(strings.Join(manifests, "---\n"))}
	bundle, findings := manifest.Decode([]manifest.Source{source}, manifest.Options{Strict: true})
	if err := findings.Err(); err != nil {
		t.Fatalf("%v\n%s", err, source.Data)
	}
	model, findings := resolve.Resolve(bundle, resolve.Config{NodeName: nodeName, ServiceCIDRs: n.config.ServiceCIDRs})
	if err := findings.Err(); err != nil {
		t.Fatalf("%v\n%s", err, source.Data)
	}
	ruleset, err := compiler.Compile(model, n.config)
	if err != nil {
		t.Fatal(err)
	}
	return ruleset
}

func (n *node) commit(t *testing.T, decide func(observed *graph.Ruleset) *plan.Plan) {
	t.Helper()
	state := n.read(t)
	p := decide(state.Ruleset)
	if p.Empty() {
		return
	}
	if err := n.conn.Commit(t.Context(), p, state.Generation); err != nil {
		t.Fatal(err)
	}
}

func (n *node) read(t *testing.T) *nft.State {
	t.Helper()
	state, err := n.conn.Read(t.Context(), n.config.Table)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// list gives everything that nft shows of the node, handles included.
func (n *node) list(t *testing.T) string {
	t.Helper()
	out, err := n.Node.Run(t.Context(), "", "nft", "-a", "list", "ruleset")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// want is what should come of a request. The zero source stands for any.
type want struct {
	outcome  netlab.Outcome
	endpoint string // "" for any
	source   netip.Addr
}

func answered(endpoint string, source netip.Addr) want {
	return want{netlab.Answered, endpoint, source}
}

var (
	refused = want{outcome: netlab.Refused}
	dropped = want{outcome: netlab.Silent}
)

// expect makes one request and compares what came of it.
func expect(t *testing.T, from *netlab.Namespace, p netlab.Protocol, to netip.AddrPort, w want) {
	t.Helper()
	expectFrom(t, from, netip.Addr{}, p, to, w)
}

// expectFrom is the same with a source address of the asker's choice.
func expectFrom(
	t *testing.T, from *netlab.Namespace, source netip.Addr, p netlab.Protocol, to netip.AddrPort, w want,
) {
	t.Helper()
	r := netlab.Request{Protocol: p, To: to, From: source}
	if w.outcome == netlab.Silent {
		r.Patience = silence
	}
	a := from.Ask(t.Context(), r)
	switch {
	case a.Outcome != w.outcome:
		t.Errorf("%s asked %s %s: %s, want %s", from.Name, p, to, a, w.outcome)
	case w.endpoint != "" && a.Endpoint != w.endpoint:
		t.Errorf("%s asked %s %s: %s, want %s", from.Name, p, to, a, w.endpoint)
	case w.source.IsValid() && a.Source.Addr() != w.source:
		t.Errorf("%s asked %s %s: %s, want source %s", from.Name, p, to, a, w.source)
	}
}

// mustAsk makes a request that has to be answered.
func mustAsk(t *testing.T, from *netlab.Namespace, p netlab.Protocol, to netip.AddrPort) netlab.Answer {
	t.Helper()
	a := from.Ask(t.Context(), netlab.Request{Protocol: p, To: to})
	if a.Outcome != netlab.Answered {
		t.Fatalf("%s asked %s %s: %s", from.Name, p, to, a)
	}
	return a
}

// count makes many requests, all of which have to be answered, and counts the answers by endpoint.
func count(t *testing.T, n int, from *netlab.Namespace, p netlab.Protocol, to netip.AddrPort) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		counts[mustAsk(t, from, p, to).Endpoint]++
	}
	return counts
}

// until waits for a condition.
func until(t *testing.T, patience time.Duration, what string, met func() bool) {
	t.Helper()
	if err := netlab.Until(t.Context(), patience, met); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

func prefixes(s ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(s))
	for i := range s {
		out[i] = netip.MustParsePrefix(s[i])
	}
	return out
}
