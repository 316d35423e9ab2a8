package allocate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

func prefixes(words ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, w := range words {
		out = append(out, netip.MustParsePrefix(w))
	}
	return out
}

// dual is a configuration with everything.
var dual = Config{
	ServiceCIDRs:      prefixes("10.96.0.0/12", "fd00:10:96::/112"),
	LoadBalancerCIDRs: prefixes("192.0.2.0/24", "2001:db8::/64"),
}

// service gives the document of a Service with a spec in flow style.
func service(name, spec string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n"
}

func decode(t testing.TB, docs ...string) *manifest.Bundle {
	t.Helper()
	b, found := manifest.Decode([]manifest.Source{{Name: "in.yaml", Data: []byte(strings.Join(docs, "---\n"))}}, manifest.Options{})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return b
}

// allocated is Allocate where nothing must be found.
func allocated(t testing.TB, cfg Config, held Held, docs ...string) *Result {
	t.Helper()
	r, found := Allocate(decode(t, docs...), cfg, held)
	if len(found) > 0 {
		t.Fatal(found.Err())
	}
	return r
}

// choices gives what was chosen, by "name field".
func choices(r *Result) map[string]string {
	out := map[string]string{}
	for _, a := range r.Assignments {
		name := a.Service.Name
		if a.Service.Namespace != "default" {
			name = a.Service.Namespace + "/" + name
		}
		out[name+" "+a.Field] = a.Value()
	}
	return out
}

const (
	ports80  = "ports: [{port: 80}]"
	nodePort = "type: NodePort, "
	balancer = "type: LoadBalancer, "
)

// What gets what. The values are what must be in range: 4 and 6 are families of ClusterIPs, L4 and L6 of load-balancer
// addresses, P is a node port; the same word twice with a number after it is the same value.
func TestWhatIsLacking(t *testing.T) {
	only4 := Config{ServiceCIDRs: dual.ServiceCIDRs[:1], LoadBalancerCIDRs: dual.LoadBalancerCIDRs[1:]}
	six4 := Config{ServiceCIDRs: prefixes("fd00:10:96::/112", "10.96.0.0/12")}
	const (
		ip, ips   = "spec.clusterIP", "spec.clusterIPs[1]"
		ing, ing1 = "status.loadBalancer.ingress[0].ip", "status.loadBalancer.ingress[1].ip"
	)
	np := nodePortField
	for _, x := range []struct {
		name string
		cfg  Config
		spec string
		want map[string]string
	}{
		{"ClusterIP", dual, ports80, map[string]string{ip: "4"}},
		{"the default family", six4, ports80, map[string]string{ip: "6"}},
		{"empty words", dual, `clusterIP: "", clusterIPs: [], type: "", ` + ports80, map[string]string{ip: "4"}},
		{"written", dual, "clusterIP: 10.96.0.1, " + ports80, nil},
		{"headless", dual, "clusterIP: None, " + ports80, nil},
		{"ExternalName", dual, "type: ExternalName, externalName: a.b", nil},
		{"single stack, other family", dual, "ipFamilies: [IPv6], " + ports80, map[string]string{ip: "6"}},
		{"prefer", dual, "ipFamilyPolicy: PreferDualStack, " + ports80, map[string]string{ip: "4", ips: "6"}},
		{"prefer, one is configured", only4, "ipFamilyPolicy: PreferDualStack, " + ports80, map[string]string{ip: "4"}},
		{"require, the other first", dual, "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6], " + ports80, map[string]string{ip: "6", ips: "4"}},
		{"both named", dual, "ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4], " + ports80, map[string]string{ip: "6", ips: "4"}},
		{"the first written", dual, "ipFamilyPolicy: RequireDualStack, clusterIP: 'fd00:10:96::1', " + ports80, map[string]string{ips: "4"}},
		{"both written", dual, "ipFamilyPolicy: RequireDualStack, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1'], " + ports80, nil},
		{"NodePort", dual, nodePort + ports80, map[string]string{ip: "4", np(0): "P"}},
		{"node ports written", dual, nodePort + "clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30000}]", nil},
		{
			"one node port for TCP and UDP", dual, nodePort + "clusterIP: 10.96.0.1, ports: [{name: a, port: 53}, " +
				"{name: b, port: 53, protocol: UDP}, {name: c, port: 54, protocol: UDP}]",
			map[string]string{np(0): "P1", np(1): "P1", np(2): "P"},
		},
		{
			"the written one of the same number", dual, nodePort + "clusterIP: 10.96.0.1, ports: [{name: a, port: 53}, " +
				"{name: b, port: 53, protocol: UDP, nodePort: 30053}]",
			map[string]string{np(0): "30053"},
		},
		{"LoadBalancer", dual, balancer + ports80, map[string]string{ip: "4", np(0): "P", ing: "L4"}},
		{
			"LoadBalancer, dual stack", dual, balancer + "ipFamilyPolicy: RequireDualStack, " + ports80,
			map[string]string{ip: "4", ips: "6", np(0): "P", ing: "L4", ing1: "L6"},
		},
		{"LoadBalancer without node ports", dual, balancer + "allocateLoadBalancerNodePorts: false, " + ports80, map[string]string{ip: "4", ing: "L4"}},
		{"loadBalancerIP", dual, balancer + "clusterIP: 10.96.0.1, allocateLoadBalancerNodePorts: false, loadBalancerIP: 192.0.2.9, " + ports80, nil},
		{"no range of its family", only4, balancer + ports80, map[string]string{ip: "4", np(0): "P"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			in := decode(t, service("web", x.spec))
			r, found := Allocate(in, x.cfg, nil)
			if len(found) > 0 {
				t.Fatal(found.Err())
			}
			got := map[string]string{}
			bound := map[string]string{}
			for _, a := range r.Assignments {
				got[a.Field] = x.want[a.Field]
				if w := x.want[a.Field]; !fits(a, w) || len(w) == 2 && w[0] == 'P' && bound[w] != "" && bound[w] != a.Value() {
					got[a.Field] = a.Value()
				} else {
					bound[w] = a.Value()
				}
			}
			if diff := cmp.Diff(x.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(x.want) == 0 && r.Bundle != in {
				t.Error("nothing was chosen, and the bundle is another one")
			}
			// Resolve finds nothing missing, and knows as much.
			m, found := resolve.Resolve(r.Bundle, resolve.Config{ServiceCIDRs: x.cfg.ServiceCIDRs})
			if found.HasErrors() {
				t.Error(found.Err())
			}
			for _, a := range r.Assignments {
				if !strings.Contains(fmt.Sprint(m.ServicePorts[0].Addresses)+fmt.Sprint(addressesOf(m)), a.Value()) {
					t.Errorf("%s %s is not among the addresses of the model", a.Field, a.Value())
				}
			}
			// And there is nothing left to choose.
			if again, found := Allocate(r.Bundle, x.cfg, nil); len(again.Assignments) > 0 || len(found) > 0 {
				t.Errorf("a second time: %v %v", again.Assignments, found)
			}
		})
	}
}

func addressesOf(m *resolve.Model) (all []resolve.Address) {
	for _, p := range m.ServicePorts {
		all = append(all, p.Addresses...)
	}
	return all
}

func fits(a Assignment, want string) bool {
	switch want {
	case "4":
		return dual.ServiceCIDRs[0].Contains(a.Addr)
	case "6":
		return dual.ServiceCIDRs[1].Contains(a.Addr)
	case "L4":
		return dual.LoadBalancerCIDRs[0].Contains(a.Addr)
	case "L6":
		return dual.LoadBalancerCIDRs[1].Contains(a.Addr)
	case "P", "P1":
		return resolve.DefaultNodePortRange.Contains(int32(a.Port))
	default:
		return a.Value() == want
	}
}

func TestOtherProxy(t *testing.T) {
	doc := strings.Replace(service("web", nodePort+ports80), "{name", "{labels: {service.kubernetes.io/service-proxy-name: x}, name", 1)
	if r := allocated(t, dual, nil, doc); len(r.Assignments) > 0 {
		t.Errorf("got %v", r.Assignments)
	}
}

// What cannot be given is said once, by one of the two phases.
func TestErrors(t *testing.T) {
	small := Config{
		ServiceCIDRs: prefixes("10.96.0.0/30"), NodePortRange: resolve.PortRange{First: 30000, Last: 30000},
		LoadBalancerCIDRs: prefixes("192.0.2.1/32", "192.0.2.3/32"),
	}
	for _, x := range []struct {
		name string
		cfg  Config
		docs []string
		want []string // without the place of the file
	}{
		{"no range", Config{}, []string{service("a", ports80)}, []string{
			"4:7: service default/a: spec.clusterIP: Required value: there are no serviceCIDRs to allocate an address from",
		}},
		{"no range of the family", small, []string{service("a", "ipFamilies: [IPv6], "+ports80)}, []string{
			`4:21: service default/a: spec.ipFamilies[0]: Invalid value: "IPv6": not configured: the serviceCIDRs have no range of this family`,
		}},
		{"no second family", small, []string{service("a", "ipFamilyPolicy: RequireDualStack, "+ports80)}, []string{
			`4:24: service default/a: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": not configured for dual-stack services: ` +
				`the serviceCIDRs have no range of family IPv6`,
		}},
		{"a port twice", small, []string{
			service("a", nodePort+"clusterIP: 10.96.0.1, ports: [{name: a, port: 80}, {name: b, port: 80}]"),
		}, []string{
			`4:75: service default/a: spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}`,
		}},
		{
			"full", small,
			[]string{
				service("a", "clusterIP: 10.96.0.1, "+ports80), service("b", "clusterIP: 10.96.0.2, "+ports80), service("c", ports80),
			},
			[]string{"14:7: service default/c: spec.clusterIP: failed to allocate an IP: range 10.96.0.0/30 is full"},
		},
		{
			"full, second address",
			Config{ServiceCIDRs: prefixes("fd00::/120", "10.96.0.0/32", "10.96.0.2/32")},
			[]string{
				service("a", "clusterIP: 10.96.0.0, "+ports80), service("b", "clusterIP: 10.96.0.2, "+ports80),
				service("c", "clusterIP: 'fd00::1', ipFamilyPolicy: PreferDualStack, "+ports80),
			},
			[]string{"14:7: service default/c: spec.clusterIPs[1]: failed to allocate an IP: ranges 10.96.0.0/32, 10.96.0.2/32 are full"},
		},
		{
			"full, node ports", small,
			[]string{
				service("a", nodePort+"clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30000}]"),
				service("b", nodePort+"clusterIP: 10.96.0.2, ports: [{port: 80}]"),
			},
			[]string{"9:54: service default/b: spec.ports[0].nodePort: failed to allocate a nodePort: range 30000-30000 is full"},
		},
		{
			"full, load-balancer addresses", small,
			[]string{
				service("a", balancer+"allocateLoadBalancerNodePorts: false, clusterIP: 10.96.0.1, loadBalancerIP: 192.0.2.1, "+ports80),
				service("b", "externalIPs: [192.0.2.3], clusterIP: 10.96.0.2, "+ports80),
				service("c", balancer+"allocateLoadBalancerNodePorts: false, clusterIP: 10.96.0.3, "+ports80),
			},
			[]string{"14:7: service default/c: spec.loadBalancerIP: failed to allocate an IP: ranges 192.0.2.1/32, 192.0.2.3/32 are full"},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			r, found := Allocate(decode(t, x.docs...), x.cfg, nil)
			_, more := resolve.Resolve(r.Bundle, resolve.Config{ServiceCIDRs: x.cfg.ServiceCIDRs, NodePortRange: x.cfg.NodePortRange})
			errs, _ := append(found, more...).Split()
			var got []string
			for _, d := range errs {
				got = append(got, strings.TrimPrefix(d.String(), "in.yaml:"))
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What makes no sense gets nothing, and resolve says why.
func TestNonsense(t *testing.T) {
	for _, spec := range []string{
		"ipFamilies: [IPv5]", "ipFamilies: [IPv4, IPv4]", "ipFamilies: [IPv4, IPv6]", "clusterIP: x", "clusterIP: 1.2.3.04", "ipFamilyPolicy: Dual",
		"clusterIPs: [10.96.0.1]", "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.2]", "clusterIP: 10.96.0.1, ipFamilies: [IPv6]", "type: Node",
		"clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 10.96.0.2], ipFamilyPolicy: PreferDualStack", "clusterIPs: ['']",
	} {
		b := decode(t, service("web", spec+", "+ports80))
		r, found := Allocate(b, dual, nil)
		if len(r.Assignments) > 0 || len(found) > 0 {
			t.Errorf("%s: got %v %v", spec, r.Assignments, found)
		}
		if _, found := resolve.Resolve(r.Bundle, resolve.Config{ServiceCIDRs: dual.ServiceCIDRs}); !found.HasErrors() {
			t.Errorf("%s: nobody finds fault with it", spec)
		}
	}
}

// random gives a Service that lacks something, or nothing.
func random(rnd *rand.Rand, name string) string {
	var spec []string
	kind := []string{"ClusterIP", "NodePort", "LoadBalancer"}[rnd.IntN(3)]
	spec = append(spec, "type: "+kind)
	if rnd.IntN(4) == 0 {
		spec = append(spec, "ipFamilyPolicy: "+[]string{"PreferDualStack", "RequireDualStack"}[rnd.IntN(2)])
	}
	if rnd.IntN(4) == 0 {
		spec = append(spec, "ipFamilies: ["+[]string{"IPv4", "IPv6"}[rnd.IntN(2)]+"]")
	}
	var ports []string
	for i := range 1 + rnd.IntN(3) {
		for _, protocol := range []string{"TCP", "UDP"}[:1+rnd.IntN(2)] {
			ports = append(ports, fmt.Sprintf("{name: p%d, port: %d, protocol: %s}", len(ports), 80+i, protocol))
		}
	}
	return service(name, strings.Join(append(spec, "ports: ["+strings.Join(ports, ", ")+"]"), ", "))
}

// Where nobody else wants it, what a Service gets does not depend on who else there is.
func TestIndependence(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	cfg := Config{
		ServiceCIDRs: prefixes("10.0.0.0/8", "fd00:10:96::/64"), NodePortRange: resolve.PortRange{First: 1024, Last: 65535},
		LoadBalancerCIDRs: prefixes("11.0.0.0/8", "2001:db8::/64"),
	}
	var docs []string
	for i := range 50 {
		docs = append(docs, random(rnd, fmt.Sprintf("s%d", i)))
		docs = append(docs, strings.Replace(docs[len(docs)-1], "{name: s", "{namespace: other, name: s", 1))
	}
	together := choices(allocated(t, cfg, nil, docs...))
	alone := map[string]string{}
	for _, d := range docs {
		for k, v := range choices(allocated(t, cfg, nil, d)) {
			alone[k] = v
		}
	}
	if diff := cmp.Diff(alone, together); diff != "" {
		t.Errorf("alone and together differ (-alone +together):\n%s", diff)
	}
}

// The low part of a range is given out last, and to the last address.
func TestBands(t *testing.T) {
	cfg := Config{ServiceCIDRs: prefixes("10.96.0.0/24"), NodePortRange: resolve.PortRange{First: 30000, Last: 30253}}
	var docs []string
	for i := range 254 {
		docs = append(docs, service(fmt.Sprintf("s%d", i), nodePort+ports80))
	}
	low := func(n int) (addrs, ports int) {
		r := allocated(t, cfg, nil, docs[:n]...)
		checkDistinct(t, r)
		for _, a := range r.Assignments {
			if a.Addr.IsValid() && a.Addr.As4()[3] <= 16 {
				addrs++
			}
			if a.Port != 0 && a.Port < 30016 {
				ports++
			}
		}
		return addrs, ports
	}
	for n, want := range map[int]int{200: 0, 238: 0, 239: 1, 254: 16} {
		if addrs, ports := low(n); addrs != want || ports != want {
			t.Errorf("of %d Services %d have a low address and %d a low node port, want %d", n, addrs, ports, want)
		}
	}
	docs = append(docs, service("one-more", nodePort+ports80))
	if r, found := Allocate(decode(t, docs...), cfg, nil); len(found) != 2 || len(r.Assignments) != 2*254 {
		t.Errorf("255 Services get %d things, with the errors\n%v", len(r.Assignments), found.Err())
	}
}

// The ranges of ClusterIPs and of load-balancer addresses may overlap; the addresses do not.
func TestOverlap(t *testing.T) {
	both := Config{ServiceCIDRs: prefixes("10.96.0.0/29"), LoadBalancerCIDRs: prefixes("10.96.0.0/29", "10.96.0.0/28")}
	var docs []string
	for i := range 6 {
		docs = append(docs, service(fmt.Sprintf("s%d", i), balancer+"allocateLoadBalancerNodePorts: false, "+ports80))
	}
	r := allocated(t, both, nil, docs...)
	seen := map[string]bool{}
	for _, a := range r.Assignments {
		seen[a.Value()] = true
	}
	if len(seen) != 12 {
		t.Errorf("6 Services have %d addresses of two kinds: %v", len(seen), choices(r))
	}
}

// The bundle that is given stays as it is.
func TestBundleIsNotChanged(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	var docs []string
	for i := range 30 {
		docs = append(docs, random(rnd, fmt.Sprintf("s%d", i)))
	}
	b, again := decode(t, docs...), decode(t, docs...)
	if r, _ := Allocate(b, dual, nil); len(r.Assignments) < 30 {
		t.Fatal("too little was chosen to tell")
	}
	for i, o := range b.Services {
		if diff := cmp.Diff(again.Services[i].Value, o.Value); diff != "" {
			t.Errorf("%s changed (-before +after):\n%s", o.Ref, diff)
		}
	}
}

func many(b *testing.B, n int, spec string) *manifest.Bundle {
	b.Helper()
	docs := make([]string, n)
	for i := range docs {
		docs[i] = service(fmt.Sprintf("s%d", i), spec+fmt.Sprintf("clusterIP: 10.%d.%d.%d, ", 96+i>>16, i>>8&255, i&255)+"ports: [{port: 80}]")
	}
	return decode(b, docs...)
}

func BenchmarkAllocate(b *testing.B) {
	nothing := many(b, 10_000, "")
	all := many(b, 10_000, "")
	for i, o := range all.Services {
		o.Value.Spec.ClusterIP = ""
		if i%4 == 0 {
			o.Value.Spec.Type = "NodePort"
		}
	}
	for name, in := range map[string]*manifest.Bundle{"nothing": nothing, "everything": all} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, found := Allocate(in, dual, nil); len(found) > 0 {
					b.Fatal(found.Err())
				}
			}
		})
	}
}
