package resolve

import (
	"strings"
	"testing"
)

// annotated is the Service web with annotations, and its slice with two endpoints, of which one is a Pod's.
func annotated(annotations string) string {
	return `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo, annotations: {` + annotations + `}}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-a}}, {addresses: [10.1.0.2]}]
---
`
}

func TestWeights(t *testing.T) {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web-a, namespace: demo, annotations: {svcctl.io/weight: "5"}}
`
	for name, x := range map[string]struct {
		in   string
		want [2]int
	}{
		"none":                            {annotated(""), [2]int{0, 0}},
		"by address":                      {annotated(`svcctl.io/weights: "10.1.0.2=3"`), [2]int{0, 3}},
		"by Pod":                          {annotated(`svcctl.io/weights: "web-a=3, 10.1.0.2=256"`), [2]int{3, 256}},
		"the address before the Pod":      {annotated(`svcctl.io/weights: "web-a=3, 10.1.0.1=4"`), [2]int{4, 0}},
		"of the Pod":                      {annotated("") + pod, [2]int{5, 0}},
		"the Service before the Pod":      {annotated(`svcctl.io/weights: "web-a=3"`) + pod, [2]int{3, 0}},
		"of a Pod in another namespace":   {annotated("") + strings.Replace(pod, "demo", "other", 1), [2]int{0, 0}},
		"1 on the Service outdoes a Pod":  {annotated(`svcctl.io/weights: "10.1.0.1=1"`) + pod, [2]int{1, 0}},
		"balance says nothing of weights": {annotated(`svcctl.io/balance: source-hash, svcctl.io/weights: "web-a=2"`), [2]int{2, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			m, found := Resolve(decode(t, x.in), Config{})
			if len(found) > 0 {
				t.Errorf("%v", found)
			}
			e := m.ServicePorts[0].Cluster
			if got := [2]int{e[0].Weight, e[1].Weight}; got != x.want {
				t.Errorf("got %v, want %v", got, x.want)
			}
		})
	}
}

// TestOwnAnnotationsAreNeverIgnored: what svcctl does not know, or cannot follow, it says.
func TestOwnAnnotationsAreNeverIgnored(t *testing.T) {
	plain := annotated("")
	for _, x := range []struct {
		name, in, say string
	}{{
		"a weight for nobody", annotated(`svcctl.io/weights: "10.1.0.9=3,web-a=2, nobody=2"`),
		"4:73: warning: service demo/web: metadata.annotations[svcctl.io/weights]: none of the endpoints has the address, or is " +
			"the Pod, 10.1.0.9, nobody",
	}, {
		"a Service without a packet path", `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo, annotations: {svcctl.io/balance: source-hash}}
spec: {clusterIP: None}`,
		"4:73: warning: service demo/web: metadata.annotations[svcctl.io/balance]: without effect: no packets to the Service pass " +
			"through here (headless)",
	}, {
		"on a slice", strings.Replace(plain, "name: web-1,", "name: web-1, annotations: {svcctl.io/weight: '3'},", 1),
		`9:57: endpointslice demo/web-1: metadata.annotations[svcctl.io/weight]: Unsupported value: "svcctl.io/weight"`,
	}, {
		"on Endpoints", annotated("") + `
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: demo, labels: {endpoints.kubernetes.io/managed-by: x}, annotations: {svcctl.io/weights: '3'}}`,
		`17:122: endpoints demo/web: metadata.annotations[svcctl.io/weights]: Unsupported value: "svcctl.io/weights"`,
	}, {
		"on a Node", annotated("") + `
apiVersion: v1
kind: Node
metadata: {name: a, annotations: {svcctl.io/zone: b}}`,
		`17:51: node a: metadata.annotations[svcctl.io/zone]: Unsupported value: "svcctl.io/zone"`,
	}, {
		"a Pod's on a Service", annotated("svcctl.io/weight: '3'"),
		`4:72: service demo/web: metadata.annotations[svcctl.io/weight]: Unsupported value: "svcctl.io/weight": supported values: ` +
			`"svcctl.io/balance", "svcctl.io/weights"`,
	}} {
		t.Run(x.name, func(t *testing.T) {
			_, found := Resolve(decode(t, x.in), Config{})
			diffLines(t, x.say, strings.Join(said(found), "\n"))
		})
	}
}
