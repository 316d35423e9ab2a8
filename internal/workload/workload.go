// Package workload writes manifests of any size, for benchmarks and for tests of how things grow. The same numbers give
// the same bytes.
package workload

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
)

// Workload says how much to write.
type Workload struct {
	Services  int // at most 1,048,574: one ClusterIP each, from 10.96.0.0/12
	Endpoints int // per Service, each with an address of its own from 10.0.0.0/10
	// Mixed gives each Service one of eight features in turn: a node port (from 30000 on, as long as there are any),
	// session affinity, a second port over UDP, a load-balancer address with traffic policy Local and source ranges, the
	// same with affinity, no ready endpoint, source hashing, and none of these. Source hashing takes 2,048 slots whatever
	// the number of endpoints, so only every 64th of its turn gets it. Without Mixed all are plain ClusterIP Services.
	Mixed bool
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

// WriteYAML writes a Service and an EndpointSlice for each of the workload's Services, as one stream of documents.
func (l Workload) WriteYAML(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<20)
	clusterIP, endpoint := netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.0.0.1")
	external := netip.MustParseAddr("172.16.0.1")
	for i := range l.Services {
		l.writeService(b, i, clusterIP, external)
		fmt.Fprintf(b, sliceHead, i, i%100, i)
		for k := range l.Endpoints {
			fmt.Fprintf(b, "- addresses: [%s]\n  conditions: {ready: %t}\n  nodeName: node-%d\n",
				endpoint, l.feature(i) != notReady, k%3)
			endpoint = endpoint.Next()
		}
		if l.Endpoints == 0 {
			b.WriteString("  []\n")
		}
		clusterIP, external = clusterIP.Next(), external.Next()
	}
	return b.Flush()
}

func (l Workload) writeService(b *bufio.Writer, i int, clusterIP, external netip.Addr) {
	f := l.feature(i)
	annotations, http := "", ""
	if f == sourceHash {
		annotations = "svcctl.io/balance: source-hash"
	}
	fmt.Fprintf(b, serviceHead, i, i%100, annotations, i, clusterIP)
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
	fmt.Fprintf(b, "  ports:\n  - {name: http, port: 80, targetPort: 8080%s}\n", http)
	if f == secondPort {
		b.WriteString("  - {name: dns, port: 53, protocol: UDP, targetPort: 5353}\n")
	}
	if local {
		fmt.Fprintf(b, "status: {loadBalancer: {ingress: [{ip: %s}]}}\n", external)
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
  clusterIP: %s
`

const sliceHead = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: svc-%d-1
  namespace: ns-%d
  labels: {kubernetes.io/service-name: svc-%d}
addressType: IPv4
ports:
- {name: http, port: 8080}
- {name: dns, port: 5353, protocol: UDP}
endpoints:
`
