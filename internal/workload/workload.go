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
	// Mixed gives the Services different shapes: every fourth a node port as well (from 30000 on, as long as there are
	// any), every fifth session affinity. Without it all are plain ClusterIP Services.
	Mixed bool
}

// WriteYAML writes a Service and an EndpointSlice for each of the workload's Services, as one stream of documents.
func (l Workload) WriteYAML(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<20)
	clusterIP, endpoint := netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.0.0.1")
	nodePort := 30000
	for i := range l.Services {
		fmt.Fprintf(b, serviceHead, i, i%100, i, clusterIP)
		if l.Mixed && i%5 == 0 {
			b.WriteString("  sessionAffinity: ClientIP\n")
		}
		if l.Mixed && i%4 == 0 && nodePort <= 32767 {
			fmt.Fprintf(b, "  type: NodePort\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n    nodePort: %d\n", nodePort)
			nodePort++
		} else {
			b.WriteString("  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n")
		}
		fmt.Fprintf(b, sliceHead, i, i%100, i)
		for range l.Endpoints {
			fmt.Fprintf(b, "- addresses: [%s]\n  conditions: {ready: true}\n", endpoint)
			endpoint = endpoint.Next()
		}
		if l.Endpoints == 0 {
			b.WriteString("  []\n")
		}
		clusterIP = clusterIP.Next()
	}
	return b.Flush()
}

const serviceHead = `---
apiVersion: v1
kind: Service
metadata:
  name: svc-%d
  namespace: ns-%d
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
- name: http
  port: 8080
endpoints:
`
