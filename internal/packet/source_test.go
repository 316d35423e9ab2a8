package packet

import (
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// The source address that an endpoint sees is the one that the masquerade class of the address says. The endpoint is
// pod-2 throughout; the askers are pod-1, the client outside and the node.
func TestSource(t *testing.T) {
	t.Parallel()
	cluster := service{name: "cluster", number: 1, nodePort: 30001, kind: "LoadBalancer", spec: []string{
		"externalIPs: [203.0.113.1, \"2001:db8::1\"]",
	}}
	local := service{name: "local", number: 2, nodePort: 30002, kind: "LoadBalancer", spec: []string{
		"externalTrafficPolicy: Local", "externalIPs: [203.0.113.2, \"2001:db8::2\"]",
	}}
	nodePortOf := func(s service) func(family) netip.AddrPort {
		return func(f family) netip.AddrPort {
			return netip.AddrPortFrom(f.pick(netlab.NodeAddr4, netlab.NodeAddr6), s.nodePort)
		}
	}
	external := func(v4, v6 string) func(family) netip.AddrPort {
		return func(f family) netip.AddrPort {
			return netip.AddrPortFrom(f.pick(netip.MustParseAddr(v4), netip.MustParseAddr(v6)), servicePort)
		}
	}

	// Who is seen: the asker's own address, or the node's.
	const (
		own  = false
		gate = true
	)
	type seen struct{ pod, client, node bool }
	defaults := map[string]seen{
		"ClusterIP":                       {own, gate, gate},
		"NodePort policy Cluster":         {gate, gate, gate},
		"external address policy Cluster": {gate, gate, gate},
		"NodePort policy Local":           {own, own, gate},
		"external address policy Local":   {own, own, gate},
	}
	with := func(change map[string]seen) map[string]seen {
		out := map[string]seen{}
		for k, v := range defaults {
			out[k] = v
		}
		for k, v := range change {
			out[k] = v
		}
		return out
	}
	targets := map[string]func(family) netip.AddrPort{
		"ClusterIP":                       cluster.at,
		"NodePort policy Cluster":         nodePortOf(cluster),
		"external address policy Cluster": external("203.0.113.1", "2001:db8::1"),
		"NodePort policy Local":           nodePortOf(local),
		"external address policy Local":   external("203.0.113.2", "2001:db8::2"),
	}
	for _, config := range []struct {
		name string
		set  func(n *node)
		want map[string]seen
	}{
		{"cluster CIDRs", func(*node) {}, defaults},
		{
			"masquerade all", func(n *node) { n.config.MasqueradeAll = true },
			with(map[string]seen{"ClusterIP": {gate, gate, gate}}),
		},
		// Nobody is known to be a pod: nothing to ClusterIPs is translated, and pods are outsiders to policy Local.
		{
			"no cluster CIDRs", func(n *node) { n.config.ClusterCIDRs = nil },
			with(map[string]seen{"ClusterIP": {own, own, own}}),
		},
	} {
		t.Run(config.name, func(t *testing.T) {
			t.Parallel()
			n := start(t, 2)
			config.set(n)
			n.apply(t, cluster.String(), endpoints("cluster", n.Pods[1]), local.String(), endpoints("local", n.Pods[1]))
			for _, tr := range transports {
				t.Run(tr.String(), func(t *testing.T) {
					for name, target := range targets {
						want := config.want[name]
						for _, asker := range []struct {
							from       *netlab.Namespace
							translated bool
						}{{n.Pods[0], want.pod}, {n.Client, want.client}, {n.Node, want.node}} {
							source := tr.family.of(asker.from)
							if asker.translated {
								source = gateway(n.Pods[1], tr.family)
							}
							t.Run(name+" from "+asker.from.Name, func(t *testing.T) {
								expect(t, asker.from, tr.protocol, target(tr.family), answered("pod-2", source))
							})
						}
					}
				})
			}
		})
	}
}

// An endpoint that reaches itself through its own Service sees the node, or its answer would never leave it. It sees others
// with their own addresses, and they see it with its.
func TestHairpin(t *testing.T) {
	t.Parallel()
	n := start(t, 3)
	alone := service{name: "alone", number: 1, nodePort: 30001}
	among := service{name: "among", number: 2}
	n.apply(t, alone.String(), endpoints("alone", n.Pods[0]), among.String(), endpoints("among", n.Pods...))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			pod := n.Pods[0]
			expect(t, pod, tr.protocol, alone.at(tr.family), answered(pod.Name, gateway(pod, tr.family)))
			nodePort := netip.AddrPortFrom(tr.family.of(n.Node), alone.nodePort)
			expect(t, pod, tr.protocol, nodePort, answered(pod.Name, gateway(pod, tr.family)))

			// It takes itself once in three times: 60 misses in a row have probability 3e-11.
			itself := 0
			for range 60 {
				a := mustAsk(t, pod, tr.protocol, among.at(tr.family))
				want := tr.family.of(pod)
				if a.Endpoint == pod.Name {
					want = gateway(pod, tr.family)
					itself++
				}
				if a.Source.Addr() != want {
					t.Errorf("%s, want source %s", a, want)
				}
			}
			if itself == 0 {
				t.Errorf("%s never reached itself", pod.Name)
			}
		})
	}
}

// Endpoints may be on the node itself, as processes and pods in the host network are.
func TestEndpointOnNode(t *testing.T) {
	t.Parallel()
	n := start(t, 1)
	n.serve(t, n.Node)
	s := service{name: "host", number: 1, nodePort: 30001}
	n.apply(t, s.String(), endpoints("host", n.Node))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			nodePort := netip.AddrPortFrom(tr.family.of(n.Node), s.nodePort)
			for _, from := range []*netlab.Namespace{n.Client, n.Pods[0], n.Node} {
				// Nothing is translated on the way in: the answer comes back through the node anyway.
				expect(t, from, tr.protocol, s.at(tr.family), answered("node", tr.family.of(from)))
				expect(t, from, tr.protocol, nodePort, answered("node", tr.family.of(from)))
			}
		})
	}
}
