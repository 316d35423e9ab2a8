package preflight

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/foreign"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

var (
	hostAddr   = netip.MustParseAddr("192.168.0.1")
	clusterIP  = netip.MustParseAddr("10.96.0.1")
	endpoint   = netip.MustParseAddr("10.1.1.2")
	endpoint6  = netip.MustParseAddr("fd00:10:1::2")
	clusterIP6 = netip.MustParseAddr("fd00:10:96::1")
)

// port is a port of a Service "demo/NAME" with one endpoint.
func port(name string, p corev1.Protocol, to netip.Addr, addrs ...resolve.Address) *resolve.ServicePort {
	family := corev1.IPv4Protocol
	if to.Is6() {
		family = corev1.IPv6Protocol
	}
	return &resolve.ServicePort{
		Service: &resolve.Service{Ref: diag.Object{Kind: "service", Namespace: "demo", Name: name}},
		Family:  family, Protocol: p, Addresses: addrs,
		Cluster: []resolve.Endpoint{{Addr: netip.AddrPortFrom(to, 8080)}},
	}
}

func at(kind resolve.AddressKind, a netip.Addr, port uint16) resolve.Address {
	return resolve.Address{Kind: kind, Addr: a, Port: port}
}

func web() *resolve.ServicePort {
	return port("web", corev1.ProtocolTCP, endpoint,
		at(resolve.ClusterIP, clusterIP, 80), at(resolve.NodePort, netip.IPv4Unspecified(), 30080))
}

func asked(ports ...*resolve.ServicePort) *Ask {
	return &Ask{
		Given: true, Ports: ports,
		ServiceCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")},
		ClusterCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		NodePortRange: resolve.DefaultNodePortRange,
	}
}

// fit are the facts of a host with nothing wrong.
func fit() *Facts {
	f := &Facts{
		Features:    []Feature{{Name: "nat", Family: graph.IPv4, Answer: Yes}, {Name: "nat", Family: graph.IPv6, Answer: Yes}},
		Program:     Know("", nil),
		Conntrack:   Know(Conntrack{Count: 10, Max: 1000}, nil),
		ReversePath: Know([]string(nil), nil),
		Links: Know([]Link{
			{Name: "lo", Up: true, Loopback: true}, {Name: "eth0", Up: true}, {Name: "pods", Up: true},
		}, nil),
		Addrs: Know(map[netip.Addr]string{
			hostAddr: "eth0", netip.MustParseAddr("127.0.0.1"): "lo", netip.MustParseAddr("10.1.1.1"): "pods",
		}, nil),
		Routes: map[netip.Addr]Reading[Route]{
			endpoint:  Know(Route{Reached: true, Link: "pods"}, nil),
			clusterIP: Know(Route{Reached: true, Link: "eth0", Gateway: true}, nil),
			hostAddr:  Know(Route{Reached: true, Local: true, Link: "lo"}, nil),
		},
		Listeners:  Know([]Listener{{Proto: graph.TCP, Addr: netip.MustParseAddrPort("0.0.0.0:22")}}, nil),
		LocalPorts: Know(resolve.PortRange{First: 32768, Last: 60999}, nil),
		Reserved:   Know([]resolve.PortRange(nil), nil),
		Others:     Know(&foreign.Ruleset{}, nil),
		Legacy:     Know([]string(nil), nil),
	}
	for _, family := range graph.Families {
		f.Forwarding[family] = Know(Forwarding{All: true}, nil)
		f.Routing[family] = Know(Routing{Defaults: []string{"eth0"}}, nil)
		f.BridgeRules[family] = Know(true, nil)
	}
	return f
}

func TestFitHost(t *testing.T) {
	for _, f := range Judge(fit(), asked(web())) {
		if f.Answer != Yes || f.Level != OK || f.Remedy != "" || f.Services != nil {
			t.Errorf("got %+v", f)
		}
	}
}

func TestJudge(t *testing.T) {
	unknown := errors.New("open /proc: no such file or directory")
	listen := func(p graph.Proto, addr string, both bool) func(*Facts) {
		return func(f *Facts) {
			f.Listeners.Value = append(f.Listeners.Value, Listener{p, netip.MustParseAddrPort(addr), both})
		}
	}
	for _, tt := range []struct {
		name   string
		set    func(*Facts)
		ask    *Ask // nil: for web
		check  Check
		answer Answer
		level  Level
		words  string // in the message or the remedy
	}{
		{
			name: "feature", set: func(f *Facts) { f.Features[1].Answer, f.Features[1].Why = No, "no such file" },
			check: KernelFeature, answer: No, level: Problem, words: "apply would fail: IPv6: no such file",
		},
		{name: "feature of both", set: func(f *Facts) {
			for i := range f.Features {
				f.Features[i].Answer, f.Features[i].Why = No, "no such file"
			}
		}, check: KernelFeature, answer: No, level: Problem, words: "apply would fail: no such file"},
		{
			name: "feature not tried", set: func(f *Facts) { f.Features[0].Answer, f.Features[0].Why = CannotTell, "not allowed" },
			check: KernelFeature, answer: CannotTell, level: Warning, words: "not allowed",
		},
		{
			name: "feature with another way", set: func(f *Facts) { f.Features = []Feature{{Name: "set-resize", Answer: No, Why: "ignored"}} },
			check: KernelFeature, answer: No, level: Note, words: "made anew",
		},
		{
			name: "feature that nobody uses", set: func(f *Facts) { f.Features = []Feature{{Name: "source-hash", Answer: No, Why: "missing"}} },
			check: KernelFeature, answer: No, level: Note, words: "only the service.kubernetes.io",
		},
		{
			name: "feature that somebody uses", set: func(f *Facts) { f.Features = []Feature{{Name: "source-hash", Answer: No, Why: "missing"}} },
			ask:   func() *Ask { a := asked(web()); a.Ports[0].SourceHash = true; return a }(),
			check: KernelFeature, answer: No, level: Problem, words: "apply would fail",
		},
		{
			name: "ruleset", set: func(f *Facts) { f.Program = Know("set services: no memory", nil) },
			check: KernelFeature, answer: No, level: Problem, words: "no memory",
		},
		{
			name: "conntrack full", set: func(f *Facts) { f.Conntrack.Value.Count = 950 },
			check: ConnTracking, answer: No, level: Problem, words: "nf_conntrack_max=2000",
		},
		{name: "conntrack filling", set: func(f *Facts) { f.Conntrack.Value.Count = 800 }, check: ConnTracking, answer: No, level: Warning},
		{name: "conntrack not full", set: func(f *Facts) { f.Conntrack.Value.Count = 799 }, check: ConnTracking, answer: Yes, level: OK},
		{
			name: "no conntrack", set: func(f *Facts) { f.Conntrack = Know(Conntrack{}, unknown) },
			check: ConnTracking, answer: CannotTell, level: Warning, words: "no such file",
		},
		{
			name: "forwarding not known", set: func(f *Facts) { f.Forwarding[graph.IPv4] = Know(Forwarding{}, unknown) },
			check: ForwardIP, answer: CannotTell, level: Warning, words: "no such file",
		},
		{
			name: "forwarding of one interface", set: func(f *Facts) { f.Forwarding[graph.IPv4] = Know(Forwarding{On: []string{"eth1"}}, nil) },
			check: ForwardIP, answer: No, level: Warning, words: "only what comes in by eth1",
		},
		{
			name: "forwarding without manifests", set: func(f *Facts) { f.Forwarding[graph.IPv4].Value.All = false },
			ask: &Ask{}, check: ForwardIP, answer: No, level: Warning,
		},
		{
			name: "strict", set: func(f *Facts) { f.ReversePath.Value = []string{"eth0"} },
			check: ReverseFilter, answer: Yes, level: OK, words: "one way out",
		},
		{name: "strict and rules", set: func(f *Facts) {
			f.ReversePath.Value, f.Routing[graph.IPv4].Value.Rules = []string{"eth0", "pods"}, 1
		}, check: ReverseFilter, answer: No, level: Warning, words: "eth0, pods are strict (rp_filter=1), and there are routing rules"},
		{name: "bridge", set: func(f *Facts) {
			f.Links.Value[2].Bridge, f.BridgeRules[graph.IPv4].Value = true, false
		}, check: BridgeFilter, answer: No, level: Problem, words: "bridge-nf-call-iptables=1"},
		{name: "bridge that does", set: func(f *Facts) {
			f.Links.Value[2].Bridge, f.Links.Value[2].Rules[graph.IPv4], f.BridgeRules[graph.IPv4].Value = true, true, false
		}, check: BridgeFilter, level: Note}, // nothing is said
		{name: "bridge beyond a router", set: func(f *Facts) {
			f.Links.Value[2].Bridge, f.BridgeRules[graph.IPv4].Value = true, false
			f.Routes[endpoint] = Know(Route{Reached: true, Link: "pods", Gateway: true}, nil)
		}, check: BridgeFilter, level: Note},
		{
			name: "bridge of no pods", set: func(f *Facts) {
				f.Links.Value[2].Bridge, f.BridgeRules[graph.IPv4].Value = true, false
			}, ask: func() *Ask { a := asked(web()); a.ClusterCIDRs[0] = netip.MustParsePrefix("10.2.0.0/16"); return a }(),
			check: BridgeFilter, level: Note,
		},
		{
			name: "route", set: func(f *Facts) { f.Routes[clusterIP] = Know(Route{Why: "network is unreachable"}, nil) },
			check: ServiceRoute, answer: No, level: Problem, words: "ip route add 10.96.0.0/12 dev pods src 10.1.1.1",
		},
		{
			name: "route without manifests", set: func(f *Facts) { f.Routes[clusterIP] = Know(Route{Why: "network is unreachable"}, nil) },
			ask: &Ask{ServiceCIDRs: asked().ServiceCIDRs}, check: ServiceRoute, answer: No, level: Warning,
		},
		{
			name: "route not known", set: func(f *Facts) { f.Routes[clusterIP] = Know(Route{}, unknown) },
			check: ServiceRoute, answer: CannotTell, level: Warning,
		},
		{
			name: "endpoint", set: func(f *Facts) { f.Routes[endpoint] = Know(Route{Why: "no route to host"}, nil) },
			check: EndpointRoute, answer: No, level: Problem, words: "10.1.1.2 (no route to host)",
		},
		{
			name: "more endpoints than are looked up", set: func(*Facts) {},
			ask:   asked(web(), port("other", corev1.ProtocolTCP, endpoint.Next(), at(resolve.ClusterIP, clusterIP, 81))),
			check: EndpointRoute, answer: Yes, level: OK, words: "too many for all",
		},
		{name: "listener", set: listen(graph.TCP, "0.0.0.0:30080", false), check: Listening, answer: No, level: Problem, words: "sport = :30080"},
		{name: "listener of both families", set: listen(graph.TCP, "[::]:30080", true), check: Listening, answer: No, level: Problem},
		{name: "listener of IPv6", set: listen(graph.TCP, "[::]:30080", false), check: Listening, answer: Yes, level: OK},
		{name: "listener of UDP", set: listen(graph.UDP, "0.0.0.0:30080", false), check: Listening, answer: Yes, level: OK},
		{name: "listener on loopback", set: listen(graph.TCP, "127.0.0.1:30080", false), check: Listening, answer: Yes, level: OK},
		{
			name: "listener on another address", set: listen(graph.TCP, "192.168.0.1:30080", false),
			ask: func() *Ask {
				a := asked(web())
				a.NodePortAddresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
				return a
			}(),
			check: Listening, answer: Yes, level: OK,
		},
		{
			name: "listener on all where some have node ports", set: listen(graph.TCP, "0.0.0.0:30080", false),
			ask: func() *Ask {
				a := asked(web())
				a.NodePortAddresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
				return a
			}(),
			check: Listening, answer: No, level: Problem,
		},
		{name: "listener on a ClusterIP's port", set: listen(graph.TCP, "0.0.0.0:80", false), check: Listening, answer: Yes, level: OK},
		{
			name: "listener on an external IP", set: func(*Facts) {},
			ask:   asked(port("ssh", corev1.ProtocolTCP, endpoint, at(resolve.ExternalIP, hostAddr, 22))),
			check: Listening, answer: No, level: Problem, words: "the external IP 192.168.0.1, an address of this host",
		},
		{
			name: "UDP socket that comes and goes", set: func(f *Facts) {
				listen(graph.UDP, "0.0.0.0:30080", false)(f)
				f.LocalPorts.Value, f.Reserved.Value = resolve.PortRange{First: 30000, Last: 60999}, []resolve.PortRange{{First: 30080, Last: 30080}}
			}, ask: asked(port("dns", corev1.ProtocolUDP, endpoint, at(resolve.NodePort, netip.IPv4Unspecified(), 30080))),
			check: Listening, answer: No, level: Warning, words: "gone in a moment",
		},
		{
			name: "listeners not known", set: func(f *Facts) { f.Unlistened = map[graph.Proto]string{graph.TCP: "protocol not supported"} },
			check: Listening, answer: CannotTell, level: Warning, words: "protocol not supported",
		},
		{
			name: "local ports", set: func(f *Facts) { f.LocalPorts.Value.First = 30080 },
			check: LocalPort, answer: No, level: Warning, words: "ip_local_reserved_ports=30080,",
		},
		{name: "local ports with others reserved", set: func(f *Facts) {
			f.LocalPorts.Value.First, f.Reserved.Value = 30080, []resolve.PortRange{{First: 8080, Last: 8082}}
		}, check: LocalPort, answer: No, level: Warning, words: "ip_local_reserved_ports=8080-8082,30080,"},
		{name: "local ports reserved", set: func(f *Facts) {
			f.LocalPorts.Value.First, f.Reserved.Value = 30000, []resolve.PortRange{{First: 30000, Last: 32767}}
		}, check: LocalPort, answer: Yes, level: OK},
		{
			name: "local ports without manifests", set: func(f *Facts) { f.LocalPorts.Value.First = 32000 },
			ask: &Ask{NodePortRange: resolve.DefaultNodePortRange}, check: LocalPort, answer: No, level: Warning, words: "32000-32767",
		},
		{name: "bound", set: func(f *Facts) { f.Addrs.Value[clusterIP] = "dummy0" }, check: BoundAddress, answer: No, level: Warning},
		{
			name: "others not known", set: func(f *Facts) { f.Others = Know((*foreign.Ruleset)(nil), unknown) },
			check: OtherOwner, answer: CannotTell, level: Warning,
		},
		{
			name: "legacy", set: func(f *Facts) { f.Legacy.Value = []string{"ip nat"} },
			check: OtherOwner, answer: CannotTell, level: Warning, words: "iptables-legacy-save",
		},
		{name: "unread table", set: func(f *Facts) {
			f.Others.Value.Tables = []*foreign.Table{{Name: "x", Unread: "too much"}}
		}, check: OtherOwner, answer: CannotTell, level: Warning, words: "too much"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			facts, ask := fit(), tt.ask
			if ask == nil {
				ask = asked(web())
			}
			for _, p := range ask.ServiceCIDRs {
				facts.Routes[inside(p)] = facts.Routes[clusterIP]
			}
			tt.set(facts)
			var got []Finding
			for _, f := range Judge(facts, ask) {
				switch {
				case f.Check != tt.check && f.Level >= Warning:
					t.Errorf("besides: %+v", f)
				case f.Check == tt.check && (f.Level != OK || tt.level == OK):
					got = append(got, f)
				}
			}
			if tt.level == Note && tt.answer == CannotTell { // nothing
				if len(got) != 0 {
					t.Errorf("got %+v, want nothing", got)
				}
				return
			}
			if len(got) != 1 || got[0].Answer != tt.answer || got[0].Level != tt.level {
				t.Fatalf("got %+v, want one %q, %s", got, tt.answer, tt.level)
			}
			if !strings.Contains(got[0].Message+"\n"+got[0].Remedy, tt.words) {
				t.Errorf("got %q, do %q, want %q", got[0].Message, got[0].Remedy, tt.words)
			}
		})
	}
}

// Each family is judged for itself, and only where it is asked for.
func TestFamilies(t *testing.T) {
	facts := fit()
	facts.Forwarding[graph.IPv6].Value.All = false
	if p := Problems(Judge(facts, asked(web()))); len(p) != 0 {
		t.Errorf("no IPv6 is asked for: %+v", p)
	}
	six := port("six", corev1.ProtocolTCP, endpoint6, at(resolve.ClusterIP, clusterIP6, 80))
	facts.Routes[endpoint6] = Know(Route{Reached: true, Link: "pods"}, nil)
	facts.Routes[clusterIP6] = Know(Route{Reached: true, Link: "eth0"}, nil)
	p := Problems(Judge(facts, asked(web(), six)))
	if len(p) != 1 || p[0].Subject != "IPv6" || !slices.Equal(p[0].Services, []string{"demo/six"}) ||
		!strings.Contains(p[0].Remedy, "net.ipv6.conf.all.forwarding=1") {
		t.Errorf("got %+v", p)
	}
}

// A filter that drops what comes by one interface is a problem where clients beyond the cluster come by it.
func TestFilterOfOneInterface(t *testing.T) {
	drops := func(in string) *Facts {
		f := fit()
		f.Links.Value = append(f.Links.Value, Link{Name: "eth1", Up: true}, Link{Name: "veth0", Up: true, Part: true}, Link{Name: "down"})
		f.Others.Value.Tables = []*foreign.Table{{Name: "fw", Chains: []*foreign.Chain{{
			Name: "forward", Base: &foreign.Base{Type: "filter", Hook: foreign.Forward},
			Rules: []foreign.Rule{{Terms: []foreign.Term{
				foreign.MatchInterface{Names: []string{in, "veth0", "down"}}, foreign.Verdict{Op: foreign.Drop},
			}}},
		}}}}
		return f
	}
	inner := port("inner", corev1.ProtocolTCP, endpoint, at(resolve.ClusterIP, clusterIP, 80))
	for _, tt := range []struct {
		name string
		in   string
		sp   *resolve.ServicePort
		want Level
	}{
		{"where the world is, node port", "eth0", web(), Problem},
		{"where the world is, ClusterIP only", "eth0", inner, Warning},
		{"another, node port", "eth1", web(), Warning},
		{"all", "*", inner, Problem},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []Finding
			for _, f := range Judge(drops(tt.in), asked(tt.sp)) {
				if f.Check == Firewall {
					got = append(got, f)
				}
			}
			if len(got) != 1 || got[0].Level != tt.want || got[0].Answer != No {
				t.Errorf("got %+v, want one %s", got, tt.want)
			}
		})
	}
}

// A host with one interface forwards out of the one that packets came by.
func TestFilterOfOneArm(t *testing.T) {
	f := fit()
	f.Links.Value = []Link{{Name: "eth0", Up: true}}
	f.Routes[endpoint] = Know(Route{Reached: true, Link: "eth0"}, nil)
	f.Others.Value.Tables = []*foreign.Table{{Name: "fw", Chains: []*foreign.Chain{{
		Name: "forward", Base: &foreign.Base{Type: "filter", Hook: foreign.Forward, Drop: true},
	}}}}
	if p := Problems(Judge(f, asked(web()))); len(p) != 1 || p[0].Check != Firewall || !strings.Contains(p[0].Message, "by eth0") {
		t.Errorf("got %+v", p)
	}
}

func TestSample(t *testing.T) {
	var ports []*resolve.ServicePort
	for range 1000 {
		ports = append(ports, web())
	}
	a := asked(ports...)
	if got := len(a.Sample(64).Ports); got != 64 {
		t.Errorf("%d of 1000", got)
	}
	if got := len(a.Sample(2000).Ports); got != 1000 || len(a.Ports) != 1000 {
		t.Errorf("%d of 1000, and %d left", got, len(a.Ports))
	}
}

func TestOnline(t *testing.T) {
	f := fit()
	if !f.Online() {
		t.Error("a host with an interface that is up is not online")
	}
	f.Links.Value = []Link{{Name: "lo", Up: true, Loopback: true}, {Name: "eth0"}}
	if f.Online() {
		t.Error("a host of which only the loopback is up is online")
	}
}

func TestSpans(t *testing.T) {
	if got := spans([]int{1, 3, 4, 5, 9}); got != "1,3-5,9" {
		t.Errorf("got %s", got)
	}
}
