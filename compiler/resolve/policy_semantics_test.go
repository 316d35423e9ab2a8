package resolve

import "testing"

func TestSourceRanges(t *testing.T) {
	service := func(ranges string) string {
		return webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, 'fd00:10:96::a']
  loadBalancerSourceRanges: ` + ranges + `
  ports: [{port: 80, nodePort: 30080}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}, {ip: '2001:db8::1'}]}}`
	}
	want := func(v4, v6 string) string {
		return `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			NodePort 0.0.0.0:30080
			load-balancer IP 203.0.113.1:80` + v4 + `
			-> 10.1.0.1:8080
			demo/web "" TCP IPv6
			ClusterIP [fd00:10:96::a]:80
			NodePort [::]:30080
			load-balancer IP [2001:db8::1]:80` + v6 + `
			none`
	}
	runAll(t, []example{{
		name: "only the load-balancer IPs, each family its own",
		in:   service(`[192.0.2.128/25, " 192.0.2.0/24 ", 10.0.0.0/8, 2001:db8:1::/48]`),
		want: want(" from [10.0.0.0/8 192.0.2.0/24]", " from [2001:db8:1::/48]"),
	}, {
		name: "a range of everything opens its family",
		in:   service(`[192.0.2.0/24, 0.0.0.0/0, 2001:db8:1::/48]`),
		want: want("", " from [2001:db8:1::/48]"),
	}, {
		name: "a family without a range is open",
		in:   service(`[192.0.2.0/24]`),
		want: want(" from [192.0.2.0/24]", ""),
	}})
}

func TestAffinity(t *testing.T) {
	service := func(more string) string {
		return webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  clusterIP: 10.96.0.10
  ports: [{port: 80}]
  ` + more
	}
	want := func(affinity string) string {
		return `
			demo/web "" TCP IPv4` + affinity + `
			ClusterIP 10.96.0.10:80
			-> 10.1.0.1:8080`
	}
	runAll(t, []example{{
		name: "three hours where nothing is said",
		in:   service("sessionAffinity: ClientIP"), want: want(" affinity 3h0m0s"),
	}, {
		name: "the timeout that is written",
		in:   service("sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 86400}}"),
		want: want(" affinity 24h0m0s"),
	}, {
		name: "without affinity its configuration means nothing",
		in:   service("sessionAffinityConfig: {clientIP: {timeoutSeconds: 90000}}"), want: want(""),
	}})
}

// threeNodes is a Service with endpoints on two nodes.
const threeNodes = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- {addresses: [10.1.0.1], nodeName: node-a}
- {addresses: [10.1.0.2], nodeName: node-b}
- {addresses: [10.1.0.3]}
---
`

func TestTrafficPolicies(t *testing.T) {
	service := func(spec string) string {
		return threeNodes + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  clusterIP: 10.96.0.10
  ports: [{port: 80, nodePort: 30080}]
  ` + spec
	}
	nodeA, nodeC := Config{NodeName: " Node-A "}, Config{NodeName: "node-c"}
	const all = "-> 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080"
	runAll(t, []example{{
		name: "Cluster", cfg: nodeA,
		in: service("type: NodePort"),
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			NodePort 0.0.0.0:30080
			` + all,
	}, {
		name: "internal Local", cfg: nodeA,
		in: service("type: NodePort\n  internalTrafficPolicy: Local"),
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80 Local
			NodePort 0.0.0.0:30080
			` + all + `
			-> here 10.1.0.1:8080`,
	}, {
		name: "internal Local, none here", cfg: nodeC,
		in: service("type: NodePort\n  internalTrafficPolicy: Local"),
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80 Local
			NodePort 0.0.0.0:30080
			` + all,
	}, {
		name: "external Local needs both sets", cfg: nodeA,
		in: service("type: NodePort\n  externalTrafficPolicy: Local"),
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			NodePort 0.0.0.0:30080 Local
			` + all + `
			-> here 10.1.0.1:8080`,
	}, {
		name: "without a node name nothing is local",
		in:   service("type: NodePort\n  externalTrafficPolicy: Local"),
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			NodePort 0.0.0.0:30080 Local
			` + all,
	}})
}

func TestExternalPolicyHonoured(t *testing.T) {
	runAll(t, []example{{
		name: "a ClusterIP Service with external IPs", cfg: Config{NodeName: "node-a"},
		in: threeNodes + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  clusterIP: 10.96.0.10
  internalTrafficPolicy: Local
  externalTrafficPolicy: Local
  externalIPs: [198.51.100.1]
  ports: [{port: 80}]`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80 Local
			external IP 198.51.100.1:80 Local
			-> 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080
			-> here 10.1.0.1:8080`,
		say: []string{
			"20:16: warning: service demo/web: spec.externalIPs: deprecated since Kubernetes 1.36; it is still served here",
		},
	}, {
		name: "a ClusterIP under Local alone needs no others", cfg: Config{NodeName: "node-a"},
		in: threeNodes + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: 10.96.0.10, internalTrafficPolicy: Local, ports: [{port: 80}]}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80 Local
			-> here 10.1.0.1:8080`,
	}})
}
