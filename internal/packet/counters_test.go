package packet

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/nft"
)

// tally is what was counted, by "10.96.0.1:80/tcp" for a service address and "10.96.0.1:80/tcp 10.1.1.2:8080" for an
// endpoint of it. What counted nothing is not in it.
type tally struct {
	services, endpoints, refused, dropped map[string]int
	// By the set that the rule looks into.
	rules map[string]int
}

func newTally() *tally {
	return &tally{
		map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{},
	}
}

// compare insists that what was counted is exactly what was asked.
func (want *tally) compare(t *testing.T, got *tally) {
	t.Helper()
	for _, c := range []struct {
		what      string
		got, want map[string]int
	}{
		{"service-connections", got.services, want.services},
		{"endpoint-connections", got.endpoints, want.endpoints},
		{"refused", got.refused, want.refused},
		{"dropped", got.dropped, want.dropped},
		{"rules", got.rules, want.rules},
	} {
		if !maps.Equal(c.got, c.want) {
			t.Errorf("%s: counted %v\n\twant %v", c.what, c.got, c.want)
		}
	}
}

func serviceText(k graph.Key) string {
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(k.Addr, k.Port), k.Proto)
}

// counted reads what the kernel counted.
func (n *node) counted(t *testing.T) *tally {
	t.Helper()
	c, err := n.conn.ReadCounters(t.Context(), n.config.Table, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := newTally()
	add := func(to map[string]int, key string, c nft.Count) {
		if (c.Packets == 0) != (c.Bytes == 0) {
			t.Errorf("%s: %d packets of %d bytes", key, c.Packets, c.Bytes)
		}
		if c.Packets > 0 {
			to[key] += int(c.Packets)
		}
	}
	for _, table := range c.Tables {
		for _, e := range table.Sets[graph.ServiceConnectionsSet] {
			add(out.services, serviceText(e.Key), e.Count)
		}
		for _, e := range table.Sets[graph.EndpointConnectionsSet] {
			add(out.endpoints, serviceText(e.Key)+" "+netip.AddrPortFrom(e.Key.Peer, e.Key.PeerPort).String(), e.Count)
		}
		for _, e := range table.Sets[graph.NoEndpointsMap] {
			to := out.refused
			if e.Data.Verdict.Op == graph.Drop {
				to = out.dropped
			}
			add(to, serviceText(e.Key), e.Count)
		}
		for _, r := range table.Rules {
			for _, s := range r.Rule.Stmts {
				if m, ok := s.(graph.MatchSet); ok && (r.Chain == "unserved" || m.Not) {
					add(out.rules, m.Set, r.Count)
				}
			}
		}
	}
	return out
}

// at gives the key of a service address; to is where the packets were sent.
func (n *node) key(tr transport, to netip.AddrPort) string {
	if to.Addr() == tr.family.of(n.Node) {
		to = netip.AddrPortFrom(tr.family.pick(netip.IPv4Unspecified(), netip.IPv6Unspecified()), to.Port())
	}
	return fmt.Sprintf("%s/%s", to, strings.ToLower(tr.protocol.String()))
}

// Every connection is counted once, at the address it was sent to and at the endpoint that answered it: from everywhere, to
// every kind of address, whoever chose the endpoint.
func TestCounters(t *testing.T) {
	t.Parallel()
	n := start(t, 3)
	n.config.Counters = true
	n.serve(t, n.Node)
	web := service{name: "web", number: 1, nodePort: 30001}
	sticky := service{name: "sticky", number: 2, nodePort: 30002, spec: []string{"sessionAffinity: ClientIP"}}
	local := service{
		name: "local", number: 3, nodePort: 30003, kind: "LoadBalancer",
		spec: []string{"externalTrafficPolicy: Local", `externalIPs: [203.0.113.3, "2001:db8::3"]`},
	}
	host := service{name: "host", number: 4, nodePort: 30004}
	hash := service{name: "hash", number: 5, nodePort: 30005}
	hashed := strings.Replace(hash.String(), "namespace: demo}", "namespace: demo, annotations: {svcctl.io/balance: source-hash}}", 1)
	// The cluster IP has the port of the node port of "web", and the same endpoints.
	samePort := `apiVersion: v1
kind: Service
metadata: {name: same-port, namespace: demo}
spec:
  clusterIP: 10.96.0.6
  ports: [{name: tcp, port: 30001, targetPort: 8080}]
`
	n.apply(t, web.String(), endpoints("web", n.Pods...), sticky.String(), endpoints("sticky", n.Pods...),
		local.String(), endpoints("local", n.Pods[0], n.Pods[1]), endpointsOn(otherNodeName, "local", n.Pods[2]),
		host.String(), endpoints("host", n.Node, n.Pods[0]), hashed, endpoints("hash", n.Pods...),
		samePort, endpoints("same-port", n.Pods...))
	want := newTally()
	ask := func(from *netlab.Namespace, tr transport, to netip.AddrPort) {
		t.Helper()
		a := mustAsk(t, from, tr.protocol, to)
		want.services[n.key(tr, to)]++
		want.endpoints[n.key(tr, to)+" "+a.Local.String()]++
	}
	for _, tr := range transports {
		for _, s := range []service{web, sticky, local, host, hash} {
			targets := []netip.AddrPort{s.at(tr.family), netip.AddrPortFrom(tr.family.of(n.Node), s.nodePort)}
			if s.name == "local" {
				external := tr.family.pick(netip.MustParseAddr("203.0.113.3"), netip.MustParseAddr("2001:db8::3"))
				targets = append(targets, netip.AddrPortFrom(external, servicePort))
			}
			for _, to := range targets {
				for _, from := range n.everyone() {
					for range 5 {
						ask(from, tr, to)
					}
				}
			}
		}
	}
	for range 5 {
		ask(n.Pods[0], transport{netlab.TCP, ipv4}, netip.MustParseAddrPort("10.96.0.6:30001"))
	}
	want.compare(t, n.counted(t))
}

// What is refused and dropped is counted by address where it is known, and never as a connection.
func TestCountersOfWhatIsNotServed(t *testing.T) {
	t.Parallel()
	n := start(t, 2)
	n.config.Counters = true
	empty := service{name: "empty", number: 1, nodePort: 30001}
	elsewhere := service{name: "elsewhere", number: 2, nodePort: 30002, spec: []string{"externalTrafficPolicy: Local"}}
	served := service{name: "served", number: 3, nodePort: 30003, kind: "LoadBalancer", spec: []string{
		`externalIPs: [203.0.113.3, "2001:db8::3"]`,
		`loadBalancerIP: 203.0.113.4`, `loadBalancerSourceRanges: [192.168.0.2/32, "fd00:c0::2/128"]`,
	}}
	n.apply(t, empty.String(), elsewhere.String(), endpointsOn(otherNodeName, "elsewhere", n.Pods[1]),
		served.String(), endpoints("served", n.Pods[0]))
	want := newTally()
	restricted := netip.MustParseAddrPort("203.0.113.4:80")
	for _, f := range families {
		for _, p := range []netlab.Protocol{netlab.TCP, netlab.UDP} {
			tr := transport{p, f}
			for _, to := range []netip.AddrPort{empty.at(f), netip.AddrPortFrom(f.of(n.Node), empty.nodePort)} {
				for _, from := range n.everyone() {
					expect(t, from, p, to, refused)
					want.refused[n.key(tr, to)]++
				}
			}
			to := netip.AddrPortFrom(f.of(n.Node), elsewhere.nodePort)
			expect(t, n.Client, p, to, dropped)
			want.dropped[n.key(tr, to)]++
			expect(t, n.Pods[0], p, to, answered("pod-2", netip.Addr{}))
			want.services[n.key(tr, to)]++
			want.endpoints[n.key(tr, to)+" "+netip.AddrPortFrom(f.of(n.Pods[1]), endpointPort).String()]++

			for _, from := range n.everyone() {
				expect(t, from, p, netip.AddrPortFrom(served.clusterIP(f), 81), refused)
				want.rules["cluster-ips"]++
			}
			for _, from := range []*netlab.Namespace{n.Pods[0], n.Node} {
				expect(t, from, p, netip.AddrPortFrom(service{number: 99}.clusterIP(f), 80), dropped)
				want.rules["service-cidrs"]++
			}
			if f == ipv4 {
				expect(t, n.Client, p, restricted, answered("pod-1", netip.Addr{}))
				want.services[n.key(tr, restricted)]++
				want.endpoints[n.key(tr, restricted)+" "+netip.AddrPortFrom(f.of(n.Pods[0]), endpointPort).String()]++
				expectFrom(t, n.Client, netlab.SecondClientAddr4, p, restricted, dropped)
				want.rules["source-ranges"]++
			}
		}
	}
	want.compare(t, n.counted(t))
}

// An address keeps its count when its endpoints change, whatever becomes of slots and shapes, and so does an endpoint that
// stays.
func TestCountersThroughChange(t *testing.T) {
	t.Parallel()
	n := start(t, 3)
	n.config.Counters = true
	web := service{name: "web", number: 1, nodePort: 30001}
	to := web.at(ipv4)
	tr := transport{netlab.TCP, ipv4}
	n.apply(t, web.String(), endpoints("web", n.Pods[0]))
	want := newTally()
	ask := func() {
		for range 10 {
			a := mustAsk(t, n.Client, tr.protocol, to)
			want.services[n.key(tr, to)]++
			want.endpoints[n.key(tr, to)+" "+a.Local.String()]++
		}
		want.compare(t, n.counted(t))
	}
	ask()
	n.apply(t, web.String(), endpoints("web", n.Pods...))
	ask()
	n.apply(t, web.String(), endpoints("web", n.Pods[0]))
	for key := range want.endpoints {
		if !strings.HasSuffix(key, " 10.1.1.2:8080") {
			delete(want.endpoints, key)
		}
	}
	ask()

	// Without counters nothing is counted, and with them again everything begins at zero.
	n.config.Counters = false
	n.apply(t, web.String(), endpoints("web", n.Pods[0]))
	mustAsk(t, n.Client, tr.protocol, to)
	newTally().compare(t, n.counted(t))
	n.config.Counters = true
	n.apply(t, web.String(), endpoints("web", n.Pods[0]))
	want = newTally()
	ask()
}
