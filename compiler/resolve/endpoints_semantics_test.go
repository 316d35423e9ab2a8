package resolve

import "testing"

const webService = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
`

const webHead = `
demo/web "" TCP IPv4
ClusterIP 10.96.0.10:80
`

// slice writes an EndpointSlice of the Service web.
func slice(name, labels, rest string) string {
	return `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ` + name + `, namespace: demo, labels: {` + labels + `}}
` + rest + `
---
`
}

const ofWeb = "kubernetes.io/service-name: web"

func TestSlicesUsed(t *testing.T) {
	const one = "addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.1.0.1]}]"
	runAll(t, []example{{
		name: "a slice without the label belongs to nobody",
		in:   webService + slice("web-1", "", one),
		want: webHead + "none",
		say: []string{
			"5:7: warning: service demo/web: spec: no endpoints: there is no selector, and no EndpointSlice or Endpoints " +
				"object for the Service in the input",
			"10:50: warning: endpointslice demo/web-1: metadata.labels: without the label kubernetes.io/service-name the slice " +
				"belongs to no Service",
		},
	}, {
		name: "a slice of a Service that is not there",
		in:   webService + slice("web-1", ofWeb, one) + slice("other-1", "kubernetes.io/service-name: other", one),
		want: webHead + "-> 10.1.0.1:8080",
		say: []string{
			"16:1: warning: endpointslice demo/other-1: service demo/other is not in the input: these endpoints are not used",
		},
	}, {
		name: "the label of headless Services keeps a slice out",
		in:   webService + slice("web-1", ofWeb+`, service.kubernetes.io/headless: ""`, one),
		want: webHead + "none",
		say: []string{
			"8:1: warning: endpointslice demo/web-1: metadata.labels: the label service.kubernetes.io/headless keeps the slice " +
				"from being used, but service demo/web is not headless",
		},
	}, {
		name: "addressType decides the family",
		in: webService + slice("web-1", ofWeb, "addressType: IPv6\nports: [{port: 8080}]\nendpoints: [{addresses: ['fd00::1']}]") +
			slice("web-2", ofWeb, "addressType: FQDN\nports: [{port: 8080}]\nendpoints: [{addresses: [web.example.com]}]"),
		want: webHead + "none",
		say: []string{
			"5:7: warning: service demo/web: spec: no endpoints: its EndpointSlices have none of family IPv4",
			"19:14: warning: endpointslice demo/web-2: addressType: no packets are sent to domain names: the endpoints of this " +
				"slice are not used",
		},
	}, {
		name: "a port without a number",
		in:   webService + slice("web-1", ofWeb, "addressType: IPv4\nports: [{name: ''}]\nendpoints: [{addresses: [10.1.0.1]}]"),
		want: webHead + "none",
		say: []string{
			"5:39: warning: service demo/web: spec.ports[0]: no endpoints: the port is unnamed/TCP, and the EndpointSlices of " +
				"the Service have no ports",
			"12:9: warning: endpointslice demo/web-1: ports[0].port: a port without a number is not served",
		},
	}, {
		name: "slices add up, and may have other numbers",
		in: webService + slice("web-2", ofWeb, "addressType: IPv4\nports: [{port: 8081}]\nendpoints: [{addresses: [10.1.0.1]}]") +
			slice("web-1", ofWeb, one),
		want: webHead + "-> 10.1.0.1:8080 10.1.0.1:8081",
	}, {
		name: "the first address only",
		in: webService + slice("web-1", ofWeb,
			"addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.1.0.2, 10.1.0.1]}]"),
		want: webHead + "-> 10.1.0.2:8080",
		say: []string{
			"13:36: warning: endpointslice demo/web-1: endpoints[0].addresses[1]: only the first address of an endpoint is used, " +
				"as in Kubernetes",
		},
	}, {
		name: "in the order of the addresses",
		in: webService + slice("web-1", ofWeb, `
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.10]}, {addresses: [10.1.0.9]}, {addresses: [10.1.0.1]}]`),
		want: webHead + "-> 10.1.0.1:8080 10.1.0.9:8080 10.1.0.10:8080",
	}})
}

func TestConditions(t *testing.T) {
	in := func(endpoints string) string {
		return webService + slice("web-1", ofWeb, "addressType: IPv4\nports: [{port: 8080}]\nendpoints:\n"+endpoints)
	}
	runAll(t, []example{{
		name: "unset is ready",
		in: in(`
- {addresses: [10.1.0.1]}
- {addresses: [10.1.0.2], conditions: {}}
- {addresses: [10.1.0.3], conditions: {serving: false}}`),
		want: webHead + "-> 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080",
	}, {
		name: "ready and terminating is ready",
		in:   in(`- {addresses: [10.1.0.1], conditions: {ready: true, terminating: true}}`),
		want: webHead + "-> 10.1.0.1:8080",
	}, {
		name: "serving, but neither ready nor terminating, is never used",
		in:   in(`- {addresses: [10.1.0.1], conditions: {ready: false, serving: true, terminating: false}}`),
		want: webHead + "none",
	}, {
		name: "with nothing ready those that still serve while they terminate are used",
		in: in(`
- {addresses: [10.1.0.1], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.2], conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.1.0.3], conditions: {ready: false, terminating: true}}
- {addresses: [10.1.0.4], conditions: {ready: false}}`),
		want: webHead + "-> 10.1.0.1:8080 10.1.0.3:8080",
	}, {
		name: "but not as long as one is ready",
		in: in(`
- {addresses: [10.1.0.1], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.2], conditions: {ready: true}}`),
		want: webHead + "-> 10.1.0.2:8080",
	}, {
		name: "none at all",
		in:   in(`- {addresses: [10.1.0.1], conditions: {ready: false, serving: false}}`),
		want: webHead + "none",
	}})
}

func TestDuplicates(t *testing.T) {
	in := func(first, second string) string {
		rest := "addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.1.0.1], conditions: "
		return webService + slice("web-1", ofWeb, rest+first+"}]") + slice("web-2", ofWeb, rest+second+"}]")
	}
	const ready, draining, gone = "{ready: true}", "{ready: false, serving: true, terminating: true}",
		"{ready: false, serving: true}"
	runAll(t, []example{
		{name: "one endpoint", in: in(ready, ready), want: webHead + "-> 10.1.0.1:8080"},
		{name: "a terminating one never replaces", in: in(ready, draining), want: webHead + "-> 10.1.0.1:8080"},
		{name: "a terminating one is replaced", in: in(draining, ready), want: webHead + "-> 10.1.0.1:8080"},
		{name: "even by one that is not ready", in: in(draining, gone), want: webHead + "none"},
		{name: "of two the ready one", in: in(gone, ready), want: webHead + "-> 10.1.0.1:8080"},
	})
}

func TestLocalSet(t *testing.T) {
	in := func(endpoints string) string {
		return slice("web-1", ofWeb, "addressType: IPv4\nports: [{port: 8080}]\nendpoints:\n"+endpoints) + `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {type: NodePort, clusterIP: 10.96.0.10, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30080}]}`
	}
	const head = webHead + "NodePort 0.0.0.0:30080 Local\n"
	cfg := Config{NodeName: "node-a", Zone: "zone-a"}
	runAll(t, []example{{
		name: "draining endpoints here, ready ones elsewhere", cfg: cfg,
		in: in(`
- {addresses: [10.1.0.1], nodeName: node-a, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.2], nodeName: node-b}`),
		want: head + "-> 10.1.0.2:8080\n-> here 10.1.0.1:8080",
	}, {
		name: "a ready one here leaves the draining one out", cfg: cfg,
		in: in(`
- {addresses: [10.1.0.1], nodeName: node-a, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.2], nodeName: node-a}`),
		want: head + "-> 10.1.0.2:8080\n-> here 10.1.0.2:8080",
	}, {
		name: "topology has no say in it", cfg: cfg,
		in: in(`
- {addresses: [10.1.0.1], nodeName: node-a, hints: {forZones: [{name: zone-b}]}}
- {addresses: [10.1.0.2], nodeName: node-b, hints: {forZones: [{name: zone-a}]}}`),
		want: head + "-> 10.1.0.2:8080\n-> here 10.1.0.1:8080",
	}, {
		name: "endpoints elsewhere count, usable or draining", cfg: cfg,
		in:   in(`- {addresses: [10.1.0.2], nodeName: node-b, conditions: {ready: false, serving: true, terminating: true}}`),
		want: head + "-> 10.1.0.2:8080",
	}})
}

func TestTopology(t *testing.T) {
	in := func(endpoints string) string {
		return webService + slice("web-1", ofWeb, "addressType: IPv4\nports: [{port: 8080}]\nendpoints:\n"+endpoints)
	}
	const zoned = `
- {addresses: [10.1.0.1], hints: {forZones: [{name: zone-a}]}}
- {addresses: [10.1.0.2], hints: {forZones: [{name: zone-b}, {name: zone-c}]}}
- {addresses: [10.1.0.3], hints: {forZones: [{name: zone-a}], forNodes: [{name: node-b}]}}`
	const noded = `
- {addresses: [10.1.0.1], hints: {forNodes: [{name: node-a}], forZones: [{name: zone-a}]}}
- {addresses: [10.1.0.2], hints: {forNodes: [{name: node-b}], forZones: [{name: zone-a}]}}
- {addresses: [10.1.0.3], hints: {forNodes: [{name: node-c}], forZones: [{name: zone-b}]}}`
	runAll(t, []example{
		{name: "this node", cfg: Config{NodeName: "node-b", Zone: "zone-b"}, in: in(noded), want: webHead + "-> 10.1.0.2:8080"},
		{
			name: "else this zone", cfg: Config{NodeName: "node-x", Zone: "zone-a"}, in: in(noded),
			want: webHead + "-> 10.1.0.1:8080 10.1.0.2:8080",
		},
		{
			name: "this zone", cfg: Config{NodeName: "node-b", Zone: "zone-a"}, in: in(zoned),
			want: webHead + "-> 10.1.0.1:8080 10.1.0.3:8080",
		},
		{name: "several zones", cfg: Config{Zone: "zone-c"}, in: in(zoned), want: webHead + "-> 10.1.0.2:8080"},
		{
			name: "nothing for this zone", cfg: Config{Zone: "zone-x"}, in: in(zoned),
			want: webHead + "-> 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080",
		},
		{
			name: "this host is in no zone", in: in(zoned),
			want: webHead + "-> 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080",
		},
		{
			name: "one ready endpoint without a hint", cfg: Config{Zone: "zone-a"},
			in:   in(zoned + "\n- {addresses: [10.1.0.4]}"),
			want: webHead + "-> 10.1.0.1:8080 10.1.0.2:8080 10.1.0.3:8080 10.1.0.4:8080",
		},
		{
			name: "hints of endpoints that are not ready", cfg: Config{Zone: "zone-c"},
			in:   in(zoned + "\n- {addresses: [10.1.0.4], conditions: {ready: false}}"),
			want: webHead + "-> 10.1.0.2:8080",
		},
		{
			name: "the zone of this host's Node", cfg: Config{NodeName: "node-b"},
			in: in(zoned) + `
apiVersion: v1
kind: Node
metadata: {name: node-b, labels: {topology.kubernetes.io/zone: zone-b}}`,
			want: webHead + "-> 10.1.0.2:8080",
		},
	})
}

func TestEndpointsObjects(t *testing.T) {
	const endpoints = `
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: demo}
subsets:
- addresses: [{ip: 10.1.0.1, nodeName: node-a}, {ip: 'fd00:1::1'}]
  notReadyAddresses: [{ip: 10.1.0.2}]
  ports: [{port: 8080}]
- addresses: [{ip: 10.1.0.3}]
  ports: [{port: 8081, protocol: TCP}]
---
`
	runAll(t, []example{{
		name: "an Endpoints object where there are no slices",
		in:   webService + endpoints,
		want: webHead + "-> 10.1.0.1:8080 10.1.0.3:8081",
		say: []string{
			"8:1: warning: endpoints demo/web: service demo/web has no ClusterIP of family IPv6: these endpoints are not used",
		},
	}, {
		name: "slices win",
		in: webService + endpoints + slice("web-1", ofWeb,
			"addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.1.0.7]}]"),
		want: webHead + "-> 10.1.0.7:8080",
		say: []string{
			"8:1: warning: endpoints demo/web: the endpoints of service demo/web are taken from its EndpointSlices (19:1)",
		},
	}, {
		name: "of an Endpoints object that a controller wrote beside its slices nothing is said",
		in: webService + slice("web-1", ofWeb, "addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.1.0.7]}]") + `
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: demo, labels: {endpoints.kubernetes.io/managed-by: endpoint-controller}}
subsets: [{addresses: [{ip: 10.1.0.7}], ports: [{port: 8080}]}]`,
		want: webHead + "-> 10.1.0.7:8080",
	}, {
		name: "an Endpoints object of no Service",
		in: `
apiVersion: v1
kind: Endpoints
metadata: {name: other, namespace: demo}`,
		say: []string{
			"2:1: warning: endpoints demo/other: service demo/other is not in the input: these endpoints are not used",
		},
	}})
}

func TestEndpointsAsSlices(t *testing.T) {
	m, _ := Resolve(decode(t, webService+`
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: demo, labels: {app: web}}
subsets:
- addresses:
  - {ip: 10.1.0.1, nodeName: node-a, hostname: web-0, targetRef: {kind: Pod, name: web-0}}
  notReadyAddresses:
  - ip: 10.1.0.2
  ports: [{name: '', port: 8080}]`), Config{})
	want := `
		IPv4 :8080/TCP
		10.1.0.1 ready=true serving=- terminating=- hostname=web-0 node=node-a Pod/web-0 line 13
		10.1.0.2 ready=false serving=- terminating=- line 15`
	diffLines(t, want, dumpSlices(m, "web"))
}
