package resolve

import (
	"fmt"
	"strings"
	"testing"
)

// selecting is a Service that takes its endpoints from Pods.
const selecting = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo, labels: {team: blue}}
spec: {clusterIP: 10.96.0.10, selector: {app: web, env: prod}, ports: [{name: http, port: 80, targetPort: http}]}
---
`

// podYAML writes a Pod that the Service selects.
func podYAML(name, spec, status string) string {
	return `
apiVersion: v1
kind: Pod
metadata: {name: ` + name + `, namespace: demo, labels: {app: web, env: prod, pod-template-hash: abc}}
spec: {` + spec + `}
status: {` + status + `}
---
`
}

const httpContainer = "containers: [{name: web, image: web, ports: [{name: http, containerPort: 8080}]}]"

const selectingHead = `
demo/web "http" TCP IPv4
ClusterIP 10.96.0.10:80
`

func TestPodsSelected(t *testing.T) {
	runAll(t, []example{{
		name: "all labels of the selector, in the Service's namespace",
		in: selecting + podYAML("web-0", httpContainer, "podIP: 10.1.0.1") + `
apiVersion: v1
kind: Pod
metadata: {name: other-label, namespace: demo, labels: {app: web, env: test}}
spec: {` + httpContainer + `}
status: {podIP: 10.1.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: other-namespace, labels: {app: web, env: prod}}
spec: {` + httpContainer + `}
status: {podIP: 10.1.0.3}`,
		want: selectingHead + "-> 10.1.0.1:8080",
	}, {
		name: "Pods that are over, and Pods without an address",
		in: selecting + podYAML("done", httpContainer, "phase: Succeeded, podIP: 10.1.0.1") +
			podYAML("failed", httpContainer, "phase: Failed, podIP: 10.1.0.2") +
			podYAML("young", httpContainer, "phase: Pending") + podYAML("web-0", httpContainer, "podIP: 10.1.0.4"),
		want: selectingHead + "-> 10.1.0.4:8080",
	}, {
		name: "slices win over Pods",
		in: selecting + podYAML("web-0", httpContainer, "podIP: 10.1.0.1") +
			slice("web-1", ofWeb, "addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.1.0.9]}]"),
		want: selectingHead + "-> 10.1.0.9:80",
	}, {
		name: "Endpoints win over Pods",
		in: selecting + podYAML("web-0", httpContainer, "podIP: 10.1.0.1") + `
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: demo}
subsets: [{addresses: [{ip: 10.1.0.9}], ports: [{name: http, port: 80}]}]`,
		want: selectingHead + "-> 10.1.0.9:80",
	}, {
		name: "an empty selector selects nothing",
		in: `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: 10.96.0.10, selector: {}, ports: [{name: http, port: 80}]}
---` + podYAML("web-0", httpContainer, "podIP: 10.1.0.1"),
		want: selectingHead + "none",
		say: []string{
			"5:7: warning: service demo/web: spec: no endpoints: there is no selector, and no EndpointSlice or Endpoints " +
				"object for the Service in the input",
		},
	}, {
		name: "a selector that matches nothing",
		in:   selecting,
		want: selectingHead + "none",
		say: []string{
			"5:41: warning: service demo/web: spec.selector: no endpoints: the selector matches no Pod in the input",
		},
	}, {
		name: "a selector that matches Pods without addresses",
		in: selecting + podYAML("web-0", httpContainer, "") + podYAML("web-1", httpContainer, "") +
			podYAML("web-2", httpContainer, "") + podYAML("web-3", httpContainer, "podIP: 'fd00::1'"),
		want: selectingHead + "none",
		say: []string{
			"5:41: warning: service demo/web: spec.selector: no endpoints: of the Pods that the selector matches " +
				"(web-0, web-1, web-2 and 1 more) none has an address of family IPv4 in status.podIPs",
		},
	}})
}

func TestPodPorts(t *testing.T) {
	runAll(t, []example{{
		name: "a name can mean another number on each Pod",
		in: selecting + podYAML("web-0", httpContainer, "podIP: 10.1.0.1") +
			podYAML("web-1", "containers: [{name: web, ports: [{name: http, containerPort: 8081, protocol: TCP}]}]", "podIP: 10.1.0.2"),
		want: selectingHead + "-> 10.1.0.1:8080 10.1.0.2:8081",
	}, {
		name: "the protocol must match, too, and the first container wins",
		in: selecting + podYAML("web-0", `containers: [
  {name: a, ports: [{name: http, containerPort: 1, protocol: UDP}]},
  {name: b, ports: [{name: http, containerPort: 2}]},
  {name: c, ports: [{name: http, containerPort: 3}]}]`, "podIP: 10.1.0.1"),
		want: selectingHead + "-> 10.1.0.1:2",
	}, {
		name: "an init container counts if it keeps running, after the others",
		in: selecting +
			podYAML("web-0", `initContainers: [
  {name: a, ports: [{name: http, containerPort: 1}]},
  {name: b, restartPolicy: Always, ports: [{name: http, containerPort: 2}]}], containers: [{name: c}]`, "podIP: 10.1.0.1") +
			podYAML("web-1", `initContainers: [{name: b, restartPolicy: Always, ports: [{name: http, containerPort: 2}]}], `+
				httpContainer, "podIP: 10.1.0.2"),
		want: selectingHead + "-> 10.1.0.1:2 10.1.0.2:8080",
	}, {
		name: "a name that no Pod knows",
		in:   selecting + podYAML("web-0", "containers: [{name: a, ports: [{name: web, containerPort: 1}]}]", "podIP: 10.1.0.1"),
		want: selectingHead + "none",
		say: []string{
			`5:107: warning: service demo/web: spec.ports[0].targetPort: no endpoints: no container of the Pods that the selector ` +
				`matches has a port named "http"/TCP`,
		},
	}, {
		name: "a number needs no container port",
		in: strings.Replace(selecting, "targetPort: http", "targetPort: 9000", 1) +
			podYAML("web-0", "hostNetwork: true", "podIP: 192.0.2.1"),
		want: selectingHead + "-> 192.0.2.1:9000",
	}, {
		name: "podIP is the first of podIPs, and the only one where they differ",
		in: selecting + podYAML("web-0", httpContainer, "podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}]") +
			podYAML("web-1", httpContainer, "podIP: 10.1.0.2, podIPs: [{ip: 10.1.0.2}]") +
			podYAML("web-2", httpContainer, "podIP: 'fd00::3', podIPs: [{ip: 10.1.0.3}]"),
		want: selectingHead + "-> 10.1.0.1:8080 10.1.0.2:8080",
	}})
}

func TestPodSlices(t *testing.T) {
	const ready = "conditions: [{type: Ready, status: 'True'}], "
	m, found := Resolve(decode(t, `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo, labels: {team: blue}}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, 'fd00:10:96::a']
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: metrics, port: 90, targetPort: 9000}]
---
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/zone: zone-a}}
---
`+podYAML("hand-written", "nodeName: node-a, hostname: first, subdomain: web, "+httpContainer,
		"podIPs: [{ip: 10.1.0.5}, {ip: 'fd00:1:0::5'}]")+
		podYAML("running", "nodeName: node-b, hostname: other, subdomain: elsewhere, "+httpContainer,
			"phase: Running, podIP: 10.1.0.4")+
		podYAML("pending", httpContainer, "phase: Pending, podIP: 10.1.0.3")+
		podYAML("ready", httpContainer, ready+"phase: Running, podIP: 10.1.0.2")+
		podYAML("unready", httpContainer, "conditions: [{type: Initialized, status: 'True'}], phase: Running, podIP: 10.1.0.1")+
		`
apiVersion: v1
kind: Pod
metadata: {name: leaving, namespace: demo, labels: {app: web}, deletionTimestamp: '2026-01-02T03:04:05Z'}
status: {`+ready+`podIP: 10.1.0.6}
`), Config{})
	want := `
		IPv4 http:8080/TCP metrics:9000/TCP
		10.1.0.1 ready=false serving=false terminating=false Pod/unready line 45
		10.1.0.2 ready=true serving=true terminating=false Pod/ready line 38
		10.1.0.3 ready=false serving=false terminating=false Pod/pending line 31
		10.1.0.4 ready=true serving=true terminating=false node=node-b Pod/running line 24
		10.1.0.5 ready=true serving=true terminating=false hostname=first node=node-a zone=zone-a Pod/hand-written line 17
		IPv4 metrics:9000/TCP
		10.1.0.6 ready=false serving=true terminating=true Pod/leaving line 52
		IPv6 http:8080/TCP metrics:9000/TCP
		fd00:1::5 ready=true serving=true terminating=false hostname=first node=node-a zone=zone-a Pod/hand-written line 17`
	diffLines(t, want, dumpSlices(m, "web"))
	diffLines(t, `21:35: warning: pod demo/hand-written: status.podIPs[1]: IPv6 address "fd00:1:0::5" should be in RFC 5952 `+
		`canonical format ("fd00:1::5")`, strings.Join(said(found), "\n"))
	for _, s := range m.Services[0].Slices {
		if s.Labels["kubernetes.io/service-name"] != "web" || s.Labels["team"] != "blue" ||
			!strings.HasPrefix(s.Name, "web-") || s.Namespace != "demo" {
			t.Errorf("slice %s/%s has labels %v", s.Namespace, s.Name, s.Labels)
		}
	}
}

func TestPublishNotReadyAddresses(t *testing.T) {
	in := strings.Replace(selecting, "spec: {", "spec: {publishNotReadyAddresses: true, ", 1) +
		podYAML("unready", httpContainer, "conditions: [{type: Ready, status: 'False'}], podIP: 10.1.0.1") + `
apiVersion: v1
kind: Pod
metadata: {name: leaving, namespace: demo, labels: {app: web, env: prod}, deletionTimestamp: '2026-01-02T03:04:05Z'}
spec: {` + httpContainer + `}
status: {podIP: 10.1.0.2}`
	m, _ := Resolve(decode(t, in), Config{})
	diffLines(t, selectingHead+"-> 10.1.0.1:8080 10.1.0.2:8080", dump(m))
	diffLines(t, `
		IPv4 http:8080/TCP
		10.1.0.1 ready=true serving=false terminating=false Pod/unready line 8
		10.1.0.2 ready=true serving=true terminating=true Pod/leaving line 15`, dumpSlices(m, "web"))
}

func TestHeadlessSlices(t *testing.T) {
	m, _ := Resolve(decode(t, strings.Replace(selecting, "10.96.0.10", "None", 1)+
		podYAML("web-0", httpContainer, "podIP: 10.1.0.1")), Config{})
	s := m.Services[0]
	if !s.Headless || s.Skipped != "headless" || len(m.ServicePorts) != 0 {
		t.Errorf("headless %v, skipped %q, %d ports", s.Headless, s.Skipped, len(m.ServicePorts))
	}
	if _, ok := s.Slices[0].Labels["service.kubernetes.io/headless"]; !ok {
		t.Errorf("labels %v lack the one of headless Services", s.Slices[0].Labels)
	}
	diffLines(t, `
		IPv4 http:8080/TCP
		10.1.0.1 ready=true serving=true terminating=false Pod/web-0 line 8`, dumpSlices(m, "web"))
}

func TestPodsThatAreOver(t *testing.T) {
	m, _ := Resolve(decode(t, selecting+podYAML("done", httpContainer, "phase: Succeeded, podIP: 10.1.0.1")+
		podYAML("failed", httpContainer, "phase: Failed, podIP: 10.1.0.2")), Config{})
	diffLines(t, "IPv4", dumpSlices(m, "web"))
}

func TestNoPodsEmptySlice(t *testing.T) {
	m, _ := Resolve(decode(t, selecting), Config{})
	diffLines(t, "IPv4", dumpSlices(m, "web"))
}

func TestManyPods(t *testing.T) {
	var in strings.Builder
	in.WriteString(selecting)
	for i := range 250 {
		in.WriteString(podYAML(fmt.Sprintf("web-%d", i), httpContainer, fmt.Sprintf("podIP: 10.1.%d.%d", i/100, 99-i%100)))
	}
	m, _ := Resolve(decode(t, in.String()), Config{})
	var sizes []int
	names := map[string]bool{}
	for _, s := range m.Services[0].Slices {
		sizes = append(sizes, len(s.Endpoints))
		names[s.Name] = true
	}
	if total := len(m.ServicePorts[0].Cluster); total != 250 || len(names) != 3 {
		t.Errorf("%d endpoints in slices %v of sizes %v, want 250 in three", total, names, sizes)
	}
	for _, n := range sizes {
		if n > 100 {
			t.Errorf("a slice has %d endpoints", n)
		}
	}
}

func TestTrafficDistribution(t *testing.T) {
	in := func(distribution string) string {
		return strings.Replace(selecting, "spec: {", "spec: {trafficDistribution: "+distribution+", ", 1) +
			podYAML("web-0", "nodeName: node-a, "+httpContainer, "podIP: 10.1.0.1") +
			podYAML("web-1", "nodeName: node-b, "+httpContainer, "podIP: 10.1.0.2") +
			podYAML("web-2", "nodeName: node-c, "+httpContainer, "podIP: 10.1.0.3") + `
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/zone: zone-a}}
---
apiVersion: v1
kind: Node
metadata: {name: node-b, labels: {topology.kubernetes.io/zone: zone-a}}
---
apiVersion: v1
kind: Node
metadata: {name: node-c, labels: {topology.kubernetes.io/zone: zone-b}}`
	}
	runAll(t, []example{
		{
			name: "PreferSameZone", cfg: Config{NodeName: "node-a"}, in: in("PreferSameZone"),
			want: selectingHead + "-> 10.1.0.1:8080 10.1.0.2:8080",
		},
		{
			name: "PreferClose", cfg: Config{NodeName: "node-c"}, in: in("PreferClose"),
			want: selectingHead + "-> 10.1.0.3:8080",
			say: []string{
				"5:29: warning: service demo/web: spec.trafficDistribution: PreferClose is deprecated, its new name is PreferSameZone",
			},
		},
		{
			name: "PreferSameNode", cfg: Config{NodeName: "node-b"}, in: in("PreferSameNode"),
			want: selectingHead + "-> 10.1.0.2:8080",
		},
		{
			name: "PreferSameNode, none here", cfg: Config{NodeName: "node-x", Zone: "zone-a"}, in: in("PreferSameNode"),
			want: selectingHead + "-> 10.1.0.1:8080 10.1.0.2:8080",
		},
	})
}
