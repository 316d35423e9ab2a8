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
