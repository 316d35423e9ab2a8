package resolve

import (
	"net/netip"
	"strings"
	"testing"
)

const webSlice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.1.0.1]}]
---
`

func TestServicesServed(t *testing.T) {
	runAll(t, []example{{
		name: "a plain Service",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80, targetPort: 8080}]}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			-> 10.1.0.1:8080`,
	}, {
		name: "another proxy's Service",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo, labels: {service.kubernetes.io/service-proxy-name: ""}}
spec: {clusterIP: 10.96.0.10, externalIPs: [198.51.100.1], ports: [{port: 80}]}`,
	}, {
		name: "headless",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: None, ports: [{port: 80}]}`,
	}, {
		name: "without a ClusterIP nothing is served, and svcctl says so",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  ports: [{port: 80}]`,
		say: []string{
			"14:3: service demo/web: spec.clusterIP: Required value: svcctl needs the address to be written here, or None " +
				"for a headless Service",
		},
	}, {
		name: "ExternalName",
		in: `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {type: ExternalName, externalName: www.example.com.}`,
	}, {
		name: "each family has its own address",
		in: `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  ipFamilyPolicy: RequireDualStack
  clusterIP: 'fd00:10:96::a'
  clusterIPs: ['fd00:10:96::a', 10.96.0.10]
  externalIPs: [198.51.100.1, '2001:db8::1']
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.1]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{port: 8081}]
endpoints: [{addresses: ['fd00:1::1']}]`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			external IP 198.51.100.1:80
			-> 10.1.0.1:8080
			demo/web "" TCP IPv6
			ClusterIP [fd00:10:96::a]:80
			external IP [2001:db8::1]:80
			-> [fd00:1::1]:8081`,
		say: []string{
			"9:16: warning: service demo/web: spec.externalIPs: deprecated since Kubernetes 1.36; it is still served here",
		},
	}, {
		name: "addresses of a family without a ClusterIP are not served",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: '2001:db8::1'}]}}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			-> 10.1.0.1:8080`,
		say: []string{
			"14:40: warning: service demo/web: status.loadBalancer.ingress[0].ip: 2001:db8::1 is not served: " +
				"the Service has no ClusterIP of family IPv6",
		},
	}})
}

func TestServicePorts(t *testing.T) {
	runAll(t, []example{{
		name: "ports are joined by name and protocol, never by number",
		in: `
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: demo}
spec:
  clusterIP: 10.96.0.10
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
  - {name: metrics, port: 9153, targetPort: 1}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dns-1, namespace: demo, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports:
- {name: dns-tcp, port: 5353}
- {name: metrics, port: 9154, protocol: TCP}
- {name: dns, port: 5300, protocol: UDP}
endpoints: [{addresses: [10.1.0.1]}]`,
		want: `
			demo/dns "dns" UDP IPv4
			ClusterIP 10.96.0.10:53
			-> 10.1.0.1:5300
			demo/dns "dns-tcp" TCP IPv4
			ClusterIP 10.96.0.10:53
			-> 10.1.0.1:5353
			demo/dns "metrics" TCP IPv4
			ClusterIP 10.96.0.10:9153
			-> 10.1.0.1:9154`,
		say: []string{
			"10:45: warning: service demo/dns: spec.ports[2].targetPort: not 1: the EndpointSlices of the Service have the port " +
				"9154",
		},
	}, {
		name: "a port that no slice has",
		in: `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  clusterIP: 10.96.0.10
  ports:
  - {name: http, port: 80}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: web, port: 8080}, {name: http, port: 8080, protocol: UDP}]
endpoints: [{addresses: [10.1.0.1]}]`,
		want: `
			demo/web "http" TCP IPv4
			ClusterIP 10.96.0.10:80
			none`,
		say: []string{
			`8:5: warning: service demo/web: spec.ports[0]: no endpoints: the port is "http"/TCP, ` +
				`and the EndpointSlices of the Service have "http"/UDP, "web"/TCP`,
		},
	}, {
		name: "a node port in every family",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, 'fd00:10:96::a']
  ports: [{port: 80, nodePort: 30080}]`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			NodePort 0.0.0.0:30080
			-> 10.1.0.1:8080
			demo/web "" TCP IPv6
			ClusterIP [fd00:10:96::a]:80
			NodePort [::]:30080
			none`,
	}})
}

func TestExternalAddresses(t *testing.T) {
	runAll(t, []example{{
		name: "external IPs and the load balancer's",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  externalIPs: [198.51.100.2, 198.51.100.1]
  ports: [{port: 80}]
status:
  loadBalancer:
    ingress:
    - {ip: 203.0.113.3, ipMode: VIP}
    - {ip: 203.0.113.1}
    - {ip: 203.0.113.2, ipMode: Proxy}
    - {hostname: lb.example.com}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			external IP 198.51.100.1:80
			external IP 198.51.100.2:80
			load-balancer IP 203.0.113.1:80
			load-balancer IP 203.0.113.3:80
			-> 10.1.0.1:8080`,
		say: []string{
			"16:16: warning: service demo/web: spec.externalIPs: deprecated since Kubernetes 1.36; it is still served here",
		},
	}, {
		name: "the type does not matter to status.loadBalancer",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			load-balancer IP 203.0.113.1:80
			-> 10.1.0.1:8080`,
	}, {
		name: "loadBalancerIP serves while no controller has given an address",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {type: LoadBalancer, clusterIP: 10.96.0.10, loadBalancerIP: 203.0.113.9, ports: [{port: 80, nodePort: 30000}]}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			NodePort 0.0.0.0:30000
			load-balancer IP 203.0.113.9:80
			-> 10.1.0.1:8080`,
		say: []string{
			"13:67: warning: service demo/web: spec.loadBalancerIP: deprecated since Kubernetes 1.24; " +
				"it is the address here as long as status.loadBalancer.ingress has none",
		},
	}, {
		name: "an address given twice is a load-balancer IP, with its restriction",
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  externalIPs: [203.0.113.1, 203.0.113.1]
  loadBalancerSourceRanges: [192.0.2.0/24]
  ports: [{port: 80}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.96.0.10:80
			load-balancer IP 203.0.113.1:80 from [192.0.2.0/24]
			-> 10.1.0.1:8080`,
		say: []string{
			"16:16: warning: service demo/web: spec.externalIPs: deprecated since Kubernetes 1.36; it is still served here",
		},
	}})
}

func TestOrderOfPorts(t *testing.T) {
	const dual = `
apiVersion: v1
kind: Service
metadata: {name: s%, namespace: demo}
spec:
  ipFamilyPolicy: RequireDualStack
  clusterIP: 10.96.0.%
  clusterIPs: [10.96.0.%, 'fd00::%']
  ports: [{name: z, port: 2}, {name: a, port: 1}]
---`
	m, _ := Resolve(decode(t, strings.ReplaceAll(dual, "%", "2"), strings.ReplaceAll(dual, "%", "1")), Config{})
	var got []string
	for _, sp := range m.ServicePorts {
		got = append(got, sp.Service.Ref.Name+"/"+sp.Name+"/"+string(sp.Family))
	}
	want := "s1/z/IPv4 s1/a/IPv4 s2/z/IPv4 s2/a/IPv4 s1/z/IPv6 s1/a/IPv6 s2/z/IPv6 s2/a/IPv6"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestServiceCIDRs(t *testing.T) {
	runAll(t, []example{{
		name: "an address outside of the ranges",
		cfg:  Config{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}},
		in: webSlice + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: 10.112.0.1, ports: [{port: 80}]}`,
		want: `
			demo/web "" TCP IPv4
			ClusterIP 10.112.0.1:80
			-> 10.1.0.1:8080`,
		say: []string{
			"13:19: warning: service demo/web: spec.clusterIP: 10.112.0.1 is not in the service CIDRs [10.96.0.0/12]",
		},
	}})
}
