package golden

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/netlab"
)

// silence is how long to wait before a packet that should be dropped counts as dropped. The links are virtual: an answer
// takes well under a millisecond.
const silence = 200 * time.Millisecond

// patience is how long to wait for an answer that has to come: longer than a busy machine leaves a process without a
// processor, which is seconds.
const patience = 30 * time.Second

// scene is a network in which the flows of a case can happen.
type scene struct {
	*netlab.Lab
	table  string
	local  []netip.Addr
	places map[netip.Addr]*netlab.Namespace // where an address is
	served map[destination]bool
	// learns says that the ruleset remembers clients.
	learns bool
}

// checkPackets puts the ruleset into the kernel of a node and sends every flow as real connections.
func checkPackets(t *testing.T, base, rs *graph.Ruleset, f flowsFile) {
	t.Helper()
	s := &scene{
		Lab: netlab.Start(t, netlab.Options{}), table: rs.Tables[0].Name, local: f.Local,
		places: map[netip.Addr]*netlab.Namespace{}, served: map[destination]bool{},
	}
	s.build(t, f)
	if base != nil {
		commit(t, s.Node, plan.Diff(&graph.Ruleset{}, base))
	}
	commit(t, s.Node, plan.Diff(observe(t, s.Node, rs), rs))
	for _, table := range rs.Tables {
		s.learns = s.learns || table.Set("affinity-timeouts").Elements.Len() > 0
	}
	for _, w := range f.Flows {
		s.check(t, w)
	}
}

// build puts every address where it belongs and has it answer. What is sent to an address that is not to be translated
// gets an answer too, so that "nothing happened to it" and "it was dropped" are told apart.
func (s *scene) build(t *testing.T, f flowsFile) {
	t.Helper()
	for _, a := range []netip.Addr{netlab.NodeAddr4, netlab.NodeAddr6} {
		if !slices.Contains(f.Local, a) {
			t.Fatalf("local lacks %s, which the node of every lab has", a)
		}
	}
	for _, a := range f.Local {
		s.places[a] = s.Node
		if a != netlab.NodeAddr4 && a != netlab.NodeAddr6 {
			if err := s.Node.AddAddr(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, a := range []netip.Addr{s.Client.Addr4, s.Client.Addr6, netlab.SecondClientAddr4, netlab.SecondClientAddr6} {
		s.places[a] = s.Client
	}
	var sources, endpoints, elsewhere []netip.Addr
	for _, w := range f.Flows {
		sources = append(sources, w.From)
		for _, e := range w.Want.endpoints {
			endpoints = append(endpoints, e.Addr())
		}
		if w.Want.fate != "" {
			elsewhere = append(elsewhere, w.To.Addr())
		}
	}
	// An endpoint that is a client too must not share a namespace with others: what it sends them would not pass the node.
	for i, a := range sources {
		if slices.Contains(endpoints, a) {
			s.attach(t, fmt.Sprintf("endpoint-%d", i), a)
		}
	}
	s.attach(t, "endpoints", endpoints...)
	s.attach(t, "sources", sources...)
	s.attach(t, "elsewhere", elsewhere...)
	for _, w := range f.Flows {
		for _, e := range w.Want.endpoints {
			s.serve(t, destination{e, w.To.proto})
		}
		if w.Want.fate != "" {
			s.serve(t, w.To)
		}
	}
}

// attach makes a host of those addresses that are nowhere yet.
func (s *scene) attach(t *testing.T, name string, addrs ...netip.Addr) {
	t.Helper()
	h := netlab.Host{Name: name, Gateways: []netip.Addr{netlab.NodeAddr4, netlab.NodeAddr6}}
	for _, a := range addrs {
		if s.places[a] == nil && !a.IsLoopback() && !slices.Contains(h.Addrs, a) {
			h.Addrs = append(h.Addrs, a)
		}
	}
	if len(h.Addrs) == 0 {
		return
	}
	ns, err := s.Attach(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range h.Addrs {
		s.places[a] = ns
	}
}

// at gives the namespace of an address. Loopback is the node's: nobody else's comes by its rules.
func (s *scene) at(a netip.Addr) *netlab.Namespace {
	if a.IsLoopback() {
		return s.Node
	}
	return s.places[a]
}

func (s *scene) serve(t *testing.T, d destination) {
	t.Helper()
	if s.served[d] {
		return
	}
	s.served[d] = true
	if err := s.at(d.Addr()).Serve(t.Context(), protocolOf(d.proto), d.AddrPort); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) ask(t *testing.T, w flow, patience time.Duration) netlab.Answer {
	t.Helper()
	return s.at(w.From).Ask(t.Context(), netlab.Request{
		Protocol: protocolOf(w.To.proto), To: w.To.AddrPort, From: w.From, Patience: patience,
	})
}

// check sends a flow often enough to see every endpoint it can get.
func (s *scene) check(t *testing.T, w flow) {
	t.Helper()
	switch w.Want.fate {
	case reject:
		s.expect(t, w, netlab.Refused, patience)
	case drop:
		s.expect(t, w, netlab.Silent, silence)
	case untouched:
		if a := s.expect(t, w, netlab.Answered, patience); a.Local != w.To.AddrPort || a.Source.Addr() != w.From {
			t.Errorf("%s: %s, want it untouched", w, a)
		}
	default:
		s.checkEndpoints(t, w)
	}
}

func (s *scene) expect(t *testing.T, w flow, o netlab.Outcome, patience time.Duration) netlab.Answer {
	t.Helper()
	a := s.ask(t, w, patience)
	if a.Outcome != o {
		t.Errorf("%s: %s, want it %s", w, a, o)
	}
	return a
}

func (s *scene) checkEndpoints(t *testing.T, w flow) {
	t.Helper()
	seen := map[netip.AddrPort]bool{}
	for range w.trials() {
		s.forget(t)
		first, ok := s.answered(t, w)
		if !ok {
			return
		}
		seen[first] = true
		if w.Affinity || w.Hashed {
			if again, ok := s.answered(t, w); ok && again != first {
				t.Errorf("%s: first %s, then %s", w, first, again)
			}
		}
		if w.Hashed || len(seen) == len(w.Want.endpoints) {
			return
		}
	}
	t.Errorf("%s: only %d endpoints answered, want %v", w, len(seen), w.Want.endpoints)
}

// answered asks once, checks who answered and what source it saw, and gives the endpoint.
func (s *scene) answered(t *testing.T, w flow) (endpoint netip.AddrPort, ok bool) {
	t.Helper()
	a := s.expect(t, w, netlab.Answered, patience)
	if a.Outcome != netlab.Answered {
		return netip.AddrPort{}, false
	}
	ok = true
	if !slices.Contains(w.Want.endpoints, a.Local) {
		t.Errorf("%s: %s, want one of %v", w, a, w.Want.endpoints)
		ok = false
	}
	// A translated source is the node's address on the link to the endpoint, one of its own.
	translated := w.Masquerade.of(w.From, a.Local)
	if translated && !slices.Contains(s.local, a.Source.Addr()) || !translated && a.Source.Addr() != w.From {
		t.Errorf("%s: %s; is its source to be translated: %v", w, a, translated)
		ok = false
	}
	return a.Local, ok
}

// forget makes the node forget its clients, so that the next connection of one is like its first.
func (s *scene) forget(t *testing.T) {
	t.Helper()
	if s.learns {
		runScript(t, s.Node, fmt.Sprintf("flush map ip %s affinity\nflush map ip6 %[1]s affinity\n", s.table))
	}
}

func protocolOf(p graph.Proto) netlab.Protocol {
	return map[graph.Proto]netlab.Protocol{graph.TCP: netlab.TCP, graph.UDP: netlab.UDP, graph.SCTP: netlab.SCTP}[p]
}
