package resolve

import (
	"strings"
	"testing"
)

func TestServiceWarnings(t *testing.T) {
	for _, x := range []struct {
		name, in string
		say      []string
	}{{
		"a load balancer's", webSlice + `
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: demo
  annotations:
    service.beta.kubernetes.io/load-balancer-source-ranges: 10.0.0.0/8
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  loadBalancerClass: example.com/lb
  clusterIP: 10.96.0.1
  ports: [{port: 80}]
`, []string{
			"16:61: warning: service demo/web: metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: " +
				"the annotation restricts nobody, as in kube-proxy: use spec.loadBalancerSourceRanges",
			"19:26: warning: service demo/web: spec.externalTrafficPolicy: no endpoint is local: none of them has a nodeName",
			"20:24: warning: service demo/web: spec.healthCheckNodePort: nothing answers health checks on this port",
			"21:22: warning: service demo/web: spec.loadBalancerClass: the addresses are served here whatever the class",
		},
	}, {
		"an internal policy", webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {internalTrafficPolicy: Local, clusterIP: 10.96.0.1, ports: [{port: 80}]}
`, []string{
			"13:31: warning: service demo/web: spec.internalTrafficPolicy: no endpoint is local: none of them has a nodeName",
		},
	}, {
		"topology by annotation, for Pods", strings.Replace(selecting, "labels: {team: blue}",
			"annotations: {service.kubernetes.io/topology-mode: Auto}", 1) + podYAML("web-0", httpContainer, "podIP: 10.1.0.1"),
		[]string{
			"4:91: warning: service demo/web: metadata.annotations[service.kubernetes.io/topology-mode]: no hints are made for " +
				"this annotation: use spec.trafficDistribution",
		},
	}, {
		"what only Pods are asked about", `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  clusterIP: 10.96.0.1
  publishNotReadyAddresses: true
  trafficDistribution: PreferSameZone
  ports: [{port: 80, targetPort: 8081}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.2], conditions: {ready: false}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-2, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{port: 8080}]
endpoints: [{addresses: ["fd00::1"]}]
`, []string{
			"7:29: warning: service demo/web: spec.publishNotReadyAddresses: its EndpointSlices say themselves which endpoints " +
				"are ready, and some are not",
			"8:24: warning: service demo/web: spec.trafficDistribution: no hints are made for EndpointSlices that are given: " +
				"write them into endpoints[].hints",
			"9:34: warning: service demo/web: spec.ports[0].targetPort: not 8081: the EndpointSlices of the Service have the " +
				"port 8080",
			"18:1: warning: endpointslice demo/web-2: addressType: service demo/web has no ClusterIP of family IPv6: these " +
				"endpoints are not used",
		},
	}, {
		"what slices of a cluster say of it", `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  clusterIP: 10.96.0.1
  publishNotReadyAddresses: true
  trafficDistribution: PreferSameZone
  ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 81, targetPort: web}, {name: c, port: 82, targetPort: 82}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: a, port: 8080}, {name: b, port: 8081}, {name: c, port: 8082}]
endpoints: [{addresses: [10.1.0.1], zone: a, hints: {forZones: [{name: a}]}}]
`, nil,
	}, {
		"an IPv6 address in another form", serviceYAML("  clusterIP: 'FD00::1'\n  ports: [{port: 80}]\n"), []string{
			"6:3: warning: service default/web: spec: no endpoints: there is no selector, and no EndpointSlice or Endpoints object " +
				"for the Service in the input",
			`6:14: warning: service default/web: spec.clusterIPs[0]: IPv6 address "FD00::1" should be in RFC 5952 canonical ` +
				`format ("fd00::1")`,
		},
	}} {
		t.Run(x.name, func(t *testing.T) {
			_, found := Resolve(decode(t, x.in), Config{})
			diffLines(t, strings.Join(x.say, "\n"), strings.Join(said(found), "\n"))
		})
	}
}
