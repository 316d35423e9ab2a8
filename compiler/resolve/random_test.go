package resolve

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// choices turns bytes into manifests: each byte decides one thing, and when they are used up the first is chosen.
type choices struct {
	data []byte
}

func (c *choices) among(texts ...string) string {
	return texts[c.number(len(texts))]
}

func (c *choices) number(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return int(b) % n
}

// manifests writes a few Services and endpoints of all kinds. Most values are good, some are not, and many collide.
func (c *choices) manifests() string {
	var b strings.Builder
	for i := range 1 + c.number(4) {
		b.WriteString(c.service(i))
	}
	for i := range c.number(4) {
		b.WriteString(c.endpointSlice(i))
	}
	for i := range c.number(5) {
		b.WriteString(podYAML(fmt.Sprintf("pod-%d", i), c.among(httpContainer, "hostNetwork: true", "nodeName: node-a, "+httpContainer),
			c.among("podIP: 10.1.0.1", "podIP: 10.1.0.2", "podIPs: [{ip: 10.1.0.3}, {ip: 'fd00:1::3'}]", "phase: Failed",
				"podIP: 10.1.0.4, conditions: [{type: Ready, status: 'False'}]", "podIP: x", "podIP: '::1'")))
	}
	if c.number(3) == 2 {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: Endpoints\nmetadata: {name: svc-%d, namespace: demo}\nsubsets: [{addresses: [{ip: %s}], "+
			"ports: [{name: %s, port: %s}]}]\n---\n", c.number(4), c.among("10.3.0.1", "fd00:3::1", "x"), c.among("http", "''"), c.among("80", "0"))
	}
	b.WriteString("apiVersion: v1\nkind: Node\nmetadata: {name: node-a, labels: {topology.kubernetes.io/zone: zone-a}}\n")
	return b.String()
}

func (c *choices) service(i int) string {
	lines := []string{
		"type: " + c.among("ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "Other"),
		c.among("clusterIP: 10.96.0.1", "clusterIP: 10.96.0.2", "clusterIP: 'fd00::1'", "clusterIP: None",
			"clusterIP: 10.96.0.3\n  clusterIPs: [10.96.0.3, 'fd00::3']\n  ipFamilyPolicy: RequireDualStack",
			"clusterIP: 'fd00::4'\n  clusterIPs: ['fd00::4', 10.96.0.4]\n  ipFamilyPolicy: PreferDualStack\n  ipFamilies: [IPv6, IPv4]",
			"clusterIP: 0.0.0.0", "clusterIPs: [10.96.0.9]"),
		c.among("", "selector: {app: web}", "selector: {}", "externalName: a.example"),
		c.among("", "externalIPs: [198.51.100.1]", "externalIPs: ['2001:db8::1', 198.51.100.1, 198.51.100.1]", "externalIPs: [0.0.0.0]"),
		c.among("", "loadBalancerIP: 203.0.113.1"),
		c.among("", "loadBalancerSourceRanges: [10.0.0.0/8, 10.1.0.0/16]", "loadBalancerSourceRanges: ['::/0']"),
		c.among("", "internalTrafficPolicy: Local"),
		c.among("", "externalTrafficPolicy: Local"),
		c.among("", "sessionAffinity: ClientIP", "sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: -1}}"),
		c.among("", "trafficDistribution: PreferSameNode", "publishNotReadyAddresses: true"),
		"ports: [" + c.port("http") + c.among("", ", "+c.port("http"), ", "+c.port("dns"), ", "+c.port("")) + "]",
	}
	status := c.among("", "status: {loadBalancer: {ingress: [{ip: 203.0.113.1}, {ip: '2001:db8::1'}]}}",
		"status: {loadBalancer: {ingress: [{ip: 198.51.100.1, ipMode: Proxy}]}}")
	labels := c.among("", ", labels: {service.kubernetes.io/service-proxy-name: x}")
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: svc-%d, namespace: demo%s}\nspec:\n  %s\n%s\n---\n",
		i, labels, strings.Join(lines, "\n  "), status)
}

func (c *choices) port(name string) string {
	return fmt.Sprintf("{name: '%s', port: %s, protocol: %s, targetPort: %s%s}", name, c.among("80", "81", "0", "65536"),
		c.among("TCP", "UDP", "SCTP", "ICMP"), c.among("8080", "http", "70000"),
		c.among("", ", nodePort: 30080", ", nodePort: 30081", ", nodePort: 1"))
}

func (c *choices) endpointSlice(i int) string {
	var endpoints []string
	for range c.number(5) {
		endpoints = append(endpoints, fmt.Sprintf("{addresses: [%s], conditions: %s%s%s}",
			c.among("10.2.0.1", "10.2.0.2", "10.2.0.3", "'fd00:2::1'", "x", "127.0.0.1"),
			c.among("{}", "{ready: false}", "{ready: false, serving: true, terminating: true}", "{ready: true, terminating: true}"),
			c.among("", ", nodeName: node-a", ", nodeName: node-b"),
			c.among("", ", hints: {forZones: [{name: zone-a}]}", ", hints: {forNodes: [{name: node-a}], forZones: [{name: zone-b}]}")))
	}
	return slice(fmt.Sprintf("slice-%d", i), fmt.Sprintf("kubernetes.io/service-name: svc-%d", c.number(5)),
		fmt.Sprintf("addressType: %s\nports: [{name: %s, port: %s, protocol: %s}]\nendpoints: [%s]",
			c.among("IPv4", "IPv6", "FQDN", "X"), c.among("http", "''", "dns"), c.among("8080", "8081", "null", "70000"),
			c.among("TCP", "UDP"), strings.Join(endpoints, ", ")))
}

// resolveChosen resolves what the bytes choose, twice, and reports whether it is without errors.
func resolveChosen(t *testing.T, data []byte) bool {
	t.Helper()
	text := (&choices{data}).manifests()
	b, found := manifest.Decode([]manifest.Source{{Name: "in.yaml", Data: []byte(text)}}, manifest.Options{})
	if found.HasErrors() {
		t.Fatalf("%v\n%s", found, text)
	}
	m, found := Resolve(b, Config{NodeName: "node-a"})
	again, foundAgain := Resolve(b, Config{NodeName: "node-a"})
	diffLines(t, dump(m), dump(again))
	diffLines(t, strings.Join(said(found), "\n"), strings.Join(said(foundAgain), "\n"))
	if !found.HasErrors() {
		checkModel(t, m)
	}
	if t.Failed() {
		t.Fatal(text)
	}
	return !found.HasErrors()
}

func TestRandomManifests(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	accepted := 0
	for range 1000 {
		data := make([]byte, rng.IntN(200))
		for i := range data {
			// A byte below a small bound mostly chooses the first, good, alternative.
			data[i] = byte(rng.IntN(2) * rng.IntN(2) * rng.IntN(60))
		}
		if resolveChosen(t, data) {
			accepted++
		}
	}
	if accepted < 20 {
		t.Errorf("only %d of 1000 inputs were without errors: the test proves little", accepted)
	}
	t.Logf("seed %d: %d of 1000 inputs without errors", seed, accepted)
}

func FuzzModel(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 1, 4, 1, 5, 2, 0, 1, 1, 1, 1, 2, 0, 1, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) { resolveChosen(t, data) })
}
