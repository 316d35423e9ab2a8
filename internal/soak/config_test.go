package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// service is a Service of the walk with its endpoints.
type service struct {
	kind      string // ClusterIP, NodePort, LoadBalancer, ExternalName or headless
	protocol  string
	affinity  bool
	local     bool // traffic policy
	ranges    bool // loadBalancerSourceRanges
	hash      bool // the annotation for source hashing
	endpoints int
	first     int // of the endpoints' addresses
}

// configuration is the Services by number. The number decides all addresses, so that two configurations share many.
type configuration map[int]service

// most is how many Services there are at most.
const most = 40

func randomService(r *rand.Rand) service {
	s := service{
		kind:      []string{"ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "headless"}[r.IntN(6)],
		protocol:  []string{"TCP", "TCP", "UDP", "SCTP"}[r.IntN(4)],
		affinity:  r.IntN(4) == 0,
		local:     r.IntN(4) == 0,
		ranges:    r.IntN(4) == 0,
		hash:      r.IntN(20) == 0,
		endpoints: r.IntN([]int{1, 3, 9, 40}[r.IntN(4)] + 1),
		first:     1 + r.IntN(8),
	}
	return s
}

func randomConfiguration(r *rand.Rand) configuration {
	c := configuration{}
	for range 1 + r.IntN(most/2) {
		c[r.IntN(most)] = randomService(r)
	}
	return c
}

// changed gives the configuration with a few changes, as an operator makes them: mostly endpoints come and go.
func (c configuration) changed(r *rand.Rand) configuration {
	out := maps.Clone(c)
	for range 1 + r.IntN(3) {
		numbers := slices.Sorted(maps.Keys(out))
		i := numbers[r.IntN(len(numbers))]
		switch r.IntN(8) {
		case 0:
			out[r.IntN(most)] = randomService(r)
		case 1:
			if len(out) > 1 {
				delete(out, i)
			}
		case 2:
			out[i] = randomService(r)
		default:
			s := out[i]
			s.endpoints = max(0, s.endpoints+r.IntN(5)-2)
			s.first = 1 + (s.first+r.IntN(2))%8
			out[i] = s
		}
	}
	return out
}

// yaml writes the configuration down. Every Service says its addresses, so that what was allocated before does not matter.
func (c configuration) yaml() string {
	var b strings.Builder
	for _, i := range slices.Sorted(maps.Keys(c)) {
		c[i].write(&b, i)
	}
	return b.String()
}

func (s service) write(b *strings.Builder, i int) {
	fmt.Fprintf(b, "apiVersion: v1\nkind: Service\nmetadata:\n  name: s%d\n  namespace: soak\n", i)
	if s.hash && s.kind != "ExternalName" && s.kind != "headless" {
		b.WriteString("  annotations: {svcctl.io/balance: source-hash}\n")
	}
	b.WriteString("spec:\n")
	if s.kind == "ExternalName" {
		fmt.Fprintf(b, "  type: ExternalName\n  externalName: s%d.example.net\n---\n", i)
		return
	}
	port := fmt.Sprintf("{name: p, port: 80, protocol: %s, targetPort: 8080", s.protocol)
	switch s.kind {
	case "headless":
		b.WriteString("  clusterIP: None\n")
	default:
		fmt.Fprintf(b, "  type: %s\n  clusterIP: %s\n", s.kind, clusterIP(i))
	}
	if s.kind == "NodePort" || s.kind == "LoadBalancer" {
		port += fmt.Sprintf(", nodePort: %d", 30000+i)
		if s.local {
			b.WriteString("  externalTrafficPolicy: Local\n")
		}
		if s.kind == "LoadBalancer" && s.local {
			fmt.Fprintf(b, "  healthCheckNodePort: %d\n", 31000+i)
		}
	}
	if s.kind == "LoadBalancer" && s.ranges {
		b.WriteString("  loadBalancerSourceRanges: [192.168.0.0/16, 10.0.0.0/8]\n")
	}
	if s.affinity {
		b.WriteString("  sessionAffinity: ClientIP\n")
	}
	fmt.Fprintf(b, "  selector: {app: s%d}\n  ports: [%s}]\n", i, port)
	if s.kind == "LoadBalancer" {
		fmt.Fprintf(b, "status: {loadBalancer: {ingress: [{ip: 203.0.113.%d}]}}\n", i+1)
	}
	fmt.Fprintf(b, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+
		"metadata: {name: s%d-1, namespace: soak, labels: {kubernetes.io/service-name: s%d}}\n"+
		"addressType: IPv4\nports: [{name: p, port: 8080, protocol: %s}]\nendpoints:\n", i, i, s.protocol)
	for k := range s.endpoints {
		fmt.Fprintf(b, "- {addresses: [10.1.%d.%d], nodeName: node-%d}\n", i, s.first+k, k%3)
	}
	if s.endpoints == 0 {
		b.WriteString("  []\n")
	}
	b.WriteString("---\n")
}

func clusterIP(i int) string { return fmt.Sprintf("10.96.1.%d", i+1) }
