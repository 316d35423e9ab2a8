// Package workload writes manifests of any size, for benchmarks and for tests of how things grow. The same numbers give
// the same bytes.
package workload

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
)

// Stack says which address families the Services have.
type Stack uint8

// The stacks.
const (
	IPv4 Stack = iota
	IPv6
	DualStack
)

// String gives the name: "ipv4", "ipv6" or "dual".
func (s Stack) String() string { return [...]string{"ipv4", "ipv6", "dual"}[s] }

// Workload says how much to write.
type Workload struct {
	Services  int // one ClusterIP per family each: at most 1,048,574 from 10.96.0.0/12, 65,535 from fd00:10:96::/112
	Endpoints int // per Service, each with an address of its own from 10.0.0.0/10 and fd00:10:244::/96
	Stack     Stack
	// First are the numbers of endpoints of the first Services, where they are others than Endpoints. Nothing else depends
	// on them: between two workloads that differ in First alone, just these endpoints come or go.
	First []int
	// Replaced gives the first endpoint of the first Service another address, which no other endpoint has.
	Replaced bool
	// UDP gives the Services port 53 over UDP in place of port 80 over TCP.
	UDP bool
	// Mixed gives each Service one of eight features in turn: a node port (from 30000 on, as long as there are any),
	// session affinity, a second port over UDP, a load-balancer address with traffic policy Local and source ranges, the
	// same with affinity, no ready endpoint, source hashing, and none of these. Source hashing takes 2,048 slots whatever
	// the number of endpoints, so only every 64th of its turn gets it. Without Mixed all are plain ClusterIP Services.
	// Some of the features are of IPv4, so that the stack has to be.
	Mixed bool
}

// The first address of each kind, by family.
var (
	clusterIPs  = [...]netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00:10:96::1")}
	endpointIPs = [...]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00:10:244::1")}
	externalIP  = netip.MustParseAddr("172.16.0.1")
)

// ClusterIP gives the ClusterIP of the i-th Service, counted from 0, in a single-stack family.
func ClusterIP(s Stack, i int) netip.Addr { return nth(clusterIPs[s], i) }

// Endpoint gives the address of the k-th endpoint of the i-th Service, both counted from 0, in a single-stack family.
func (l Workload) Endpoint(s Stack, i, k int) netip.Addr {
	spare := l.Services * l.Endpoints // what comes from here on is nobody's by default
	switch {
	case l.Replaced && i == 0 && k == 0:
		return nth(endpointIPs[s], spare)
	case k >= l.Endpoints:
		return nth(endpointIPs[s], spare+1+i*maxFirst+k)
	default:
		return nth(endpointIPs[s], i*l.Endpoints+k)
	}
}

// maxFirst is the largest number in [Workload.First].
const maxFirst = 1024

// nth gives the address that is n addresses after another one.
func nth(first netip.Addr, n int) netip.Addr {
	b := first.AsSlice()
	tail := b[len(b)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+uint32(n))
	a, _ := netip.AddrFromSlice(b)
	return a
}

// endpoints gives the number of endpoints of the i-th Service.
func (l Workload) endpoints(i int) int {
	if i < len(l.First) {
		return l.First[i]
	}
	return l.Endpoints
}

// stacks are the single-stack families of the workload.
func (l Workload) stacks() []Stack {
	if l.Stack == DualStack {
		return []Stack{IPv4, IPv6}
	}
	return []Stack{l.Stack}
}

// feature is what is special about a Service.
type feature int

const (
	plain feature = iota
	nodePort
	affinity
	secondPort
	localPolicy
	localAffinity
	sourceHash
	notReady
	features
)

// nodePorts is how many node ports there are (kube-apiserver --service-node-port-range).
const nodePorts = 2768

func (l Workload) feature(i int) feature {
	f := feature(i) % features
	turn := i / int(features)
	if !l.Mixed || f == nodePort && turn >= nodePorts || f == sourceHash && turn%64 != 0 {
		return plain
	}
	return f
}

// WriteYAML writes a Service and an EndpointSlice per family for each of the workload's Services, as one stream of
// documents.
func (l Workload) WriteYAML(w io.Writer) error {
	if l.Mixed && (l.Stack != IPv4 || l.UDP) {
		return errors.New("workload: the mixed features are of IPv4 and TCP")
	}
	b := bufio.NewWriterSize(w, 1<<20)
	for i := range l.Services {
		l.writeService(b, i)
		for _, s := range l.stacks() {
			l.writeSlice(b, i, s)
		}
	}
	return b.Flush()
}

func (l Workload) writeSlice(b *bufio.Writer, i int, s Stack) {
	family, number := "IPv4", 1
	if s == IPv6 {
		family, number = "IPv6", 2
	}
	fmt.Fprintf(b, sliceHead, i, number, i%100, i, family)
	for k := range l.endpoints(i) {
		fmt.Fprintf(b, "- addresses: [%s]\n  conditions: {ready: %t}\n  nodeName: node-%d\n",
			quoted(l.Endpoint(s, i, k)), l.feature(i) != notReady, k%3)
	}
	if l.endpoints(i) == 0 {
		b.WriteString("  []\n")
	}
}

// quoted gives an address as YAML; one of IPv6 may look like a mapping.
func quoted(a netip.Addr) string {
	if a.Is6() {
		return strconv.Quote(a.String())
	}
	return a.String()
}

func (l Workload) writeService(b *bufio.Writer, i int) {
	f := l.feature(i)
	annotations, http := "", ""
	if f == sourceHash {
		annotations = "svcctl.io/balance: source-hash"
	}
	fmt.Fprintf(b, serviceHead, i, i%100, annotations, i)
	switch l.Stack {
	case IPv4:
		fmt.Fprintf(b, "  clusterIP: %s\n", ClusterIP(IPv4, i))
	case IPv6:
		fmt.Fprintf(b, "  clusterIP: %s\n  ipFamilies: [IPv6]\n", quoted(ClusterIP(IPv6, i)))
	case DualStack:
		fmt.Fprintf(b, "  clusterIP: %[1]s\n  clusterIPs: [%[1]s, %[2]s]\n", ClusterIP(IPv4, i), quoted(ClusterIP(IPv6, i)))
		b.WriteString("  ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]\n")
	}
	if f == affinity || f == localAffinity {
		b.WriteString("  sessionAffinity: ClientIP\n")
	}
	local := f == localPolicy || f == localAffinity
	switch {
	case local:
		b.WriteString("  type: LoadBalancer\n  externalTrafficPolicy: Local\n  allocateLoadBalancerNodePorts: false\n" +
			"  loadBalancerSourceRanges: [192.168.0.0/16, 10.0.0.0/8]\n")
	case f == nodePort:
		b.WriteString("  type: NodePort\n")
		http = fmt.Sprintf(", nodePort: %d", 30000+i/int(features))
	}
	b.WriteString("  ports:\n")
	if !l.UDP {
		fmt.Fprintf(b, "  - {name: http, port: 80, targetPort: 8080%s}\n", http)
	}
	if l.UDP || f == secondPort {
		b.WriteString("  - {name: dns, port: 53, protocol: UDP, targetPort: 5353}\n")
	}
	if local {
		fmt.Fprintf(b, "status: {loadBalancer: {ingress: [{ip: %s}]}}\n", nth(externalIP, i))
	}
}

const serviceHead = `---
apiVersion: v1
kind: Service
metadata:
  name: svc-%d
  namespace: ns-%d
  annotations: {%s}
spec:
  selector: {app: app-%d}
`

const sliceHead = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: svc-%d-%d
  namespace: ns-%d
  labels: {kubernetes.io/service-name: svc-%d}
addressType: %s
ports:
- {name: http, port: 8080}
- {name: dns, port: 5353, protocol: UDP}
endpoints:
`
