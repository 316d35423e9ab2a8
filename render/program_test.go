package render

import (
	"net/netip"
	"slices"
	"time"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
)

// program builds the table of testdata/program.nft as a graph, for one family. The IPv6 one has the same addresses with
// their four bytes at the end of fd00::.
func program(f graph.Family) *graph.Table {
	p := programBuilder{f}
	t := &graph.Table{Family: f, Name: "svcctl", Comment: "svcctl: service rules; edits are overwritten"}
	t.Sets = p.sets()
	t.Chains = append(p.shapes(), p.hooks()...)
	for _, s := range t.Sets {
		s.SortElements()
	}
	return t
}

func programs() *graph.Ruleset {
	return &graph.Ruleset{Tables: []*graph.Table{program(graph.IPv4), program(graph.IPv6)}}
}

type programBuilder struct{ f graph.Family }

func (p programBuilder) addr(s string) netip.Addr {
	a := netip.MustParseAddr(s)
	if p.f == graph.IPv4 || a.Is6() {
		return a
	}
	if a.IsUnspecified() {
		return netip.IPv6Unspecified()
	}
	b := a.As4()
	return netip.AddrFrom16([16]byte{0: 0xfd, 12: b[0], 13: b[1], 14: b[2], 15: b[3]})
}

var serviceFields = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField}

func (p programBuilder) key(addr string, proto graph.Proto, port uint16) graph.Key {
	return graph.Key{Addr: p.addr(addr), Proto: proto, Port: port}
}

var webOwner = &graph.Owner{
	Service: diag.Object{Kind: "service", Namespace: "demo", Name: "web"}, Port: "http",
	Pos: diag.Pos{File: "web.yaml", Line: 8},
}

func (p programBuilder) verdict(addr string, proto graph.Proto, port uint16, op graph.VerdictOp, chain string) graph.Element {
	e := graph.Element{Key: p.key(addr, proto, port), Data: graph.Data{Verdict: graph.Verdict{Op: op, Chain: chain}}}
	if addr == "10.96.0.1" {
		e.Owner = webOwner
		e.Pos = webOwner.Pos
	}
	return e
}

func (p programBuilder) endpoint(addr string, port uint16, slot uint32, to string) graph.Element {
	k := p.key(addr, graph.TCP, port)
	k.Slot = slot
	return graph.Element{Key: k, Data: graph.Data{Addr: p.addr(to), Port: 8080}}
}

func (p programBuilder) ranges(pairs ...string) []graph.Element {
	var out []graph.Element
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, graph.Element{Key: graph.Key{Addr: p.addr(pairs[i]), RangeTo: p.addr(pairs[i+1])}})
	}
	return out
}

func (p programBuilder) sets() []*graph.Set {
	addr := []graph.Field{graph.AddrField}
	verdict := []graph.Field{graph.VerdictField}
	target := []graph.Field{graph.AddrField, graph.PortField}
	source := func(from, to string) graph.Element {
		k := p.key("203.0.113.9", graph.TCP, 80)
		k.Peer, k.RangeTo = p.addr(from), p.addr(to)
		return graph.Element{Key: k}
	}
	return []*graph.Set{
		{Name: "cluster-cidrs", Key: addr, Interval: true, Elements: graph.ElementsOf(p.ranges("10.1.0.0", "10.1.255.255"))},
		{Name: "service-cidrs", Key: addr, Interval: true, Elements: graph.ElementsOf(p.ranges("10.96.0.0", "10.96.255.255"))},
		{Name: "node-port-addresses", Key: addr, Interval: true, Elements: graph.ElementsOf(p.ranges(
			"0.0.0.0", "126.255.255.255", "128.0.0.0", "255.255.255.255"))},
		{Name: "services", Key: serviceFields, Data: verdict, Elements: graph.ElementsOf([]graph.Element{
			p.verdict("10.96.0.1", graph.TCP, 80, graph.Goto, "random-4"),
			p.verdict("10.96.0.2", graph.TCP, 80, graph.Goto, "affinity-random-4"),
			p.verdict("10.96.0.9", graph.TCP, 80, graph.Goto, "affinity-random-1"),
			p.verdict("0.0.0.0", graph.TCP, 30000, graph.Goto, "node-port-random-4"),
			p.verdict("203.0.113.5", graph.TCP, 80, graph.Goto, "local-random-1-4"),
			p.verdict("0.0.0.0", graph.TCP, 30001, graph.Goto, "node-port-local-random-1-4"),
		})},
		{Name: "endpoints", Key: append(slices.Clone(serviceFields), graph.SlotField), Data: target, Elements: graph.ElementsOf(p.endpoints())},
		{
			Name: "affinity", Key: append(slices.Clone(addr), serviceFields...), Data: target,
			Dynamic: true, Timeout: true, Size: 65536,
		},
		{Name: "affinity-timeouts", Key: serviceFields, Data: verdict, Elements: graph.ElementsOf([]graph.Element{
			p.verdict("10.96.0.2", graph.TCP, 80, graph.Jump, "learn-10800"),
			p.verdict("10.96.0.9", graph.TCP, 80, graph.Jump, "learn-10800"),
		})},
		{Name: "masquerade-services", Key: serviceFields, Data: verdict, Elements: graph.ElementsOf([]graph.Element{
			p.verdict("10.96.0.1", graph.TCP, 80, graph.Goto, "masquerade-off-cluster"),
			p.verdict("10.96.0.2", graph.TCP, 80, graph.Goto, "masquerade-off-cluster"),
			p.verdict("0.0.0.0", graph.TCP, 30000, graph.Goto, "masquerade-always"),
			p.verdict("203.0.113.5", graph.TCP, 80, graph.Goto, "masquerade-node-local"),
			p.verdict("0.0.0.0", graph.TCP, 30001, graph.Goto, "masquerade-node-local"),
		})},
		{Name: "hairpin", Key: []graph.Field{graph.AddrField, graph.AddrField}, Elements: graph.ElementsOf(p.hairpins())},
		{Name: "no-endpoint-services", Key: serviceFields, Data: verdict, Elements: graph.ElementsOf([]graph.Element{
			p.verdict("10.96.0.7", graph.TCP, 80, graph.Goto, "reject-new"),
			p.verdict("10.96.0.8", graph.UDP, 53, graph.Drop, ""),
			p.verdict("0.0.0.0", graph.TCP, 30007, graph.Goto, "reject-new"),
		})},
		{Name: "restricted-services", Key: serviceFields, Elements: graph.ElementsOf([]graph.Element{
			{Key: p.key("203.0.113.9", graph.TCP, 80)},
		})},
		{Name: "source-ranges", Key: append(slices.Clone(serviceFields), graph.AddrField), Interval: true, Elements: graph.ElementsOf([]graph.Element{
			source("198.51.100.0", "198.51.100.255"), source("10.1.0.0", "10.1.255.255"),
		})},
		{Name: "cluster-ips", Key: addr, Elements: graph.ElementsOf([]graph.Element{
			{Key: graph.Key{Addr: p.addr("10.96.0.1")}},
			{Key: graph.Key{Addr: p.addr("10.96.0.2")}},
			{Key: graph.Key{Addr: p.addr("10.96.0.7")}},
			{Key: graph.Key{Addr: p.addr("10.96.0.8")}},
		})},
	}
}

func (p programBuilder) endpoints() []graph.Element {
	out := []graph.Element{
		p.endpoint("10.96.0.9", 80, 0, "192.168.0.1"),
		p.endpoint("203.0.113.5", 80, 32768, "10.1.1.2"), p.endpoint("0.0.0.0", 30001, 32768, "10.1.2.2"),
	}
	for _, s := range []struct {
		addr string
		port uint16
	}{{"10.96.0.1", 80}, {"10.96.0.2", 80}, {"0.0.0.0", 30000}, {"203.0.113.5", 80}, {"0.0.0.0", 30001}} {
		for slot, to := range []string{"10.1.1.2", "10.1.2.2", "10.1.3.2"} {
			e := p.endpoint(s.addr, s.port, uint32(slot), to)
			if s.addr == "10.96.0.1" {
				e.Owner, e.Pos = webOwner, diag.Pos{File: "web.yaml", Line: int32(20 + slot)}
			}
			out = append(out, e)
		}
	}
	return out
}

func (p programBuilder) hairpins() []graph.Element {
	var out []graph.Element
	for _, a := range []string{"10.1.1.2", "10.1.2.2", "10.1.3.2"} {
		out = append(out, graph.Element{Key: graph.Key{Addr: p.addr(a), Peer: p.addr(a)}})
	}
	return out
}

func ruleOf(stmts ...graph.Stmt) graph.Rule { return graph.Rule{Stmts: stmts} }

func gotoChain(name string) graph.Stmt {
	return graph.Do{Verdict: graph.Verdict{Op: graph.Goto, Chain: name}}
}

var (
	toService     = graph.Concat{graph.DestAddr, graph.L4Proto{}, graph.DestPort}
	originService = graph.Concat{graph.CtOriginalDest, graph.L4Proto{}, graph.CtOriginalDestPort}
	localSource   = graph.Match{X: graph.FibType{Of: graph.SourceAddr}, Value: graph.AddrTypeLocal}
	isTCP         = graph.Match{X: graph.L4Proto{}, Value: graph.TCP}
	isUDP         = graph.Match{X: graph.L4Proto{}, Value: graph.UDP}
	isNew         = graph.Match{X: graph.CtState, Value: graph.CtNew}
	isDNAT        = graph.Match{X: graph.CtStatus, Value: graph.CtDNAT}
)

func (p programBuilder) masked(x graph.Expr) graph.Expr {
	return graph.Masked{X: x, Mask: p.f.Unspecified()}
}

func (p programBuilder) toNodePort() graph.Concat {
	return graph.Concat{p.masked(graph.DestAddr), graph.L4Proto{}, graph.DestPort}
}

func (p programBuilder) originNodePort() graph.Concat {
	return graph.Concat{p.masked(graph.CtOriginalDest), graph.L4Proto{}, graph.CtOriginalDestPort}
}

func tries(key graph.Concat, n int, mod, offset uint32) []graph.Rule {
	var rules []graph.Rule
	for range n {
		rules = append(rules, tryOnce(key, mod, offset))
	}
	return append(rules, tryOnce(key, 1, offset))
}

func tryOnce(key graph.Concat, mod, offset uint32) graph.Rule {
	return ruleOf(graph.DNAT{X: append(slices.Clone(key), graph.Numgen{Mod: mod, Offset: offset}), Map: "endpoints"})
}

func (p programBuilder) shapes() []*graph.Chain {
	client := append(graph.Concat{graph.SourceAddr}, toService...)
	learnt := graph.Update{
		Map: "affinity", Key: append(graph.Concat{graph.CtOriginalSource}, originService...),
		Timeout: 3 * time.Hour, Data: graph.Concat{graph.DestAddr, graph.DestPort},
	}
	fromPod := graph.MatchSet{X: graph.SourceAddr, Set: "cluster-cidrs"}
	return []*graph.Chain{
		{Name: "random-4", Rules: tries(toService, 8, 4, 0), Owner: webOwner},
		{Name: "node-port-random-4", Rules: tries(p.toNodePort(), 8, 4, 0)},
		{Name: "random-1", Rules: []graph.Rule{tryOnce(toService, 1, 0)}},
		{Name: "affinity-random-1", Rules: []graph.Rule{
			ruleOf(graph.DNAT{X: client, Map: "affinity"}), ruleOf(gotoChain("random-1")),
		}},
		{Name: "affinity-random-4", Rules: []graph.Rule{
			ruleOf(graph.DNAT{X: client, Map: "affinity"}), ruleOf(gotoChain("random-4")),
		}},
		{Name: "local-random-1-4", Rules: []graph.Rule{
			ruleOf(fromPod, gotoChain("random-4")), ruleOf(localSource, gotoChain("random-4")),
			tryOnce(toService, 1, 32768),
		}},
		{Name: "node-port-local-random-1-4", Rules: []graph.Rule{
			ruleOf(fromPod, gotoChain("node-port-random-4")), ruleOf(localSource, gotoChain("node-port-random-4")),
			tryOnce(p.toNodePort(), 1, 32768),
		}},
		{Name: "learn-10800", Rules: []graph.Rule{
			ruleOf(isTCP, graph.Counter{}, learnt), ruleOf(isUDP, graph.Counter{}, learnt),
		}},
		{Name: "masquerade-always", Rules: []graph.Rule{ruleOf(graph.Masquerade{})}},
		{Name: "masquerade-off-cluster", Rules: []graph.Rule{
			ruleOf(graph.MatchSet{X: graph.CtOriginalSource, Not: true, Set: "cluster-cidrs"}, graph.Masquerade{}),
		}},
		{Name: "masquerade-node-local", Rules: []graph.Rule{ruleOf(localSource, graph.Masquerade{})}},
		{Name: "reject-new", Rules: []graph.Rule{
			ruleOf(isTCP, graph.Reject{With: graph.TCPReset}), ruleOf(graph.Reject{With: graph.PortUnreachable}),
		}},
	}
}

func (p programBuilder) hooks() []*graph.Chain {
	drop := graph.Do{Verdict: graph.Verdict{Op: graph.Drop}}
	base := func(name string, typ graph.ChainType, at graph.HookPoint, priority int32, r graph.Rule) *graph.Chain {
		return &graph.Chain{
			Name: name, Hook: &graph.Hook{Type: typ, Point: at, Priority: priority}, Rules: []graph.Rule{r},
		}
	}
	return []*graph.Chain{
		{Name: "dispatch", Rules: []graph.Rule{
			ruleOf(graph.LookupVerdict{X: toService, Map: "services"}),
			ruleOf(graph.Match{X: graph.FibType{Of: graph.DestAddr}, Value: graph.AddrTypeLocal},
				graph.MatchSet{X: graph.DestAddr, Set: "node-port-addresses"},
				graph.LookupVerdict{X: p.toNodePort(), Map: "services"}),
		}},
		{Name: "learn", Rules: []graph.Rule{
			ruleOf(isTCP, graph.LookupVerdict{X: originService, Map: "affinity-timeouts"}),
			ruleOf(isUDP, graph.LookupVerdict{X: originService, Map: "affinity-timeouts"}),
			ruleOf(isTCP, graph.LookupVerdict{X: p.originNodePort(), Map: "affinity-timeouts"}),
		}},
		{Name: "translated", Rules: []graph.Rule{
			ruleOf(graph.Do{Verdict: graph.Verdict{Op: graph.Jump, Chain: "learn"}}),
			ruleOf(graph.MatchSet{X: graph.Concat{graph.SourceAddr, graph.DestAddr}, Set: "hairpin"}, graph.Masquerade{}),
			ruleOf(isTCP, graph.LookupVerdict{X: originService, Map: "masquerade-services"}),
			ruleOf(isTCP, graph.LookupVerdict{X: p.originNodePort(), Map: "masquerade-services"}),
		}},
		{Name: "source-check", Rules: []graph.Rule{
			ruleOf(graph.MatchSet{X: toService, Set: "restricted-services"},
				graph.MatchSet{X: append(slices.Clone(toService), graph.SourceAddr), Not: true, Set: "source-ranges"}, drop),
		}},
		{Name: "unserved", Rules: []graph.Rule{
			ruleOf(graph.LookupVerdict{X: toService, Map: "no-endpoint-services"}),
			ruleOf(graph.MatchSet{X: graph.DestAddr, Set: "cluster-ips"}, gotoChain("reject-new")),
			ruleOf(graph.MatchSet{X: graph.DestAddr, Set: "service-cidrs"}, drop),
		}},
		base("nat-prerouting", graph.NATChain, graph.Prerouting, -100, ruleOf(gotoChain("dispatch"))),
		base("nat-output", graph.NATChain, graph.Output, -100, ruleOf(gotoChain("dispatch"))),
		base("nat-postrouting", graph.NATChain, graph.Postrouting, 100, ruleOf(isDNAT, gotoChain("translated"))),
		base("nat-input", graph.NATChain, graph.Input, 100, ruleOf(isDNAT, gotoChain("learn"))),
		base("filter-prerouting", graph.FilterChain, graph.Prerouting, -110, ruleOf(isNew, gotoChain("source-check"))),
		base("filter-input", graph.FilterChain, graph.Input, 0,
			ruleOf(isNew, graph.LookupVerdict{X: p.toNodePort(), Map: "no-endpoint-services"})),
		base("filter-forward", graph.FilterChain, graph.Forward, 0, ruleOf(isNew, gotoChain("unserved"))),
		base("filter-output", graph.FilterChain, graph.Output, 0, ruleOf(isNew, gotoChain("unserved"))),
	}
}
