package nft

import (
	"net/netip"
	"slices"
	"time"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// The program of svcctl with a few services in it, for either family: the same as testdata/program.nft for IPv4.

// words are the addresses of one family that the program is written with.
type words struct {
	family g.Family
}

var ipv6Addrs = map[string]string{
	"0.0.0.0": "::", "126.255.255.255": "7fff::ffff", "128.0.0.0": "8000::",
	"255.255.255.255": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"10.1.0.0":        "fd00:10:1::", "10.1.255.255": "fd00:10:1::ffff:ffff",
	"10.96.0.0": "fd00:10:96::", "10.96.255.255": "fd00:10:96::ffff",
	"198.51.100.0": "2001:db8:1::", "198.51.100.255": "2001:db8:1::ff",
	"10.96.0.1": "fd00:10:96::1", "10.96.0.2": "fd00:10:96::2", "10.96.0.7": "fd00:10:96::7", "10.96.0.8": "fd00:10:96::8",
	"10.96.0.9": "fd00:10:96::9", "203.0.113.5": "2001:db8::5", "203.0.113.9": "2001:db8::9",
	"10.1.1.2": "fd00:10:1::1:2", "10.1.2.2": "fd00:10:1::2:2", "10.1.3.2": "fd00:10:1::3:2", "192.168.0.1": "fd00:192::1",
}

func (w words) a(s string) netip.Addr {
	if w.family == g.IPv6 {
		s = ipv6Addrs[s]
	}
	return netip.MustParseAddr(s)
}

func (w words) key(addr string, p g.Proto, port uint16) g.Key {
	return g.Key{Addr: w.a(addr), Proto: p, Port: port}
}

func (w words) ranges(pairs ...string) g.Elements {
	var out g.Elements
	for i := 0; i < len(pairs); i += 2 {
		out.Append(g.Element{Key: g.Key{Addr: w.a(pairs[i]), RangeTo: w.a(pairs[i+1])}})
	}
	return out
}

type endpoint struct {
	service string
	port    uint16
	slot    uint32
	addr    string
}

func (w words) endpoints(list ...endpoint) g.Elements {
	var out g.Elements
	for _, e := range list {
		k := w.key(e.service, g.TCP, e.port)
		k.Slot = e.slot
		out.Append(g.Element{Key: k, Data: g.Data{Addr: w.a(e.addr), Port: 8080}})
	}
	return out
}

type verdictAt struct {
	addr  string
	proto g.Proto
	port  uint16
	v     g.Verdict
}

func (w words) verdicts(list ...verdictAt) g.Elements {
	var out g.Elements
	for _, e := range list {
		out.Append(g.Element{Key: w.key(e.addr, e.proto, e.port), Data: g.Data{Verdict: e.v}})
	}
	return out
}

func gotoChain(name string) g.Verdict { return g.Verdict{Op: g.Goto, Chain: name} }
func jumpChain(name string) g.Verdict { return g.Verdict{Op: g.Jump, Chain: name} }

var (
	serviceKey = []g.Field{g.AddrField, g.ProtoField, g.PortField}
	verdict    = []g.Field{g.VerdictField}
	addrPort   = []g.Field{g.AddrField, g.PortField}

	service  = g.Concat{g.DestAddr, g.L4Proto{}, g.DestPort}
	original = g.Concat{g.CtOriginalDest, g.L4Proto{}, g.CtOriginalDestPort}
)

const fixtureComment = "svcctl: service rules; edits are overwritten"

func programTable(f g.Family) *g.Table {
	w := words{family: f}
	t := &g.Table{Family: f, Name: "svcctl", Comment: fixtureComment, Sets: w.sets(), Chains: w.chains()}
	for _, s := range t.Sets {
		s.SortElements()
	}
	return t
}

func program() *g.Ruleset {
	return &g.Ruleset{Tables: []*g.Table{programTable(g.IPv4), programTable(g.IPv6)}}
}

func (w words) sets() []*g.Set {
	addr := []g.Field{g.AddrField}
	return []*g.Set{
		{Name: "cluster-cidrs", Key: addr, Interval: true, Elements: w.ranges("10.1.0.0", "10.1.255.255")},
		{Name: "service-cidrs", Key: addr, Interval: true, Elements: w.ranges("10.96.0.0", "10.96.255.255")},
		{
			Name: "node-port-addresses", Key: addr, Interval: true,
			Elements: w.ranges("0.0.0.0", "126.255.255.255", "128.0.0.0", "255.255.255.255"),
		},
		{Name: "services", Key: serviceKey, Data: verdict, Size: 1024, Elements: w.verdicts(
			verdictAt{"10.96.0.1", g.TCP, 80, gotoChain("random-4")},
			verdictAt{"10.96.0.2", g.TCP, 80, gotoChain("affinity-random-4")},
			verdictAt{"10.96.0.9", g.TCP, 80, gotoChain("affinity-random-1")},
			verdictAt{"0.0.0.0", g.TCP, 30000, gotoChain("node-port-random-4")},
			verdictAt{"203.0.113.5", g.TCP, 80, gotoChain("local-random-1-4")},
			verdictAt{"0.0.0.0", g.TCP, 30001, gotoChain("node-port-local-random-1-4")},
		)},
		{
			Name: "endpoints", Key: append(slices.Clone(serviceKey), g.SlotField), Data: addrPort,
			Elements: w.endpoints(
				endpoint{"10.96.0.1", 80, 0, "10.1.1.2"}, endpoint{"10.96.0.1", 80, 1, "10.1.2.2"},
				endpoint{"10.96.0.1", 80, 2, "10.1.3.2"}, endpoint{"10.96.0.9", 80, 0, "192.168.0.1"},
				endpoint{"10.96.0.2", 80, 0, "10.1.1.2"}, endpoint{"10.96.0.2", 80, 1, "10.1.2.2"},
				endpoint{"10.96.0.2", 80, 2, "10.1.3.2"}, endpoint{"0.0.0.0", 30000, 0, "10.1.1.2"},
				endpoint{"0.0.0.0", 30000, 1, "10.1.2.2"}, endpoint{"0.0.0.0", 30000, 2, "10.1.3.2"},
				endpoint{"203.0.113.5", 80, 0, "10.1.1.2"}, endpoint{"203.0.113.5", 80, 1, "10.1.2.2"},
				endpoint{"203.0.113.5", 80, 2, "10.1.3.2"}, endpoint{"203.0.113.5", 80, 32768, "10.1.1.2"},
				endpoint{"0.0.0.0", 30001, 0, "10.1.1.2"}, endpoint{"0.0.0.0", 30001, 1, "10.1.2.2"},
				endpoint{"0.0.0.0", 30001, 2, "10.1.3.2"}, endpoint{"0.0.0.0", 30001, 32768, "10.1.2.2"},
			),
		},
		{
			Name: "affinity", Key: []g.Field{g.AddrField, g.AddrField, g.ProtoField, g.PortField}, Data: addrPort,
			Dynamic: true, Timeout: true, Size: 65536,
		},
		{Name: "affinity-timeouts", Key: serviceKey, Data: verdict, Elements: w.verdicts(
			verdictAt{"10.96.0.2", g.TCP, 80, jumpChain("learn-10800")},
			verdictAt{"10.96.0.9", g.TCP, 80, jumpChain("learn-10800")},
		)},
		{Name: "masquerade-services", Key: serviceKey, Data: verdict, Elements: w.verdicts(
			verdictAt{"10.96.0.1", g.TCP, 80, gotoChain("masquerade-off-cluster")},
			verdictAt{"10.96.0.2", g.TCP, 80, gotoChain("masquerade-off-cluster")},
			verdictAt{"0.0.0.0", g.TCP, 30000, gotoChain("masquerade-always")},
			verdictAt{"203.0.113.5", g.TCP, 80, gotoChain("masquerade-node-local")},
			verdictAt{"0.0.0.0", g.TCP, 30001, gotoChain("masquerade-node-local")},
		)},
		{Name: "hairpin", Key: []g.Field{g.AddrField, g.AddrField}, Elements: g.ElementsOf([]g.Element{
			{Key: g.Key{Addr: w.a("10.1.1.2"), Peer: w.a("10.1.1.2")}},
			{Key: g.Key{Addr: w.a("10.1.2.2"), Peer: w.a("10.1.2.2")}},
			{Key: g.Key{Addr: w.a("10.1.3.2"), Peer: w.a("10.1.3.2")}},
		})},
		{Name: "no-endpoint-services", Key: serviceKey, Data: verdict, Elements: w.verdicts(
			verdictAt{"10.96.0.7", g.TCP, 80, gotoChain("reject-new")},
			verdictAt{"10.96.0.8", g.UDP, 53, g.Verdict{Op: g.Drop}},
			verdictAt{"0.0.0.0", g.SCTP, 30007, gotoChain("reject-new")},
		)},
		{Name: "restricted-services", Key: serviceKey, Elements: g.ElementsOf([]g.Element{{Key: w.key("203.0.113.9", g.TCP, 80)}})},
		{
			Name: "source-ranges", Key: append(slices.Clone(serviceKey), g.AddrField), Interval: true,
			Elements: g.ElementsOf([]g.Element{
				{Key: w.sourceRange("198.51.100.0", "198.51.100.255")},
				{Key: w.sourceRange("10.1.0.0", "10.1.255.255")},
				{Key: w.sourceRange("192.168.0.1", "192.168.0.1")},
			}),
		},
		{Name: "cluster-ips", Key: addr, Elements: g.ElementsOf([]g.Element{
			{Key: g.Key{Addr: w.a("10.96.0.1")}},
			{Key: g.Key{Addr: w.a("10.96.0.2")}},
			{Key: g.Key{Addr: w.a("10.96.0.7")}},
			{Key: g.Key{Addr: w.a("10.96.0.8")}},
		})},
	}
}

func (w words) sourceRange(from, to string) g.Key {
	k := w.key("203.0.113.9", g.TCP, 80)
	k.Peer, k.RangeTo = w.a(from), w.a(to)
	return k
}

func (w words) nodePort(x g.Expr) g.Concat {
	last := g.Expr(g.DestPort)
	if x == g.CtOriginalDest {
		last = g.CtOriginalDestPort
	}
	return g.Concat{g.Masked{X: x, Mask: w.family.Unspecified()}, g.L4Proto{}, last}
}

func rule(s ...g.Stmt) g.Rule { return g.Rule{Stmts: s} }

func tries(n int, key g.Concat, mod, offset uint32) []g.Rule {
	slot := func(mod uint32) g.Rule {
		return rule(g.DNAT{X: append(slices.Clone(key), g.Numgen{Mod: mod, Offset: offset}), Map: "endpoints"})
	}
	var out []g.Rule
	for range n {
		out = append(out, slot(mod))
	}
	return append(out, slot(1))
}

func do(v g.Verdict) g.Stmt { return g.Do{Verdict: v} }

func is(p g.Proto) g.Stmt { return g.Match{X: g.L4Proto{}, Value: p} }

func (w words) chains() []*g.Chain {
	client := g.Concat{g.SourceAddr, g.DestAddr, g.L4Proto{}, g.DestPort}
	local := g.Match{X: g.FibType{Of: g.SourceAddr}, Value: g.AddrTypeLocal}
	fromPod := g.MatchSet{X: g.SourceAddr, Set: "cluster-cidrs"}
	nodePort, nodePortBefore := w.nodePort(g.DestAddr), w.nodePort(g.CtOriginalDest)
	learn := g.Update{
		Map: "affinity", Key: g.Concat{g.CtOriginalSource, g.CtOriginalDest, g.L4Proto{}, g.CtOriginalDestPort},
		Timeout: 3 * time.Hour, Data: g.Concat{g.DestAddr, g.DestPort},
	}
	affine := func(next string) []g.Rule {
		return []g.Rule{rule(g.DNAT{X: client, Map: "affinity"}), rule(do(gotoChain(next)))}
	}
	return append([]*g.Chain{
		{Name: "random-4", Rules: tries(8, service, 4, 0)},
		{Name: "node-port-random-4", Rules: tries(8, nodePort, 4, 0)},
		{Name: "random-1", Rules: tries(0, service, 1, 0)},
		{Name: "affinity-random-1", Rules: affine("random-1")},
		{Name: "affinity-random-4", Rules: affine("random-4")},
		{Name: "local-random-1-4", Rules: append([]g.Rule{
			rule(fromPod, do(gotoChain("random-4"))), rule(local, do(gotoChain("random-4"))),
		}, tries(0, service, 1, 32768)...)},
		{Name: "node-port-local-random-1-4", Rules: append([]g.Rule{
			rule(fromPod, do(gotoChain("node-port-random-4"))), rule(local, do(gotoChain("node-port-random-4"))),
		}, tries(0, nodePort, 1, 32768)...)},
		{Name: "learn-10800", Rules: []g.Rule{
			rule(is(g.TCP), g.Counter{}, learn), rule(is(g.UDP), g.Counter{}, learn), rule(is(g.SCTP), g.Counter{}, learn),
		}},
		{Name: "masquerade-always", Rules: []g.Rule{rule(g.Masquerade{})}},
		{Name: "masquerade-off-cluster", Rules: []g.Rule{
			rule(g.MatchSet{X: g.CtOriginalSource, Not: true, Set: "cluster-cidrs"}, g.Masquerade{}),
		}},
		{Name: "masquerade-node-local", Rules: []g.Rule{rule(local, g.Masquerade{})}},
		{Name: "reject-new", Rules: []g.Rule{
			rule(is(g.TCP), g.Reject{With: g.TCPReset}), rule(g.Reject{With: g.PortUnreachable}),
		}},
		{Name: "dispatch", Rules: []g.Rule{
			rule(g.LookupVerdict{X: service, Map: "services"}),
			rule(g.Match{X: g.FibType{Of: g.DestAddr}, Value: g.AddrTypeLocal},
				g.MatchSet{X: g.DestAddr, Set: "node-port-addresses"}, g.LookupVerdict{X: nodePort, Map: "services"}),
		}},
		{Name: "learn", Rules: []g.Rule{
			rule(is(g.TCP), g.LookupVerdict{X: original, Map: "affinity-timeouts"}),
			rule(is(g.UDP), g.LookupVerdict{X: original, Map: "affinity-timeouts"}),
			rule(is(g.TCP), g.LookupVerdict{X: nodePortBefore, Map: "affinity-timeouts"}),
		}},
		{Name: "translated", Rules: []g.Rule{
			rule(do(jumpChain("learn"))),
			rule(g.MatchSet{X: g.Concat{g.SourceAddr, g.DestAddr}, Set: "hairpin"}, g.Masquerade{}),
			rule(is(g.TCP), g.LookupVerdict{X: original, Map: "masquerade-services"}),
			rule(is(g.TCP), g.LookupVerdict{X: nodePortBefore, Map: "masquerade-services"}),
		}},
		{Name: "source-check", Rules: []g.Rule{
			rule(g.MatchSet{X: service, Set: "restricted-services"},
				g.MatchSet{X: append(slices.Clone(service), g.SourceAddr), Not: true, Set: "source-ranges"},
				do(g.Verdict{Op: g.Drop})),
		}},
		{Name: "unserved", Rules: []g.Rule{
			rule(g.LookupVerdict{X: service, Map: "no-endpoint-services"}),
			rule(g.MatchSet{X: g.DestAddr, Set: "cluster-ips"}, do(gotoChain("reject-new"))),
			rule(g.MatchSet{X: g.DestAddr, Set: "service-cidrs"}, do(g.Verdict{Op: g.Drop})),
		}},
	}, w.baseChains()...)
}

func (w words) baseChains() []*g.Chain {
	fresh := g.Match{X: g.CtState, Value: g.CtNew}
	translated := g.Match{X: g.CtStatus, Value: g.CtDNAT}
	base := func(name string, typ g.ChainType, point g.HookPoint, priority int32, r g.Rule) *g.Chain {
		return &g.Chain{
			Name: name, Hook: &g.Hook{Type: typ, Point: point, Priority: priority}, Rules: []g.Rule{r},
		}
	}
	return []*g.Chain{
		base("nat-prerouting", g.NATChain, g.Prerouting, -100, rule(do(gotoChain("dispatch")))),
		base("nat-output", g.NATChain, g.Output, -100, rule(do(gotoChain("dispatch")))),
		base("nat-postrouting", g.NATChain, g.Postrouting, 100, rule(translated, do(gotoChain("translated")))),
		base("nat-input", g.NATChain, g.Input, 100, rule(translated, do(gotoChain("learn")))),
		base("filter-prerouting", g.FilterChain, g.Prerouting, -110, rule(fresh, do(gotoChain("source-check")))),
		base("filter-input", g.FilterChain, g.Input, 0, rule(fresh,
			g.LookupVerdict{X: w.nodePort(g.DestAddr), Map: "no-endpoint-services"})),
		base("filter-forward", g.FilterChain, g.Forward, 0, rule(fresh, do(gotoChain("unserved")))),
		base("filter-output", g.FilterChain, g.Output, 0, rule(fresh, do(gotoChain("unserved")))),
	}
}

// createPlan puts whole tables into a namespace where they are not yet.
func createPlan(op plan.Op, tables ...*g.Table) *plan.Plan {
	p := &plan.Plan{}
	for _, t := range tables {
		c := plan.TableChange{
			Op: op, Family: t.Family, Name: t.Name, Comment: t.Comment,
			AddSets: t.Sets, AddChains: t.Chains, SetRules: t.Chains,
		}
		for _, s := range t.Sets {
			if s.Elements.Len() > 0 {
				c.Elements = append(c.Elements, plan.ElementChange{Set: s, Add: s.Elements})
			}
		}
		p.Tables = append(p.Tables, c)
	}
	return p
}
