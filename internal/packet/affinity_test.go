package packet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
)

// sticky makes many requests and insists that one endpoint answers them all.
func sticky(t *testing.T, n int, from *netlab.Namespace, source netip.Addr, p netlab.Protocol, to netip.AddrPort) string {
	t.Helper()
	first := ""
	for i := range n {
		a := from.Ask(t.Context(), netlab.Request{Protocol: p, To: to, From: source})
		switch {
		case a.Outcome != netlab.Answered:
			t.Fatalf("%s (%s) asked %s %s: %s", from.Name, source, p, to, a)
		case first == "":
			first = a.Endpoint
		case a.Endpoint != first:
			t.Fatalf("%s (%s) asked %s %s: answered by %s %d times, then by %s", from.Name, source, p, to, first, i, a.Endpoint)
		}
	}
	return first
}

// clientOf is a client of an address: affinity holds for each on its own.
type clientOf struct {
	transport
	from   *netlab.Namespace
	source netip.Addr
	to     netip.AddrPort
}

func (n *node) clientsOf(s service) []clientOf {
	var out []clientOf
	for _, f := range families {
		second := f.pick(netlab.SecondClientAddr4, netlab.SecondClientAddr6)
		for _, p := range protocols {
			tr := transport{p, f}
			for _, to := range []netip.AddrPort{s.at(f), netip.AddrPortFrom(f.of(n.Node), s.nodePort)} {
				for _, from := range n.everyone() {
					out = append(out, clientOf{tr, from, f.of(from), to})
				}
				out = append(out, clientOf{tr, n.Client, second, to})
			}
		}
	}
	return out
}

// A client keeps its endpoint when others come and others go. When its own goes it gets another at once, and keeps that.
func TestAffinity(t *testing.T) {
	t.Parallel()
	const connections = 50
	n := start(t, 5)
	s := service{name: "sticky", number: 1, nodePort: 30001, spec: []string{"sessionAffinity: ClientIP"}}

	n.apply(t, s.String(), endpoints("sticky", n.Pods[:3]...))
	clients := n.clientsOf(s)
	chosen := map[clientOf]string{}
	shares := map[string]int{}
	for _, c := range clients {
		chosen[c] = sticky(t, connections, c.from, c.source, c.protocol, c.to)
		shares[chosen[c]]++
	}
	for _, pod := range n.Pods[:3] {
		// Of 48 clients none chooses a given endpoint with probability 4e-9.
		if shares[pod.Name] == 0 {
			t.Errorf("%d clients chose %v, nobody %s", len(clients), shares, pod.Name)
		}
	}

	n.apply(t, s.String(), endpoints("sticky", n.Pods...))
	for _, c := range clients {
		if got := sticky(t, 3, c.from, c.source, c.protocol, c.to); got != chosen[c] {
			t.Errorf("%s (%s) of %s %s had %s, and %s since others came", c.from.Name, c.source, c.protocol, c.to, chosen[c], got)
		}
	}

	for gone := range 3 {
		n.apply(t, s.String(), endpoints("sticky", n.Pods[gone+1:]...))
		for _, c := range clients {
			got := sticky(t, 3, c.from, c.source, c.protocol, c.to)
			switch {
			case got == n.Pods[gone].Name:
				t.Errorf("%s (%s) of %s %s still gets %s", c.from.Name, c.source, c.protocol, c.to, got)
			case got != chosen[c] && chosen[c] != n.Pods[gone].Name:
				t.Errorf("%s (%s) of %s %s had %s, and %s since %s went", c.from.Name, c.source, c.protocol, c.to, chosen[c],
					got, n.Pods[gone].Name)
			}
			chosen[c] = got
		}
	}
}

// An endpoint that reaches itself keeps itself like any other client: what it got is learnt before its source is
// translated.
func TestAffinityHairpin(t *testing.T) {
	t.Parallel()
	n := start(t, 5)
	s := service{name: "sticky", number: 1, spec: []string{"sessionAffinity: ClientIP"}}
	n.apply(t, s.String(), endpoints("sticky", n.Pods[0]))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			expect(t, n.Pods[0], tr.protocol, s.at(tr.family), answered("pod-1", gateway(n.Pods[0], tr.family)))
		})
	}
	n.apply(t, s.String(), endpoints("sticky", n.Pods...))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			if got := sticky(t, 12, n.Pods[0], tr.family.of(n.Pods[0]), tr.protocol, s.at(tr.family)); got != "pod-1" {
				t.Errorf("pod-1 had itself, and %s since others came", got)
			}
		})
	}
}

// manyPorts is a Service with affinity and as many TCP ports, each of which remembers its clients on its own: as many
// independent choices.
func manyPorts(ports int, timeout time.Duration, namespaces ...*netlab.Namespace) (
	manifests string, at func(family) []netip.AddrPort,
) {
	s := service{name: "many", number: 1}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: demo}\nspec:\n", s.name)
	fmt.Fprintf(&b, "  clusterIP: %s\n  clusterIPs: [%[1]s, %q]\n", s.clusterIP(ipv4), s.clusterIP(ipv6))
	fmt.Fprintf(&b, "  ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n")
	fmt.Fprintf(&b, "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: %d}}\n  ports:\n",
		int(timeout.Seconds()))
	for i := range ports {
		fmt.Fprintf(&b, "  - {name: p%d, port: %d, targetPort: %d}\n", i, 8001+i, endpointPort)
	}
	for _, f := range families {
		fmt.Fprintf(&b, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: many-%s\n",
			strings.ToLower(f.String()))
		fmt.Fprintf(&b, "  namespace: demo\n  labels: {kubernetes.io/service-name: %s}\naddressType: %s\nports:\n", s.name, f)
		for i := range ports {
			fmt.Fprintf(&b, "- {name: p%d, port: %d}\n", i, endpointPort)
		}
		b.WriteString("endpoints:\n")
		for _, ns := range namespaces {
			fmt.Fprintf(&b, "- {addresses: [%q], nodeName: %s}\n", f.of(ns), nodeName)
		}
	}
	return b.String(), func(f family) []netip.AddrPort {
		out := make([]netip.AddrPort, ports)
		for i := range out {
			out[i] = netip.AddrPortFrom(s.clusterIP(f), uint16(8001+i))
		}
		return out
	}
}

// What is learnt of endpoints on the node itself is learnt on another path of the kernel.
func TestAffinityEndpointOnNode(t *testing.T) {
	t.Parallel()
	n := start(t, 1)
	n.serve(t, n.Node)
	manifests, at := manyPorts(24, 3*time.Hour, n.Node, n.Pods[0])
	n.apply(t, manifests)
	for _, f := range families {
		for _, from := range n.everyone() {
			shares := map[string]int{}
			for _, to := range at(f) {
				shares[sticky(t, 6, from, f.of(from), netlab.TCP, to)]++
			}
			// Of 24 choices none is a given one of two endpoints with probability 6e-8.
			if shares["node"] == 0 || shares["pod-1"] == 0 {
				t.Errorf("%s over %s: %v, want some of each endpoint", from.Name, f, shares)
			}
		}
	}
}

// A client is remembered for the timeout after its latest connection, and then forgotten.
func TestAffinityTimeout(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for timeouts")
	}
	t.Parallel()
	const timeout = 3 * time.Second
	n := start(t, 3)
	manifests, at := manyPorts(16, timeout, n.Pods...)
	n.apply(t, manifests)
	ask := func() map[netip.AddrPort]string {
		out := map[netip.AddrPort]string{}
		for _, f := range families {
			for _, to := range at(f) {
				out[to] = mustAsk(t, n.Client, netlab.TCP, to).Endpoint
			}
		}
		return out
	}

	first := ask()
	tick := time.NewTicker(timeout / 6)
	defer tick.Stop()
	for range 10 { // beyond the timeout since the first connection, never since the latest
		<-tick.C
		for to, endpoint := range ask() {
			if endpoint != first[to] {
				t.Errorf("%s: %s, and then %s within the timeout", to, first[to], endpoint)
			}
		}
	}

	until(t, 4*timeout, "the client is forgotten", func() bool {
		return n.remembered(t, "ip") == 0 && n.remembered(t, "ip6") == 0
	})
	moved := 0
	for to, endpoint := range ask() {
		if endpoint != first[to] {
			moved++
		}
	}
	if moved == 0 { // of 32 choices among three, all the same again: 5e-16
		t.Error("every choice is as before the client was forgotten")
	}
}

// remembered counts the clients that nft shows to be remembered.
func (n *node) remembered(t *testing.T, family string) int {
	t.Helper()
	out, err := n.Node.Run(t.Context(), "", "nft", "list", "map", family, n.config.Table, "affinity")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(out, "expires")
}

// Nobody is remembered at a Service that lost its last endpoint or was deleted, be it by cluster IP or by node port: what
// comes after it is not sent to where it was.
func TestAffinityOfServicesThatChange(t *testing.T) {
	t.Parallel()
	n := start(t, 2)
	s := service{name: "sticky", number: 1, nodePort: 30001, spec: []string{"sessionAffinity: ClientIP"}}
	other := service{name: "other", number: 2, nodePort: 30002, spec: []string{"sessionAffinity: ClientIP"}}
	rest := []string{other.String(), endpoints("other", n.Pods[0])}
	reach := func(s service, pod string) {
		t.Helper()
		for _, tr := range transports {
			for _, to := range []netip.AddrPort{s.at(tr.family), netip.AddrPortFrom(tr.family.of(n.Node), s.nodePort)} {
				expect(t, n.Client, tr.protocol, to, answered(pod, netip.Addr{}))
			}
		}
	}
	remembered := func(when string, want int) {
		t.Helper()
		for _, family := range []string{"ip", "ip6"} {
			if got := n.remembered(t, family); got != want {
				t.Errorf("%s: %d clients are remembered over %s, want %d", when, got, family, want)
			}
		}
	}
	each := 2 * len(protocols) // a Service's cluster IP and node port
	for name, without := range map[string][]string{"scaled to zero": {s.String()}, "deleted": nil} {
		n.apply(t, append(rest, s.String(), endpoints("sticky", n.Pods[0]))...)
		reach(s, "pod-1")
		reach(other, "pod-1")
		remembered("before", 2*each)
		n.apply(t, append(rest, without...)...)
		remembered(name, each)
		n.apply(t, append(rest, s.String(), endpoints("sticky", n.Pods[1]))...)
		reach(s, "pod-2")
		reach(other, "pod-1")
		n.apply(t, rest...)
	}
}
