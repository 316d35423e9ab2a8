package resolve

import (
	"strings"
	"testing"
)

// Endpoints that serve keep their flows, whoever gets the new ones: what is asked of them is their condition serving
// alone, not readiness, node or zone. TCP connections are nobody's to cut.
func TestSpared(t *testing.T) {
	in := func(protocol, spec, endpoints string) string {
		return `
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: demo}
spec: {clusterIP: 10.96.0.10, ports: [{port: 53, protocol: ` + protocol + `}]` + spec + `}
---
` + slice("dns-1", "kubernetes.io/service-name: dns",
			"addressType: IPv4\nports: [{port: 53, protocol: "+protocol+"}]\nendpoints:\n"+endpoints)
	}
	const (
		terminating = `
- {addresses: [10.1.0.1]}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.3], conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.1.0.4], conditions: {ready: false}}`
		nodes = `
- {addresses: [10.1.0.1], nodeName: node-1}
- {addresses: [10.1.0.2], nodeName: node-2}
- {addresses: [10.1.0.3], nodeName: node-2, conditions: {ready: false, serving: false}}`
		head = `
demo/dns "" UDP IPv4
ClusterIP 10.96.0.10:53`
	)
	here := Config{NodeName: "node-1"}
	runAll(t, []example{{
		name: "others are ready",
		in:   in("UDP", "", terminating),
		want: head + "\n-> 10.1.0.1:53\nspared 10.1.0.2:53 10.1.0.4:53",
	}, {
		name: "SCTP",
		in:   in("SCTP", "", terminating),
		want: strings.Replace(head, "UDP", "SCTP", 1) + "\n-> 10.1.0.1:53\nspared 10.1.0.2:53 10.1.0.4:53",
	}, {
		name: "TCP",
		in:   in("TCP", "", terminating),
		want: strings.Replace(head, "UDP", "TCP", 1) + "\n-> 10.1.0.1:53",
	}, {
		name: "none is ready",
		in:   in("UDP", "", "- {addresses: [10.1.0.2], conditions: {ready: false, serving: true, terminating: true}}"),
		want: head + "\n-> 10.1.0.2:53",
	}, {
		name: "of another node",
		cfg:  here,
		in:   in("UDP", ", internalTrafficPolicy: Local", nodes),
		want: head + " Local\n-> here 10.1.0.1:53\nspared 10.1.0.2:53",
	}, {
		name: "used at one address and not at another",
		cfg:  here,
		in:   in("UDP", ", internalTrafficPolicy: Local, externalIPs: [192.0.2.1]", nodes),
		want: head + " Local\nexternal IP 192.0.2.1:53\n-> 10.1.0.1:53 10.1.0.2:53\n-> here 10.1.0.1:53\nspared 10.1.0.2:53",
		say: []string{
			"5:110: warning: service demo/dns: spec.externalIPs: deprecated since Kubernetes 1.36; it is still served here",
		},
	}})
}
