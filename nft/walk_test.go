package nft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler"
	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// randomModel has a few Services of every kind, few enough addresses that two models share many, and as many endpoints as
// make chains of shapes come and go.
func randomModel(r *rand.Rand) *resolve.Model {
	m := &resolve.Model{}
	for i := range r.IntN(6) {
		svc := &resolve.Service{}
		svc.Ref.Kind, svc.Ref.Namespace, svc.Ref.Name = "service", "demo", fmt.Sprintf("s%d", i)
		m.Services = append(m.Services, svc)
		for _, f := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
			m.ServicePorts = append(m.ServicePorts, randomServicePort(r, svc, f, i))
		}
	}
	slices.SortStableFunc(m.ServicePorts, func(a, b *resolve.ServicePort) int { return slices.Compare([]byte(a.Family), []byte(b.Family)) })
	return m
}

func randomServicePort(r *rand.Rand, svc *resolve.Service, f corev1.IPFamily, number int) *resolve.ServicePort {
	addr := func(v4, v6 string) netip.Addr {
		if f == corev1.IPv6Protocol {
			return netip.MustParseAddr(v6)
		}
		return netip.MustParseAddr(v4)
	}
	sp := &resolve.ServicePort{
		Service: svc, Family: f, Protocol: []corev1.Protocol{"TCP", "UDP", "SCTP"}[number%3],
		Affinity: time.Duration(r.IntN(3)) * time.Hour,
	}
	add := func(kind resolve.AddressKind, a netip.Addr, port uint16) {
		sp.Addresses = append(sp.Addresses, resolve.Address{Kind: kind, Addr: a, Port: port, LocalOnly: kind != resolve.ClusterIP && r.IntN(2) == 0})
	}
	add(resolve.ClusterIP, addr(fmt.Sprintf("10.96.0.%d", number+1), fmt.Sprintf("fd00:10:96::%d", number+1)), 80)
	if r.IntN(2) == 0 {
		add(resolve.NodePort, addr("0.0.0.0", "::"), uint16(30000+number))
	}
	if r.IntN(2) == 0 {
		a := addr(fmt.Sprintf("203.0.113.%d", number+1), fmt.Sprintf("2001:db8::%d", number+1))
		add(resolve.LoadBalancerIP, a, 80)
		if r.IntN(2) == 0 {
			last := &sp.Addresses[len(sp.Addresses)-1]
			last.Restricted, last.SourceRanges = true, []netip.Prefix{netip.PrefixFrom(addr("198.51.100.0", "2001:db8:1::"), 24+r.IntN(4))}
		}
	}
	for i := range r.IntN([]int{1, 3, 9, 40}[r.IntN(4)]) {
		e := resolve.Endpoint{Addr: netip.AddrPortFrom(addr(fmt.Sprintf("10.1.0.%d", i+1), fmt.Sprintf("fd00:10:1::%d", i+1)), 8080)}
		if r.IntN(4) > 0 {
			sp.Cluster = append(sp.Cluster, e)
		}
		if r.IntN(3) == 0 {
			sp.Local = append(sp.Local, e)
		}
	}
	sp.HasEndpoints = len(sp.Cluster) > 0
	return sp
}

// twist makes changes to a ruleset that only another version of svcctl would: other priorities, another type of a set.
func twist(r *rand.Rand, rs *g.Ruleset) {
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			if c.Hook != nil && r.IntN(20) == 0 {
				hook := *c.Hook
				hook.Priority += 1 + r.Int32N(3)
				c.Hook = &hook
			}
		}
		if r.IntN(12) == 0 {
			s := t.Set("cluster-ips")
			s.Interval = true
			elements := slices.Collect(s.Elements.All())
			for i := range elements {
				elements[i].Key.RangeTo = elements[i].Key.Addr
			}
			s.Elements = g.ElementsOf(elements)
		}
	}
}

// learnSome puts clients into the affinity maps, as the packet path does: of endpoints that there are.
func learnSome(t *testing.T, r *rand.Rand, c *Conn, rs *g.Ruleset) {
	t.Helper()
	p := &plan.Plan{}
	for _, table := range rs.Tables {
		k := plan.KeptElements{Set: table.Set(g.AffinityMap)}
		already := read(t, c).Ruleset.Table(table.Family).Set(g.AffinityMap)
		for e := range table.Set(g.EndpointsMap).Elements.All() {
			client := randomAddr(r, table.Family)
			if e.Key.Addr == table.Family.Unspecified() || r.IntN(4) > 0 {
				continue
			}
			key := g.Key{Addr: client, Peer: e.Key.Addr, Proto: e.Key.Proto, Port: e.Key.Port}
			if _, there := already.Find(key); there || slices.ContainsFunc(slices.Collect(k.Elements.All()), func(o g.Element) bool { return o.Key == key }) {
				continue
			}
			k.Elements.Append(g.Element{Key: key, Data: e.Data})
			k.Lifetimes = append(k.Lifetimes, g.Lifetime{Timeout: time.Hour, Expires: time.Hour})
		}
		if k.Elements.Len() > 0 {
			p.Tables = append(p.Tables, plan.TableChange{Op: plan.Update, Family: table.Family, Name: table.Name, Keep: []plan.KeptElements{k}})
		}
	}
	commit(t, c, p)
}

// pods are the addresses of pods in the walk.
var pods = netip.MustParsePrefix("10.1.0.0/16")

// remaining gives the elements of an affinity map whose endpoint a table has for their client: clients from outside have no
// others of a service with the traffic policy Local than those in its local slots.
func remaining(was, want *g.Table) g.Elements {
	var out g.Elements
	if was == nil {
		return out
	}
	endpoints := slices.Collect(want.Set(g.EndpointsMap).Elements.All())
	local := func(e g.Element) bool {
		service, _ := want.Set(g.ServicesMap).Find(g.Key{Addr: e.Key.Peer, Proto: e.Key.Proto, Port: e.Key.Port})
		return strings.Contains(service.Data.Verdict.Chain, "local-") && e.Key.Addr != e.Key.Peer && !pods.Contains(e.Key.Addr)
	}
	for e := range was.Set(g.AffinityMap).Elements.All() {
		if slices.ContainsFunc(endpoints, func(x g.Element) bool {
			return x.Key.Addr == e.Key.Peer && x.Key.Proto == e.Key.Proto && x.Key.Port == e.Key.Port && x.Data == e.Data &&
				(!local(e) || x.Key.Slot >= 32768)
		}) {
			out.Append(e)
		}
	}
	return out
}

// TestWalk walks over random configurations, on this kernel and on what older ones can do: each step leads to exactly what
// is wanted, and the clients whose endpoints are still there are remembered, whatever had to be made again.
func TestWalk(t *testing.T) {
	for _, release := range []string{"6.18", "6.4", "6.2", "6.1"} {
		t.Run(release, func(t *testing.T) { walkRandomly(t, kernelOf(release), 40) })
	}
}

func walkRandomly(t *testing.T, k kernel, steps int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c := openPrivate(t)
	c.kernel = k
	var counts struct{ replaced, remade, late, kept, forgotten int }
	for i := range steps {
		want, err := compiler.Compile(randomModel(r), compiler.Config{
			Table: "svcctl", AffinityMapSize: 1000 + 8*r.Uint32N(2), MasqueradeAll: r.IntN(2) == 0, Counters: r.IntN(3) > 0,
			ClusterCIDRs: []netip.Prefix{pods},
			ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")},
		})
		if err != nil {
			t.Fatal(err)
		}
		twist(r, want)
		before := read(t, c)
		p := plan.Diff(before.Ruleset, want)
		for _, s := range stages(p, k) {
			checkStage(t, before.Ruleset, s.plan, k)
		}
		if err := c.Commit(t.Context(), p, before.Generation); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		after := read(t, c)
		if again := plan.Diff(after.Ruleset, want); !again.Empty() || len(after.Unknown) > 0 {
			t.Fatalf("step %d: still to do %+v, unknown %q", i, again.Count(), after.Unknown)
		}
		if err := c.VerifyCounts(t.Context(), want); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		for _, table := range want.Tables {
			was := before.Ruleset.Table(table.Family)
			stay := remaining(was, table)
			if got := after.Ruleset.Table(table.Family).Set(g.AffinityMap).Elements; !got.Equal(stay) {
				t.Fatalf("step %d: %d clients are remembered, want %d", i, got.Len(), stay.Len())
			}
			counts.kept += stay.Len()
			if was != nil {
				counts.forgotten += was.Set(g.AffinityMap).Elements.Len() - stay.Len()
			}
		}
		for _, change := range p.Tables {
			counts.remade += len(change.RemakeChains)
			if change.Op == plan.Replace {
				counts.replaced++
			} else if len(lateChains(&change)) > 0 {
				counts.late++
			}
		}
		learnSome(t, r, c, want)
	}
	t.Logf("%+v", counts)
	if counts.replaced == 0 || counts.remade == 0 || counts.late == 0 || counts.kept == 0 || counts.forgotten == 0 {
		t.Errorf("something never happened: %+v", counts)
	}
}

// checkStage insists that a transaction asks nothing of a kernel that it cannot do.
func checkStage(t *testing.T, observed *g.Ruleset, p *plan.Plan, k kernel) {
	t.Helper()
	for _, c := range p.Tables {
		if k.fixedSizes && len(c.GrowSets) > 0 {
			t.Errorf("%d sets are given another size", len(c.GrowSets))
		}
		if c.Op != plan.Update || !k.lateChains {
			continue
		}
		gone := map[string]bool{}
		for _, ch := range c.DelChains {
			gone[ch.Name] = true
		}
		for _, e := range c.Elements {
			was := observed.Table(c.Family).Set(e.Set.Name)
			for del := range e.Del.All() {
				if x, ok := was.Find(del.Key); ok && gone[x.Data.Verdict.Chain] {
					t.Errorf("chain %s goes in the transaction of an element that referred to it", x.Data.Verdict.Chain)
				}
			}
		}
	}
	if !k.plainDelete {
		return
	}
	sent, _ := encode(p, 1, 0, k)
	for h := range messages(sent.buf) {
		if h.typ == nftType(nftMsgDestroySetElem) {
			t.Error("a message that the kernel does not know")
		}
	}
}

// On kernels before Linux 6.3 a remembered client that is to be forgotten may expire first: a conflict, and the next plan
// does not want it gone any more.
func TestExpiredBeforeDeletion(t *testing.T) {
	c := openPrivate(t)
	c.kernel = kernelOf("6.1")
	want := program()
	commit(t, c, createPlan(plan.Create, want.Tables...))
	table := want.Table(g.IPv4)
	gone := words{}.key("198.51.100.0", g.TCP, 80)
	gone.Peer = words{}.a("10.96.0.2")
	k := plan.KeptElements{
		Set:       table.Set(g.AffinityMap),
		Elements:  g.ElementsOf([]g.Element{{Key: gone, Data: g.Data{Addr: words{}.a("203.0.113.9"), Port: 8080}}}),
		Lifetimes: []g.Lifetime{{Timeout: time.Second, Expires: 300 * time.Millisecond}},
	}
	commit(t, c, &plan.Plan{Tables: []plan.TableChange{{Op: plan.Update, Name: "svcctl", Keep: []plan.KeptElements{k}}}})
	before := read(t, c)
	p := plan.Diff(before.Ruleset, want)
	if n := p.Count().ElementsDeleted; n != 1 {
		t.Fatalf("planned: %+v", p.Count())
	}
	time.Sleep(600 * time.Millisecond)
	if err := c.Commit(t.Context(), p, before.Generation); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	if again := plan.Diff(read(t, c).Ruleset, want); !again.Empty() {
		t.Errorf("planned again: %+v", again.Count())
	}
}
