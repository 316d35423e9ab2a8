package packet

import (
	"context"
	"maps"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/netlab"
)

// remembers gives what the node remembers of its clients, and for how long.
func (n *node) remembers(t *testing.T) map[graph.Key]graph.Lifetime {
	t.Helper()
	out := map[graph.Key]graph.Lifetime{}
	for _, table := range n.read(t).Ruleset.Tables {
		s := table.Set(graph.AffinityMap)
		for i, l := range s.Lifetimes {
			out[s.Elements.KeyAt(i)] = l
		}
	}
	return out
}

// A client keeps its endpoint when the tables have to be made again, and is remembered for as long as it would have been:
// its time does not start anew.
func TestReplacementKeepsAffinity(t *testing.T) {
	t.Parallel()
	n := start(t, 5)
	manifests, at := manyPorts(16, 3*time.Hour, n.Pods...)
	n.apply(t, manifests)
	chosen := map[netip.AddrPort]string{}
	for _, f := range families {
		for _, to := range at(f) {
			chosen[to] = mustAsk(t, n.Client, netlab.TCP, to).Endpoint
		}
	}
	time.Sleep(2 * time.Second) // of the time of those clients
	before := n.remembers(t)
	if len(before) != len(chosen) {
		t.Fatalf("%d clients are remembered, want %d", len(before), len(chosen))
	}
	ruleset := n.compile(t, manifests)
	for _, table := range ruleset.Tables {
		table.Comment = "another"
	}
	n.commit(t, func(observed *graph.Ruleset) *plan.Plan {
		p := plan.Diff(observed, ruleset)
		if len(p.Tables) != 2 || p.Tables[0].Op != plan.Replace || p.Tables[1].Op != plan.Replace {
			t.Fatalf("planned: %+v", p)
		}
		return p
	})
	after := n.remembers(t)
	for k, was := range before {
		is, ok := after[k]
		if !ok || is.Timeout != was.Timeout || is.Expires > was.Expires || is.Expires < was.Expires-time.Minute {
			t.Errorf("%v was remembered for %v, and now for %v", k, was, is)
		}
	}
	for _, f := range []string{"ip", "ip6"} {
		listing, err := n.Node.Run(t.Context(), "", "nft", "list", "map", f, n.config.Table, graph.AffinityMap)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(regexp.MustCompile(`timeout 3h expires 2h59m\d+s`).FindAllString(listing, -1)); got != len(chosen)/2 {
			t.Errorf("nft shows %d clients with less than their timeout left, want %d:\n%s", got, len(chosen)/2, listing)
		}
	}
	again := map[netip.AddrPort]string{}
	for to := range chosen {
		again[to] = mustAsk(t, n.Client, netlab.TCP, to).Endpoint
	}
	if !maps.Equal(again, chosen) { // 32 choices among five
		t.Errorf("the clients had %v, and now %v", chosen, again)
	}
}

// A base chain gets another priority in place, again and again while requests go on: the clients that are remembered keep
// their endpoints, and no request is lost. The priorities rise: a packet meets the old chain before the new one, and at
// least one of them has its rules.
func TestPriorityChangeUnderLoad(t *testing.T) {
	t.Parallel()
	rounds, patience := 150, 6*time.Second
	if testing.Short() {
		rounds, patience = 10, time.Second
	}
	n := start(t, 3)
	manifests, at := manyPorts(16, 3*time.Hour, n.Pods...)
	plain := service{name: "web", number: 2, nodePort: 30002}
	all := []string{manifests, plain.String(), endpoints("web", n.Pods...)}
	n.apply(t, all...)
	chosen := map[netip.AddrPort]string{}
	for _, to := range at(ipv4) {
		chosen[to] = mustAsk(t, n.Pods[0], netlab.TCP, to).Endpoint
	}
	everywhere := []netip.AddrPort{plain.at(ipv4), plain.at(ipv6), netip.AddrPortFrom(n.Node.Addr4, plain.nodePort)}
	steady, bursts := newLoad(t, netlab.TCP), newLoad(t, netlab.SCTP)
	steady.add(t, n.Client, plain.at(ipv4), plain.at(ipv6), at(ipv4)[0], at(ipv6)[0])
	bursts.addBursts(t, n.Client, everywhere...)
	enough, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := 0
	for ; done < rounds && enough.Err() == nil; done++ {
		ruleset := n.compile(t, all...)
		for _, table := range ruleset.Tables {
			for _, c := range table.Chains {
				if c.Hook != nil {
					c.Hook.Priority += int32(done)
				}
			}
		}
		n.commit(t, func(observed *graph.Ruleset) *plan.Plan {
			p := plan.Diff(observed, ruleset)
			for _, c := range p.Tables {
				if c.Op != plan.Update || done > 0 && len(c.RemakeChains) == 0 {
					t.Fatalf("planned: %+v", c)
				}
			}
			return p
		})
		if done%20 == 0 {
			steady.goesOn(t)
			bursts.goesOn(t)
		}
	}
	t.Logf("%d changes", done)
	steady.finish(t)
	bursts.finish(t)
	for to, endpoint := range chosen {
		if got := mustAsk(t, n.Pods[0], netlab.TCP, to).Endpoint; got != endpoint {
			t.Errorf("%s was answered by %s, and now by %s", to, endpoint, got)
		}
	}
}
