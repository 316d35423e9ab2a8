package plan_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// world is a ruleset told by its services: what a test says of flows needs no slots.
type world map[graph.Key]member

// member is one service address: its endpoints, and those that are spared. One without endpoints is refused.
type member struct {
	endpoints, spared []netip.AddrPort
}

var nodePortRange = graph.Key{Addr: netip.MustParseAddr("192.168.0.0"), RangeTo: netip.MustParseAddr("192.168.0.255")}

// ruleset writes the world down as the compiler would. Endpoints are moved by so many slots.
func (w world) ruleset(shift int) *graph.Ruleset {
	ports := []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField}
	services := &graph.Set{Name: graph.ServicesMap, Key: ports, Data: []graph.Field{graph.VerdictField}}
	none := &graph.Set{Name: graph.NoEndpointsMap, Key: ports, Data: []graph.Field{graph.VerdictField}}
	endpoints := &graph.Set{
		Name: graph.EndpointsMap, Key: append(slices.Clone(ports), graph.SlotField),
		Data: []graph.Field{graph.AddrField, graph.PortField},
	}
	for key, m := range w {
		owner := &graph.Owner{Spared: m.spared}
		if len(m.endpoints) == 0 {
			none.Elements.Append(graph.Element{Key: key, Owner: owner})
			continue
		}
		services.Elements.Append(graph.Element{
			Key: key, Owner: owner, Data: graph.Data{Verdict: graph.Verdict{Op: graph.Goto + graph.VerdictOp(shift%2) - 1}},
		})
		for i, e := range m.endpoints {
			key.Slot = uint32((i + shift) % (len(m.endpoints) + 1))
			endpoints.Elements.Append(graph.Element{Key: key, Data: graph.Data{Addr: e.Addr(), Port: e.Port()}})
		}
	}
	ranges := &graph.Set{
		Name: graph.NodePortAddressesSet, Elements: graph.ElementsOf([]graph.Element{{Key: nodePortRange}}),
	}
	t := &graph.Table{Name: "t", Sets: []*graph.Set{services, none, endpoints, ranges}}
	for _, s := range t.Sets {
		s.SortElements()
	}
	return &graph.Ruleset{Tables: []*graph.Table{t}}
}

func addrPorts(s ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range s {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func at(s string, p graph.Proto) graph.Key {
	a := netip.MustParseAddrPort(s)
	return graph.Key{Addr: a.Addr(), Proto: p, Port: a.Port()}
}

func staleFlows(was, want *graph.Ruleset) []plan.StaleFlow {
	return plan.StaleFlows(plan.Diff(was, want), was, want, nil)
}

func TestStaleFlows(t *testing.T) {
	var (
		a, b, c  = "10.1.1.2:53", "10.1.2.2:53", "10.1.3.2:53"
		dns      = at("10.96.0.1:53", graph.UDP)
		nodePort = at("0.0.0.0:30053", graph.UDP)
		of       = func(endpoints ...string) member { return member{endpoints: addrPorts(endpoints...)} }
		stale    = func(k graph.Key, untranslated bool, keep ...string) plan.StaleFlow {
			return plan.StaleFlow{Proto: k.Proto, Addr: k.Addr, Port: k.Port, Keep: addrPorts(keep...), Untranslated: untranslated}
		}
		others = world{at("10.96.0.2:53", graph.UDP): of(a, b), at("10.96.0.1:53", graph.TCP): of(a)}
	)
	for name, tc := range map[string]struct {
		was, want world
		flows     []plan.StaleFlow
	}{
		"nothing changes":            {world{dns: of(a, b)}, world{dns: of(a, b)}, nil},
		"an endpoint comes":          {world{dns: of(a)}, world{dns: of(a, b)}, nil},
		"an endpoint goes":           {world{dns: of(a, b)}, world{dns: of(b)}, []plan.StaleFlow{stale(dns, true, b)}},
		"an endpoint is another":     {world{dns: of(a, b)}, world{dns: of(b, c)}, []plan.StaleFlow{stale(dns, true, b, c)}},
		"the first endpoint":         {world{dns: of()}, world{dns: of(a)}, []plan.StaleFlow{stale(dns, true, a)}},
		"scaled to zero":             {world{dns: of(a)}, world{dns: of()}, []plan.StaleFlow{stale(dns, true)}},
		"a new Service":              {nil, world{dns: of(a)}, []plan.StaleFlow{stale(dns, true, a)}},
		"a new one without anything": {nil, world{dns: of()}, nil},
		"a deleted Service":          {world{dns: of(a)}, nil, []plan.StaleFlow{stale(dns, false)}},
		"an endpoint serves, but others are used": {
			world{dns: of(a)}, world{dns: {addrPorts(b), addrPorts(a)}}, nil,
		},
		"one of the two goes": {
			world{dns: of(a, c)},
			world{dns: {addrPorts(b), addrPorts(a)}},
			[]plan.StaleFlow{stale(dns, true, a, b)},
		},
		"dropped here, serving elsewhere": {
			world{dns: of(a)}, world{dns: {nil, addrPorts(b)}}, []plan.StaleFlow{stale(dns, true, b)},
		},
		"TCP": {world{at("10.96.0.9:80", graph.TCP): of(a)}, nil, nil},
		"SCTP": {
			world{at("10.96.0.9:80", graph.SCTP): of(a)},
			nil,
			[]plan.StaleFlow{stale(at("10.96.0.9:80", graph.SCTP), false)},
		},
		"a node port": {
			world{nodePort: of(a), at("192.168.0.7:30053", graph.UDP): of(b)},
			world{nodePort: of(c), at("192.168.0.7:30053", graph.UDP): of(b), at("192.168.0.6:30053", graph.UDP): of(b)},
			[]plan.StaleFlow{
				{
					Proto: graph.UDP, Addr: nodePort.Addr, Port: 30053, Keep: addrPorts(c), Untranslated: true,
					Within: []plan.AddrRange{{nodePortRange.Addr, nodePortRange.RangeTo}},
					Except: []netip.Addr{netip.MustParseAddr("192.168.0.6"), netip.MustParseAddr("192.168.0.7")},
				},
				stale(at("192.168.0.6:30053", graph.UDP), true, b),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			was, want := world{}, world{}
			for key, m := range others {
				was[key], want[key] = m, m
			}
			for key, m := range tc.was {
				was[key] = m
			}
			for key, m := range tc.want {
				want[key] = m
			}
			// Another place in other slots is no other endpoint.
			if d := cmp.Diff(tc.flows, staleFlows(was.ruleset(0), want.ruleset(1)), compare...); d != "" {
				t.Errorf("want (-), got (+):\n%s", d)
			}
		})
	}
}

// Where a table is made or goes as a whole, every address of it is looked at.
func TestStaleFlowsOfWholeTables(t *testing.T) {
	none := &graph.Ruleset{}
	w := world{
		at("10.96.0.1:53", graph.UDP): {endpoints: addrPorts("10.1.1.2:53")},
		at("10.96.0.2:53", graph.UDP): {},
		at("10.96.0.3:80", graph.TCP): {endpoints: addrPorts("10.1.1.2:80")},
	}
	count := func(flows []plan.StaleFlow) (n, untranslated int) {
		for _, f := range flows {
			if f.Untranslated {
				untranslated++
			}
		}
		return len(flows), untranslated
	}
	if n, u := count(staleFlows(none, w.ruleset(0))); n != 2 || u != 2 {
		t.Errorf("a new table: %d addresses, %d with flows that were not translated; want 2 and 2", n, u)
	}
	if n, u := count(staleFlows(w.ruleset(0), none)); n != 2 || u != 0 {
		t.Errorf("a table that goes: %d addresses, %d with flows that were not translated; want 2 and 0", n, u)
	}
	other := w.ruleset(0)
	other.Tables[0].Comment = "another" // the kernel cannot change it in place
	delete(w, at("10.96.0.1:53", graph.UDP))
	if n, u := count(staleFlows(other, w.ruleset(0))); n != 2 || u != 1 {
		t.Errorf("a replaced table: %d addresses, %d with flows that were not translated; want 2 and 1", n, u)
	}
	if got := plan.StaleFlows(&plan.Plan{}, w.ruleset(0), none, nil); got != nil {
		t.Errorf("an empty plan: %+v", got)
	}
}

// An endpoint that got no new connections any more stops serving: no element changes, and its flows have to go.
func TestStaleFlowsOfChangedServices(t *testing.T) {
	dns, other, refused := at("10.96.0.1:53", graph.UDP), at("10.96.0.2:53", graph.UDP), at("10.96.0.3:53", graph.UDP)
	a := addrPorts("10.1.1.2:53")
	want := world{dns: {endpoints: a}, other: {endpoints: a}, refused: {}, at("10.96.0.1:80", graph.TCP): {endpoints: a}}.ruleset(0)
	named := map[*graph.Owner]bool{}
	for _, s := range want.Tables[0].Sets {
		for e := range s.Elements.All() {
			named[e.Owner] = e.Key.Addr != other.Addr
		}
	}
	got := plan.StaleFlows(&plan.Plan{}, want, want, func(o *graph.Owner) bool { return named[o] })
	if d := cmp.Diff([]plan.StaleFlow{
		{Proto: graph.UDP, Addr: dns.Addr, Port: 53, Keep: a, Untranslated: true},
		{Proto: graph.UDP, Addr: refused.Addr, Port: 53, Untranslated: true},
	}, got, compare...); d != "" {
		t.Errorf("want (-), got (+):\n%s", d)
	}
}

// cut says whether a flow has to go between two worlds: the meaning of StaleFlows, written down once more for one flow
// and without plans, slots and sets.
func cut(was, want world, proto graph.Proto, f plan.Flow, own bool) bool {
	if proto == graph.TCP {
		return false
	}
	key := graph.Key{Addr: f.To.Addr(), Proto: proto, Port: f.To.Port()}
	if len(was[key].endpoints) == 0 && len(want[key].endpoints) == 0 {
		if !own || f.To.Addr().Compare(nodePortRange.Addr) < 0 || f.To.Addr().Compare(nodePortRange.RangeTo) > 0 {
			return false
		}
		key.Addr = netip.IPv4Unspecified()
	}
	before, now := was[key], want[key]
	_, wanted := want[key]
	keeps := func(e netip.AddrPort) bool {
		return slices.Contains(now.endpoints, e) || wanted && slices.Contains(now.spared, e)
	}
	touched := (len(before.endpoints) > 0) != (len(now.endpoints) > 0) ||
		slices.ContainsFunc(before.endpoints, func(e netip.AddrPort) bool { return !keeps(e) })
	return touched && !keeps(f.Endpoint) && (wanted || f.To != f.Endpoint)
}

func randomWorld(r *rand.Rand) world {
	some := func() (out []netip.AddrPort) {
		for i := range byte(4) {
			if r.IntN(3) == 0 {
				out = append(out, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, i, 2}), 53))
			}
		}
		return out
	}
	w := world{}
	for _, a := range flowAddrs {
		for _, p := range graph.Protos {
			for port := range uint16(2) {
				if r.IntN(3) > 0 {
					w[graph.Key{Addr: a, Proto: p, Port: port}] = member{some(), some()}
				}
			}
		}
	}
	return w
}

var flowAddrs = []netip.Addr{
	netip.IPv4Unspecified(), netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.96.0.2"),
	netip.MustParseAddr("192.168.0.7"),
}

func checkFlows(t *testing.T, r *rand.Rand) {
	t.Helper()
	was, want := randomWorld(r), randomWorld(r)
	for key, m := range was { // most of it stays
		if r.IntN(3) > 0 {
			want[key] = m
		}
	}
	stale := staleFlows(was.ruleset(r.IntN(3)), want.ruleset(r.IntN(3)))
	for _, a := range append([]netip.Addr{netip.MustParseAddr("192.168.0.8"), netip.MustParseAddr("192.168.1.8")}, flowAddrs[1:]...) {
		for _, p := range graph.Protos {
			f := plan.Flow{To: netip.AddrPortFrom(a, uint16(r.IntN(2)))}
			f.Endpoint = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(r.IntN(5)), 2}), 53)
			if r.IntN(4) == 0 {
				f.Endpoint = f.To
			}
			own := r.IntN(2) == 0
			got := slices.ContainsFunc(stale, func(s plan.StaleFlow) bool { return s.Proto == p && s.Cuts(f, own) })
			if w := cut(was, want, p, f, own); got != w {
				t.Fatalf("%s flow %+v (own %v): cut %v, want %v\nwas  %+v\nwant %+v\nstale %+v", p, f, own, got, w, was, want, stale)
			}
		}
	}
}

func TestRandomStaleFlows(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		checkFlows(t, r)
	}
}

func FuzzStaleFlows(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkFlows(t, rand.New(rand.NewPCG(seed, 0))) })
}

// What it costs to say which flows are stale, of one endpoint that goes and of a table that is new.
func BenchmarkStaleFlows(b *testing.B) {
	was, want := world{}, world{}
	for i := range 30_000 {
		key := graph.Key{Addr: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Proto: graph.UDP, Port: 53}
		var m member
		for k := range byte(10) {
			m.endpoints = append(m.endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), k}), 53))
		}
		was[key], want[key] = m, m
		if i == 7 {
			want[key] = member{endpoints: m.endpoints[1:]}
		}
	}
	before, after := was.ruleset(0), want.ruleset(0)
	for name, from := range map[string]*graph.Ruleset{"change": before, "create": {}} {
		p := plan.Diff(from, after)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if len(plan.StaleFlows(p, from, after, nil)) == 0 {
					b.Fatal("none")
				}
			}
		})
	}
}
