package behaviour_test

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/compiler/trace"
)

func compile(t testing.TB, text string) *graph.Ruleset {
	t.Helper()
	bundle, found := manifest.Decode([]manifest.Source{{Name: "services.yaml", Data: []byte(text)}}, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolve.Config{NodeName: "this-node"})
	if err := append(found, more...).Err(); err != nil {
		t.Fatal(err)
	}
	rs, err := compiler.Compile(m, compiler.Config{
		Table: "svcctl", AffinityMapSize: 65536,
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:10:1::/48")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// What is said of all clients at once is what happens to a packet of one, for every address of every golden case.
func TestAgreesWithTrace(t *testing.T) {
	files, err := os.ReadDir("../../golden/cases")
	if err != nil {
		t.Fatal(err)
	}
	host := trace.Host{Local: []netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("fd00:168::1")}}
	// Addresses that nothing else has, of the kinds of clients.
	sources := map[behaviour.Client][2]string{
		behaviour.Pods:    {"10.1.250.250", "fd00:10:1:250::250"},
		behaviour.Node:    {"192.168.0.1", "fd00:168::1"},
		behaviour.Outside: {"198.51.100.77", "2001:db8:77::77"},
	}
	checked, served, unserved := 0, 0, 0
	pods := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:10:1::/48")}
	for i := range 2 * len(files) {
		f, cidrs := files[i/2], pods
		if i%2 == 1 {
			cidrs = nil // then nobody is known for a pod
		}
		rs, ok := tryCompile(t, "../../golden/cases/"+f.Name(), cidrs)
		if !ok {
			continue
		}
		t.Run(f.Name(), func(t *testing.T) {
			for _, a := range behaviour.Of(rs, nil).Addresses {
				if a.Restricted || a.SourceHash {
					continue // both depend on the address of the client
				}
				to, family := a.Addr, 0
				if a.Addr.Is6() {
					family = 1
				}
				if a.Kind == behaviour.NodePort {
					to = host.Local[family]
				}
				for c, s := range sources {
					r, err := trace.Walk(rs, host, trace.Packet{
						Source: netip.AddrPortFrom(netip.MustParseAddr(s[family]), 40000),
						Dest:   netip.AddrPortFrom(to, a.Port), Proto: a.Proto,
					})
					if err != nil {
						t.Fatal(err)
					}
					checked++
					if a.Reach[c].Fate == behaviour.Served {
						served++
					} else {
						unserved++
					}
					if got, want := reachText(a.Reach[c]), traceText(r); got != want {
						t.Errorf("%s from %s: %s, but a packet: %s", a.Key, c, got, want)
					}
				}
			}
		})
	}
	if checked < 200 || served < 100 || unserved < 10 {
		t.Errorf("only %d ways were compared, %d served and %d not", checked, served, unserved)
	}
}

func tryCompile(t *testing.T, dir string, pods []netip.Prefix) (*graph.Ruleset, bool) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var sources []manifest.Source
	for _, e := range entries {
		if e.IsDir() || e.Name() == "flows.yaml" || e.Name() == "config.yaml" {
			continue
		}
		text, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, manifest.Source{Name: e.Name(), Data: text})
	}
	bundle, found := manifest.Decode(sources, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolve.Config{NodeName: "node-a", Zone: "zone-a"})
	if append(found, more...).HasErrors() {
		return nil, false
	}
	rs, err := compiler.Compile(m, compiler.Config{
		Table: "svcctl", AffinityMapSize: 65536, ClusterCIDRs: pods, Counters: pods == nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	return rs, true
}

func reachText(r behaviour.Reach) string {
	var parts []string
	for _, s := range r.Shares {
		parts = append(parts, fmt.Sprintf("%s %.9f", s.Endpoint, s.Part))
	}
	if r.Fate != behaviour.Served {
		parts = append(parts, r.Fate.String())
	}
	return strings.Join(parts, ", ")
}

func traceText(r *trace.Result) string {
	sums := map[netip.AddrPort]float64{}
	var endpoints []netip.AddrPort
	var parts []string
	for _, o := range r.Outcomes {
		switch o.Fate {
		case trace.Translated:
			if sums[o.Dest] == 0 {
				endpoints = append(endpoints, o.Dest)
			}
			sums[o.Dest] += o.Probability
		case trace.Rejected:
			parts = append(parts, "refused")
		case trace.Dropped:
			parts = append(parts, "dropped")
		case trace.Untouched:
			parts = append(parts, "untouched")
		}
	}
	slices.SortFunc(endpoints, netip.AddrPort.Compare)
	var out []string
	for _, e := range endpoints {
		out = append(out, fmt.Sprintf("%s %.9f", e, sums[e]))
	}
	return strings.Join(append(out, parts...), ", ")
}

// service writes a Service with one slice.
func service(name, spec, endpoints string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: demo}
spec: {%s}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: demo, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: p, port: 8080, protocol: %[4]s}]
endpoints: [%[3]s]
---
`, name, spec, endpoints, map[bool]string{true: "UDP", false: "TCP"}[strings.Contains(spec, "UDP")])
}

func endpoint(addrs ...string) string {
	var out []string
	for _, a := range addrs {
		out = append(out, "{addresses: ["+a+"], nodeName: this-node}")
	}
	return strings.Join(out, ", ")
}

const webSpec = "clusterIP: 10.96.0.1, ports: [{name: p, port: 80}]"

func compare(t *testing.T, before, after string) *behaviour.Diff {
	t.Helper()
	a, b := compile(t, before), compile(t, after)
	p := plan.Diff(a, b)
	return behaviour.Compare(behaviour.Of(a, nil), behaviour.Of(b, nil), plan.StaleFlows(p, a, b, nil))
}

// one gives the one address that differs.
func one(t *testing.T, d *behaviour.Diff) *behaviour.AddressDiff {
	t.Helper()
	if len(d.Services) != 1 || len(d.Services[0].Addresses) != 1 {
		t.Fatalf("got %+v, want one address", d)
	}
	return &d.Services[0].Addresses[0]
}

func TestCompareEndpoints(t *testing.T) {
	two := service("web", webSpec, endpoint("10.1.0.1", "10.1.0.2"))
	three := service("web", webSpec, endpoint("10.1.0.1", "10.1.0.2", "10.1.0.3"))
	if d := compare(t, two, two); !d.Empty() {
		t.Errorf("nothing differs, but %+v", d)
	}
	x := one(t, compare(t, two, three))
	if len(x.Reach) != 1 || !x.Reach[0].Everybody() {
		t.Fatalf("%+v", x.Reach)
	}
	r := x.Reach[0]
	if len(r.Added) != 1 || r.Added[0].Endpoint.String() != "10.1.0.3:8080" || len(r.Removed) != 0 || len(r.Changed) != 2 ||
		math.Abs(r.Moved-1./3) > 1e-4 {
		t.Errorf("%+v", r)
	}
	if back := one(t, compare(t, three, two)).Reach[0]; len(back.Removed) != 1 || math.Abs(back.Moved-1./3) > 1e-4 {
		t.Errorf("%+v", back)
	}
}

func TestCompareFates(t *testing.T) {
	some, none := service("web", webSpec, endpoint("10.1.0.1")), service("web", webSpec, "")
	r := one(t, compare(t, some, none)).Reach[0]
	if r.Before != behaviour.Served || r.After != behaviour.Refused || r.Moved != 0 {
		t.Errorf("%+v", r)
	}
	d := compare(t, none, some)
	if got := d.Sum(); got != (behaviour.Sums{Services: 1, EndpointsAdded: 1}) {
		t.Errorf("%+v", got)
	}
	d = compare(t, some, service("web", webSpec, endpoint("10.1.0.1"))+service("new", strings.Replace(webSpec, "0.1", "0.2", 1), ""))
	if x := one(t, d); x.Before != nil || x.After.String() != "10.96.0.2:80/tcp" || d.Services[0].Service != "demo/new" {
		t.Errorf("%+v", x)
	}
	if got := d.Sum(); got != (behaviour.Sums{Services: 1, Exposed: 1}) {
		t.Errorf("%+v", got)
	}
}

// An address that another Service has from now on goes from one and comes to the other.
func TestCompareAnotherOwner(t *testing.T) {
	d := compare(t, service("a", webSpec, endpoint("10.1.0.1")), service("b", webSpec, endpoint("10.1.0.1")))
	if len(d.Services) != 2 || d.Services[0].Service != "demo/a" || d.Services[0].Addresses[0].After != nil ||
		d.Services[1].Service != "demo/b" || d.Services[1].Addresses[0].Before != nil {
		t.Errorf("%+v", d.Services)
	}
}

func TestComparePolicies(t *testing.T) {
	const spec = "clusterIP: 10.96.0.1, externalTrafficPolicy: Cluster, type: LoadBalancer, " +
		"ports: [{name: p, port: 80, nodePort: 30000}]"
	before := service("web", spec, endpoint("10.1.0.1")+", {addresses: [10.1.0.9], nodeName: other}")
	after := service("web", strings.Replace(spec, "Cluster", "Local", 1)+
		", sessionAffinity: ClientIP, healthCheckNodePort: 30100",
		endpoint("10.1.0.1")+", {addresses: [10.1.0.9], nodeName: other}")
	d := compare(t, before, after)
	var nodePort *behaviour.AddressDiff
	for i := range d.Services[0].Addresses {
		if x := &d.Services[0].Addresses[i]; x.Address().Kind == behaviour.NodePort {
			nodePort = x
		}
	}
	if nodePort == nil || nodePort.Before.Local || !nodePort.After.Local || nodePort.After.Affinity == 0 ||
		nodePort.Before.Source != behaviour.TranslateAlways || nodePort.After.Source != behaviour.TranslateNode {
		t.Fatalf("%+v", nodePort)
	}
	// Only those from outside lose the other node's endpoint.
	if r := nodePort.Reach; len(r) != 1 || len(r[0].Clients) != 1 || r[0].Clients[0] != behaviour.Outside || len(r[0].Removed) != 1 {
		t.Errorf("%+v", r)
	}
}

// Where the policy leaves this node no endpoint, that is a drop under another policy, and no refusal.
func TestComparePolicyWithoutLocalEndpoints(t *testing.T) {
	const spec = "clusterIP: 10.96.0.1, internalTrafficPolicy: Cluster, ports: [{name: p, port: 80}]"
	elsewhere := "{addresses: [10.1.0.9], nodeName: other}"
	x := one(t, compare(t, service("web", spec, elsewhere), service("web", strings.Replace(spec, "Cluster", "Local", 1), elsewhere)))
	if !x.LocalChanged() || x.SamePolicy() || x.Reach[0].After != behaviour.Dropped {
		t.Errorf("%+v", x)
	}
}

// UDP flows to an endpoint that is gone are cut, TCP's are not.
func TestCompareCut(t *testing.T) {
	const dns = "clusterIP: 10.96.0.1, ports: [{name: p, port: 53, protocol: UDP}]"
	x := one(t, compare(t, service("dns", dns, endpoint("10.1.0.1", "10.1.0.2")), service("dns", dns, endpoint("10.1.0.2"))))
	if len(x.Cut) != 1 || x.Cut[0].String() != "10.1.0.1:8080" {
		t.Errorf("%+v", x.Cut)
	}
	x = one(t, compare(t, service("w", webSpec, endpoint("10.1.0.1", "10.1.0.2")), service("w", webSpec, endpoint("10.1.0.2"))))
	if len(x.Cut) != 0 {
		t.Errorf("%+v", x.Cut)
	}
}

// A source hash that is dealt anew moves clients, though the shares are the same.
func TestCompareHash(t *testing.T) {
	hashed := func(addrs ...string) string {
		return strings.Replace(service("web", webSpec, endpoint(addrs...)), "namespace: demo}\nspec: {cl",
			"namespace: demo, annotations: {svcctl.io/balance: source-hash}}\nspec: {cl", 1)
	}
	a := compile(t, hashed("10.1.0.1", "10.1.0.2"))
	if !behaviour.Of(a, nil).Addresses[0].SourceHash {
		t.Fatal("no source hash")
	}
	r := one(t, compare(t, hashed("10.1.0.1", "10.1.0.2"), hashed("10.1.0.1", "10.1.0.2", "10.1.0.3"))).Reach[0]
	// Only the share of the new endpoint moves: that is what the placement promises.
	if math.Abs(r.Moved-r.Added[0].Part) > 1e-9 {
		t.Errorf("%v moved, the new endpoint has %v", r.Moved, r.Added[0].Part)
	}
}

// Read from the kernel, a ruleset knows no owners: names come from elsewhere.
func TestNames(t *testing.T) {
	rs := compile(t, service("web", webSpec, endpoint("10.1.0.1")))
	bare := compile(t, service("web", webSpec, endpoint("10.1.0.1")))
	for _, s := range bare.Tables[0].Sets {
		elements := slices.Collect(s.Elements.All())
		for i := range elements {
			elements[i].Owner = nil
		}
		s.Elements = graph.ElementsOf(elements)
	}
	if a := behaviour.Of(bare, nil).Addresses[0]; a.Owner != nil {
		t.Fatalf("%+v", a.Owner)
	}
	if a := behaviour.Of(bare, behaviour.NamesOf(bare, rs)).Addresses[0]; a.Owner == nil || a.Owner.Service.Name != "web" {
		t.Errorf("%+v", a.Owner)
	}
}
