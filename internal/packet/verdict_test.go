package packet

import (
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// everyone is all who may ask: from outside, from a pod, from the node itself.
func (n *node) everyone() []*netlab.Namespace {
	return []*netlab.Namespace{n.Client, n.Pods[0], n.Node}
}

// What nobody serves is refused where it is known to be nobody's, so that clients need not wait, and dropped where it may
// be somebody's tomorrow.
func TestRefused(t *testing.T) {
	t.Parallel()
	n := start(t, 1)
	empty := service{name: "empty", number: 1, nodePort: 30001}
	served := service{name: "served", number: 2}
	n.apply(t, empty.String(), served.String(), endpoints("served", n.Pods[0]))
	for _, c := range []struct {
		name string
		to   func(family) netip.AddrPort
		want want
	}{
		{"ClusterIP without endpoints", empty.at, refused},
		{"NodePort without endpoints", func(f family) netip.AddrPort {
			return netip.AddrPortFrom(f.pick(netlab.NodeAddr4, netlab.NodeAddr6), empty.nodePort)
		}, refused},
		{"unused port of a ClusterIP", func(f family) netip.AddrPort {
			return netip.AddrPortFrom(served.clusterIP(f), 81)
		}, refused},
		{"served", served.at, answered("pod-1", netip.Addr{})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, tr := range transports {
				t.Run(tr.String(), func(t *testing.T) {
					for _, from := range n.everyone() {
						t.Run(from.Name, func(t *testing.T) {
							t.Parallel()
							expect(t, from, tr.protocol, c.to(tr.family), c.want)
						})
					}
				})
			}
		})
	}
}

// A service address that is nobody's does not leave the node, though somebody outside would answer.
func TestUnallocatedAddress(t *testing.T) {
	t.Parallel()
	n := start(t, 1)
	unallocated, elsewhere := service{number: 99}, service{number: 98}
	for _, f := range families {
		for _, s := range []service{unallocated, elsewhere} {
			if err := n.Client.AddAddr(s.clusterIP(f)); err != nil {
				t.Fatal(err)
			}
			for _, p := range protocols {
				if err := n.Client.Serve(t.Context(), p, s.at(f)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// One of the two is in none of the ranges: it shows that the others would be answered, were it not for the ranges.
	n.config.ServiceCIDRs = prefixes("10.96.0.99/32", "fd00:10:96::63/128")
	n.apply(t, service{name: "empty", number: 1}.String())
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			t.Parallel()
			for _, from := range []*netlab.Namespace{n.Pods[0], n.Node} {
				expect(t, from, tr.protocol, unallocated.at(tr.family), dropped)
				expect(t, from, tr.protocol, elsewhere.at(tr.family), answered("client", tr.family.of(from)))
			}
		})
	}
}

// expectUnserved insists that a packet to an address of the node is left alone, and finds nobody who listens. The node has
// no SCTP, so what it says to that is not always a refusal.
func expectUnserved(t *testing.T, from *netlab.Namespace, p netlab.Protocol, to netip.AddrPort) {
	t.Helper()
	a := from.Ask(t.Context(), netlab.Request{Protocol: p, To: to, Patience: silence})
	if a.Outcome == netlab.Answered || p != netlab.SCTP && a.Outcome != netlab.Refused {
		t.Errorf("%s asked %s %s: %s, want nobody there", from.Name, p, to, a)
	}
}

// Node ports are served on every address of the node but loopback ones, or where the configuration says.
func TestNodePort(t *testing.T) {
	t.Parallel()
	s := service{name: "web", number: 1, nodePort: 30001}
	for _, c := range []struct {
		name      string
		addresses []netip.Prefix
		all       bool // also the node's address toward pod-1, which is not in 192.168.0.0/24
	}{
		{"all addresses", nil, true},
		{"some addresses", prefixes("192.168.0.0/24", "fd00:c0::/64"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := start(t, 2)
			n.config.NodePortAddresses = c.addresses
			n.apply(t, s.String(), endpoints("web", n.Pods[1]))
			loopback := func(f family) netip.Addr { return f.pick(netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()) }
			for _, tr := range transports {
				t.Run(tr.String(), func(t *testing.T) {
					for _, from := range n.everyone() {
						at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, s.nodePort) }
						expect(t, from, tr.protocol, at(tr.family.of(n.Node)), answered("pod-2", netip.Addr{}))
						if toward := at(gateway(n.Pods[0], tr.family)); c.all {
							expect(t, from, tr.protocol, toward, answered("pod-2", netip.Addr{}))
						} else {
							expectUnserved(t, from, tr.protocol, toward)
						}
						// The port alone is nobody's: neither a ClusterIP's nor a pod's.
						expect(t, from, tr.protocol, at(s.clusterIP(tr.family)), refused)
					}
					expectUnserved(t, n.Node, tr.protocol, netip.AddrPortFrom(loopback(tr.family), s.nodePort))
				})
			}
		})
	}
}

// A port number may be a Service's on its ClusterIP and another's as node port: they have nothing to do with each other.
func TestNodePortNumberOfAnother(t *testing.T) {
	t.Parallel()
	n := start(t, 2)
	byNodePort := service{name: "by-node-port", number: 1, nodePort: 30080}
	samePort := `apiVersion: v1
kind: Service
metadata: {name: same-port, namespace: demo}
spec:
  clusterIP: 10.96.0.2
  ports: [{name: tcp, port: 30080, targetPort: 8080}]
`
	n.apply(t, byNodePort.String(), endpoints("by-node-port", n.Pods[1]), samePort, endpoints("same-port", n.Pods[1]))
	pod, port := n.Pods[0], byNodePort.nodePort
	expect(t, pod, netlab.TCP, netip.AddrPortFrom(n.Node.Addr4, port), answered("pod-2", gateway(n.Pods[1], ipv4)))
	expect(t, pod, netlab.TCP, netip.AddrPortFrom(netip.MustParseAddr("10.96.0.2"), port), answered("pod-2", pod.Addr4))
}

// Under policy Local, outsiders (and for internalTrafficPolicy everybody) get endpoints of this node or nothing.
func TestLocalPolicy(t *testing.T) {
	t.Parallel()
	n := start(t, 4)
	external := []string{"externalTrafficPolicy: Local"}
	internal := []string{"internalTrafficPolicy: Local"}
	here, there := n.Pods[2], n.Pods[3]
	services := map[string]service{
		"external here":  {name: "external-here", number: 1, nodePort: 30001, spec: external},
		"external there": {name: "external-there", number: 2, nodePort: 30002, spec: external},
		"internal here":  {name: "internal-here", number: 3, spec: internal},
		"internal there": {name: "internal-there", number: 4, spec: internal},
		"nowhere":        {name: "nowhere", number: 5, nodePort: 30005, spec: append(external, internal...)},
	}
	var manifests []string
	for name, s := range services {
		manifests = append(manifests, s.String())
		switch name {
		case "external here", "internal here":
			manifests = append(manifests, endpoints(s.name, here), endpointsOn(otherNodeName, s.name, there))
		case "external there", "internal there":
			manifests = append(manifests, endpointsOn(otherNodeName, s.name, there))
		}
	}
	n.apply(t, manifests...)

	// only says which endpoints may answer: both do, unless only one is named.
	const asks = 40 // of two endpoints one is missed with probability 2^-40
	only := func(t *testing.T, from *netlab.Namespace, p netlab.Protocol, to netip.AddrPort, names ...string) {
		t.Helper()
		counts := count(t, asks, from, p, to)
		for _, name := range names {
			if counts[name] == 0 {
				t.Errorf("%s asked %s %s: %v, want some of %s", from.Name, p, to, counts, name)
			}
			delete(counts, name)
		}
		if len(counts) > 0 {
			t.Errorf("%s asked %s %s: answered by %v too, want only %v", from.Name, p, to, counts, names)
		}
	}
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			t.Parallel()
			p, f := tr.protocol, tr.family
			nodePort := func(name string) netip.AddrPort { return netip.AddrPortFrom(f.of(n.Node), services[name].nodePort) }
			clusterIP := func(name string) netip.AddrPort { return services[name].at(f) }

			only(t, n.Client, p, nodePort("external here"), here.Name)
			only(t, n.Pods[0], p, nodePort("external here"), here.Name, there.Name)
			only(t, n.Node, p, nodePort("external here"), here.Name, there.Name)
			only(t, n.Client, p, clusterIP("external here"), here.Name, there.Name) // no say over ClusterIPs

			expect(t, n.Client, p, nodePort("external there"), dropped)
			only(t, n.Pods[0], p, nodePort("external there"), there.Name)
			only(t, n.Node, p, nodePort("external there"), there.Name)

			for _, from := range n.everyone() {
				only(t, from, p, clusterIP("internal here"), here.Name)
				expect(t, from, p, clusterIP("internal there"), dropped)
				// No endpoint anywhere is not the same as none here.
				expect(t, from, p, clusterIP("nowhere"), refused)
				expect(t, from, p, nodePort("nowhere"), refused)
			}
		})
	}
}

// Source ranges say who may use a load-balancer address, and nothing about the other addresses of the Service.
func TestSourceRanges(t *testing.T) {
	t.Parallel()
	n := start(t, 2)
	s := service{name: "restricted", number: 1, nodePort: 30001, kind: "LoadBalancer", spec: []string{
		"externalIPs: [203.0.113.2, \"2001:db8::2\"]",
		"loadBalancerSourceRanges: [192.168.0.2/32, 10.1.0.0/16, \"fd00:c0::2/128\", \"fd00:10:1::/48\"]",
	}}
	status := `status:
  loadBalancer:
    ingress: [{ip: 203.0.113.1}, {ip: "2001:db8::1"}]
`
	n.apply(t, s.String()+status, endpoints("restricted", n.Pods[1]))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			t.Parallel()
			p, f := tr.protocol, tr.family
			at := func(v4, v6 string) netip.AddrPort {
				return netip.AddrPortFrom(f.pick(netip.MustParseAddr(v4), netip.MustParseAddr(v6)), servicePort)
			}
			loadBalancer := at("203.0.113.1", "2001:db8::1")
			allowed := f.pick(netlab.ClientAddr4, netlab.ClientAddr6)
			other := f.pick(netlab.SecondClientAddr4, netlab.SecondClientAddr6)
			expectFrom(t, n.Client, allowed, p, loadBalancer, answered("pod-2", netip.Addr{}))
			expectFrom(t, n.Client, other, p, loadBalancer, dropped)
			expect(t, n.Pods[0], p, loadBalancer, answered("pod-2", netip.Addr{}))
			expect(t, n.Node, p, loadBalancer, dropped) // filtered like anybody
			for _, to := range []netip.AddrPort{
				at("203.0.113.2", "2001:db8::2"), s.at(f), netip.AddrPortFrom(f.of(n.Node), s.nodePort),
			} {
				expectFrom(t, n.Client, other, p, to, answered("pod-2", netip.Addr{}))
			}
		})
	}
}
