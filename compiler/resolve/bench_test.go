package resolve

import (
	"fmt"
	"strings"
	"testing"
)

// manyServices writes Services with ten endpoints each, in slices.
func manyServices(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `apiVersion: v1
kind: Service
metadata: {name: svc-%d, namespace: ns-%d, labels: {app.kubernetes.io/name: web, app.kubernetes.io/part-of: shop}}
spec: {clusterIP: 10.%d.%d.%d, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc-%d-abcde, namespace: ns-%d, labels: {kubernetes.io/service-name: svc-%d}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
`, i, i%10, 96+i>>16, i>>8&255, i&255, i, i%10, i)
		for j := range 10 {
			e := i*10 + j
			fmt.Fprintf(&b, "- {addresses: [10.%d.%d.%d], conditions: {ready: true, serving: true, terminating: false}, nodeName: node-%d}\n",
				128+e>>16, e>>8&255, e&255, e%100)
		}
		b.WriteString("---\n")
	}
	return b.String()
}

// BenchmarkSlices resolves Services with ten endpoints each.
func BenchmarkSlices(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			bundle := decode(b, manyServices(n))
			b.ReportAllocs()
			for b.Loop() {
				m, found := Resolve(bundle, Config{NodeName: "node-7"})
				if len(m.ServicePorts) != n || len(found) != 0 {
					b.Fatalf("%d ports, %v", len(m.ServicePorts), found)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(10*n), "ns/endpoint")
		})
	}
}

// BenchmarkPods resolves Services that select their endpoints, all in one namespace.
func BenchmarkPods(b *testing.B) {
	const services, pods = 10000, 30000
	var in strings.Builder
	for i := range services {
		fmt.Fprintf(&in, `apiVersion: v1
kind: Service
metadata: {name: svc-%d}
spec: {clusterIP: 10.96.%d.%d, selector: {app: app-%d, tier: web}, ports: [{port: 80, targetPort: 8080}]}
---
`, i, i>>8, i&255, i)
	}
	for i := range pods {
		fmt.Fprintf(&in, `apiVersion: v1
kind: Pod
metadata: {name: pod-%d, labels: {app: app-%d, tier: web, pod-template-hash: x%d}}
status: {podIP: 10.%d.%d.%d}
---
`, i, i%services, i, 128+i>>16, i>>8&255, i&255)
	}
	bundle := decode(b, in.String())
	b.ReportAllocs()
	for b.Loop() {
		m, found := Resolve(bundle, Config{})
		if len(m.ServicePorts) != services || len(m.ServicePorts[0].Cluster) != 3 || len(found) != 0 {
			b.Fatalf("%d ports, %v", len(m.ServicePorts), found)
		}
	}
}

func TestLimit(t *testing.T) {
	var in strings.Builder
	in.WriteString(webService)
	for i := range 29 {
		fmt.Fprintf(&in, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-%d, namespace: demo, "+
			"labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints:\n", i)
		for j := range 1000 {
			fmt.Fprintf(&in, "- addresses: [10.%d.%d.%d]\n", i, j>>8, j&255)
		}
		in.WriteString("---\n")
	}
	_, found := Resolve(decode(t, in.String()), Config{})
	diffLines(t, "5:39: service demo/web: spec.ports[0]: Too many endpoints: 29000: a port can have at most 28672",
		strings.Join(said(found), "\n"))
}
