package differential

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/netlab"
)

// hookServices are Services whose packets pass the hooks in unusual order: web has its endpoint in a pod, host on the node
// itself, and sticky one of each; office may be used from one source range only.
var hookServices = strings.ReplaceAll(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  type: NodePort
  clusterIPs: [10.96.0.1, "fd00:10:96::1"]
  clusterIP: 10.96.0.1
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports:
  - {name: tcp, protocol: TCP, port: 80, nodePort: 30000}
  - {name: udp, protocol: UDP, port: 80, nodePort: 30000}
  - {name: sctp, protocol: SCTP, port: 80, nodePort: 30000}
---
apiVersion: v1
kind: Service
metadata: {name: host, namespace: demo}
spec:
  type: NodePort
  clusterIPs: [10.96.0.2, "fd00:10:96::2"]
  clusterIP: 10.96.0.2
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports:
  - {name: tcp, protocol: TCP, port: 80, nodePort: 30001}
  - {name: udp, protocol: UDP, port: 80, nodePort: 30001}
  - {name: sctp, protocol: SCTP, port: 80, nodePort: 30001}
---
apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: demo}
spec:
  type: LoadBalancer
  clusterIPs: [10.96.0.3, "fd00:10:96::3"]
  clusterIP: 10.96.0.3
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  sessionAffinity: ClientIP
  loadBalancerSourceRanges: [198.51.100.0/24, "2001:db8:7::/64"]
  ports:
  - {name: tcp, protocol: TCP, port: 80}
  - {name: udp, protocol: UDP, port: 80}
  - {name: sctp, protocol: SCTP, port: 80}
status: {loadBalancer: {ingress: [{ip: 203.0.113.5}, {ip: "2001:db8::5"}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: ENDPOINT_PORTS
endpoints: [{addresses: [10.1.1.2]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: ENDPOINT_PORTS
endpoints: [{addresses: ["fd00:10:1:1::2"]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: host-4, namespace: demo, labels: {kubernetes.io/service-name: host}}
addressType: IPv4
ports: ENDPOINT_PORTS
endpoints: [{addresses: [192.168.0.1]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: host-6, namespace: demo, labels: {kubernetes.io/service-name: host}}
addressType: IPv6
ports: ENDPOINT_PORTS
endpoints: [{addresses: ["fd00:c0::1"]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sticky-4, namespace: demo, labels: {kubernetes.io/service-name: sticky}}
addressType: IPv4
ports: ENDPOINT_PORTS
endpoints: [{addresses: [192.168.0.1]}, {addresses: [10.1.1.2]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sticky-6, namespace: demo, labels: {kubernetes.io/service-name: sticky}}
addressType: IPv6
ports: ENDPOINT_PORTS
endpoints: [{addresses: ["fd00:c0::1"]}, {addresses: ["fd00:10:1:1::2"]}]
`, "ENDPOINT_PORTS",
	"[{name: tcp, protocol: TCP, port: 8080}, {name: udp, protocol: UDP, port: 8080}, {name: sctp, protocol: SCTP, port: 8080}]")

// TestHookOrder sends what passes the hooks in unusual order: the node's own packets, which are translated on their way
// out and come in again through the loopback device; endpoints on the node, which postrouting never sees; and a pod that
// reaches itself. Both model and kernel have to do what is written here.
func TestHookOrder(t *testing.T) {
	w := newWorld(t)
	sc := &scenario{
		clusterCIDRs: []string{"10.1.0.0/16", "fd00:10:1::/48"}, serviceCIDRs: []string{"10.96.0.0/16", "fd00:10:96::/112"},
	}
	rs, err := sc.compileText(hookServices)
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(t, w.conn, rs); err != nil {
		t.Fatal(err)
	}
	for _, f := range graph.Families {
		for _, proto := range graph.Protos {
			t.Run(f.String()+" "+proto.String(), func(t *testing.T) {
				for _, c := range w.hookCases(f) {
					c.proto = proto
					w.checkHooks(t, rs, c)
				}
			})
		}
	}
}

// hookCase is a packet and all that may come of it.
type hookCase struct {
	what string
	packet
	want []prediction
}

func (w *world) hookCases(f graph.Family) []hookCase {
	i := int(f) // the place in a pair of twins
	node, client, far := nodeAddrs[i], clients[i], farClient[i]
	pod := w.pods(f)[0]
	web, host, sticky := at(clusterIPs[i], 80), at(clusterIPs[2+i], 80), at(clusterIPs[4+i], 80)
	office := at(externalIPs[i], 80)
	inPod := func(source netip.Addr) prediction {
		return prediction{outcome: netlab.Answered, endpoint: at(pod, 8080), sources: []netip.Addr{source}}
	}
	onNode := func(sources ...netip.Addr) prediction {
		return prediction{outcome: netlab.Answered, endpoint: at(node, 8080), sources: sources}
	}
	own := of(f, w.host.Local)
	return []hookCase{
		{"the node to its own node port", packet{from: node, to: at(node, 30000)}, []prediction{inPod(gateway(pod))}},
		{"the node to its node port by another address", packet{from: nodeAddrs[2+i], to: at(node, 30000)}, []prediction{inPod(gateway(pod))}},
		{"the node to a pod", packet{from: node, to: web}, []prediction{inPod(gateway(pod))}},
		{"the node to itself by a ClusterIP", packet{from: node, to: host}, []prediction{onNode(own...)}},
		{"the node to itself by a node port", packet{from: node, to: at(node, 30001)}, []prediction{onNode(own...)}},
		{"the node to itself by loopback", packet{from: loopback[i], to: at(loopback[i], 30000)}, []prediction{
			{outcome: netlab.Answered, endpoint: at(loopback[i], 30000), sources: []netip.Addr{loopback[i]}},
		}},
		{"a pod to itself", packet{from: pod, to: web}, []prediction{inPod(gateway(pod))}},
		{"a pod to itself by the node port", packet{from: pod, to: at(node, 30000)}, []prediction{inPod(gateway(pod))}},
		{"a pod to the node", packet{from: pod, to: host}, []prediction{onNode(pod)}},
		// What is delivered on the node never comes by postrouting, where sources are translated.
		{"a client to the node", packet{from: client, to: host}, []prediction{onNode(client)}},
		{"a client to the node by the node port", packet{from: client, to: at(node, 30001)}, []prediction{onNode(client)}},
		{"a client to the pod", packet{from: client, to: web}, []prediction{inPod(gateway(pod))}},
		{"a client to either", packet{from: client, to: sticky}, []prediction{onNode(client), inPod(gateway(pod))}},
		{"the node to either", packet{from: node, to: sticky}, []prediction{onNode(own...), inPod(gateway(pod))}},
		{"the pod to either", packet{from: pod, to: sticky}, []prediction{onNode(pod), inPod(gateway(pod))}},
		// Source ranges hold for what comes in and for what the node sends.
		{"a client that may", packet{from: far, to: office}, []prediction{onNode(far), inPod(gateway(pod))}},
		{"a client that may not", packet{from: client, to: office}, []prediction{{outcome: netlab.Silent}}},
		{"the node, which may not", packet{from: node, to: office}, []prediction{{outcome: netlab.Silent}}},
		{"a pod, which may not", packet{from: pod, to: office}, []prediction{{outcome: netlab.Silent}}},
		// The node's own packets to what nobody serves.
		{"the node to an unused port", packet{from: node, to: at(clusterIPs[i], 443)}, []prediction{{outcome: netlab.Refused}}},
		{"the node to an unused address", packet{from: node, to: at(clusterIPs[6+i], 80)}, []prediction{{outcome: netlab.Silent}}},
	}
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// checkHooks compares the model with what is wanted, and the kernel with the model: twice, because the second time the
// node may remember the client, which it does where the service says so.
func (w *world) checkHooks(t *testing.T, rs *graph.Ruleset, c hookCase) {
	t.Helper()
	same := func(a, b prediction) bool {
		return a.outcome == b.outcome && a.endpoint == b.endpoint && slices.Equal(a.sources, b.sources)
	}
	got := w.predict(t, rs, c.packet)
	agreed := len(got) == len(c.want)
	for _, x := range c.want {
		agreed = agreed && slices.ContainsFunc(got, func(y prediction) bool { return same(x, y) })
	}
	if !agreed {
		t.Errorf("%s, %s: the model says %v, want %v", c.what, c.packet, got, c.want)
	}
	for range 2 {
		for _, d := range w.exchange(t, rs, 3*time.Hour, []packet{c.packet}, func(packet, prediction) {}) {
			t.Errorf("%s, %s", c.what, d)
		}
	}
	_, learnt := withMemory(rs, readState(t, w.conn).Ruleset).Table(familyOf(c.from)).Set(graph.AffinityMap).Find(c.memory())
	if want := len(c.want) > 1; learnt != want {
		t.Errorf("%s, %s: the node remembers the client: %v, want %v", c.what, c.packet, learnt, want)
	}
}

func familyOf(a netip.Addr) graph.Family {
	if a.Is6() {
		return graph.IPv6
	}
	return graph.IPv4
}
