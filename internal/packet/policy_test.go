package packet

import (
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// When the traffic policy becomes Local, a client outside leaves the endpoint elsewhere that is remembered for it. Pods and
// the node itself may use it as before, and keep it.
func TestAffinityWhenPolicyBecomesLocal(t *testing.T) {
	t.Parallel()
	n := start(t, 3)
	there, here := n.Pods[0], n.Pods[1]
	s := service{name: "sticky", number: 1, nodePort: 30001, spec: []string{"sessionAffinity: ClientIP"}}
	n.apply(t, s.String(), endpointsOn(otherNodeName, "sticky", there))
	clients := []*netlab.Namespace{n.Client, n.Node, n.Pods[2]}
	at := func(tr transport) netip.AddrPort { return netip.AddrPortFrom(tr.family.of(n.Node), s.nodePort) }
	for _, tr := range transports {
		for _, from := range clients {
			sticky(t, 1, from, tr.family.of(from), tr.protocol, at(tr))
		}
	}
	s.spec = append(s.spec, "externalTrafficPolicy: Local")
	n.apply(t, s.String(), endpointsOn(otherNodeName, "sticky", there), endpoints("sticky", here))
	for _, tr := range transports {
		for i, want := range []*netlab.Namespace{here, there, there} {
			from := clients[i]
			if got := sticky(t, 8, from, tr.family.of(from), tr.protocol, at(tr)); got != want.Name {
				t.Errorf("%s over %s: answered by %s, want %s", from.Name, tr, got, want.Name)
			}
		}
	}
}

// Under the traffic policy Local the node's source is translated, but not where it is of the pods' addresses: that is a
// pod's, whoever has it.
func TestNodeAmongPods(t *testing.T) {
	t.Parallel()
	n := start(t, 2)
	s := service{name: "local", number: 2, nodePort: 30002, spec: []string{"externalTrafficPolicy: Local"}}
	n.apply(t, s.String(), endpoints("local", n.Pods[1]))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			to := netip.AddrPortFrom(tr.family.of(n.Node), s.nodePort)
			own := gateway(n.Pods[0], tr.family)
			expectFrom(t, n.Node, own, tr.protocol, to, answered("pod-2", own))
		})
	}
}
