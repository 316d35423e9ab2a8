package resolve

import (
	"strings"
	"testing"
)

// claimant writes a Service on eight lines.
func claimant(name, clusterIP, more, port string) string {
	return `apiVersion: v1
kind: Service
metadata: {name: ` + name + `, namespace: demo}
spec:
  clusterIP: ` + clusterIP + `
  ports: [{` + port + `}]
  ` + more + `
---
`
}

func TestConflicts(t *testing.T) {
	const deprecated = "spec.externalIPs: deprecated since Kubernetes 1.36; it is still served here"
	examples := []example{{
		name: "one address and port in two Services",
		in: claimant("b", "10.96.0.2", "externalIPs: [198.51.100.1]", "port: 80") +
			claimant("a", "10.96.0.1", "externalIPs: [198.51.100.1]", "port: 80"),
		say: []string{
			`7:17: service demo/b: spec.externalIPs[0]: Invalid value: "198.51.100.1": 198.51.100.1:80/TCP is already an external ` +
				"IP of service demo/a (at 15:17)",
		},
	}, {
		name: "other ports and other protocols of one address are fine",
		in: claimant("a", "10.96.0.1", "externalIPs: [198.51.100.1]", "port: 80") +
			claimant("b", "10.96.0.2", "externalIPs: [198.51.100.1]", "port: 81") +
			claimant("c", "10.96.0.3", "externalIPs: [198.51.100.1]", "port: 80, protocol: UDP"),
	}, {
		name: "the ClusterIP of another",
		in: claimant("a", "10.96.0.1", "externalIPs: [10.96.0.2]", "port: 80") +
			claimant("b", "10.96.0.2", "", "port: 80"),
		say: []string{
			`13:14: service demo/b: spec.clusterIP: Invalid value: "10.96.0.2": 10.96.0.2:80/TCP is already an external IP of ` +
				"service demo/a (at 7:17)",
		},
	}, {
		name: "the Service's own ClusterIP",
		in:   claimant("a", "10.96.0.1", "externalIPs: [10.96.0.1]", "port: 80"),
		say: []string{
			`7:17: service demo/a: spec.externalIPs[0]: Invalid value: "10.96.0.1": 10.96.0.1:80/TCP is already a ClusterIP of ` +
				"service demo/a (at 5:14)",
		},
	}, {
		name: "one ClusterIP in two Services, whatever the ports",
		in:   claimant("a", "10.96.0.1", "", "port: 80") + claimant("b", "10.96.0.1", "", "port: 81"),
		say: []string{
			`13:14: service demo/b: spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP ` +
				"is already allocated (by service demo/a at 5:14)",
		},
	}, {
		name: "one node port in two Services, whatever the protocol",
		in: claimant("a", "10.96.0.1", "type: NodePort", "port: 80, nodePort: 30080") +
			claimant("b", "10.96.0.2", "type: LoadBalancer", "port: 81, nodePort: 30080, protocol: UDP"),
		say: []string{
			"14:32: service demo/b: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated " +
				"(by service demo/a at 6:32)",
		},
	}, {
		name: "one node port for two protocols of one Service",
		in: claimant("a", "10.96.0.1", "type: NodePort",
			"name: t, port: 80, nodePort: 30080}, {name: u, port: 80, nodePort: 30080, protocol: UDP"),
	}, {
		name: "a Service of another proxy claims nothing",
		in: claimant("a", "10.96.0.1", "", "port: 80") + `
apiVersion: v1
kind: Service
metadata: {name: b, namespace: demo, labels: {service.kubernetes.io/service-proxy-name: x}}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}`,
	}}
	for _, x := range examples {
		t.Run(x.name, func(t *testing.T) {
			_, found := Resolve(decode(t, x.in), x.cfg)
			errs, warnings := found.Split()
			diffLines(t, strings.Join(x.say, "\n"), strings.Join(said(errs), "\n"))
			for _, w := range warnings {
				if w.Code != "NoEndpoints" && w.Field+": "+w.Message != deprecated {
					t.Errorf("unexpected: %s", w)
				}
			}
		})
	}
}
