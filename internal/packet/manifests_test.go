package packet

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/svcctl/svcctl/internal/netlab"
)

// The names and numbers that the manifests of all tests share.
const (
	nodeName      = "node-1" // the node that the rules are compiled for
	otherNodeName = "node-2"
	servicePort   = 80
	endpointPort  = 8080
)

// service is a dual-stack Service with a TCP, a UDP and an SCTP port 80.
type service struct {
	name     string
	number   int      // its cluster IPs are 10.96.0.NUMBER and fd00:10:96::NUMBER
	nodePort uint16   // of all three ports; 0: none
	kind     string   // spec.type; "": NodePort where there is a node port, else ClusterIP
	spec     []string // further lines of its spec
}

// String gives the manifest.
func (s service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: demo}\nspec:\n", s.name)
	fmt.Fprintf(&b, "  clusterIP: %s\n  clusterIPs: [%[1]s, %q]\n", s.clusterIP(ipv4), s.clusterIP(ipv6))
	fmt.Fprintf(&b, "  ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n")
	fmt.Fprintf(&b, "  type: %s\n", cmp.Or(s.kind, map[bool]string{true: "NodePort", false: "ClusterIP"}[s.nodePort != 0]))
	for _, line := range s.spec {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	b.WriteString("  ports:\n")
	for _, p := range protocols {
		fmt.Fprintf(&b, "  - {name: %s, protocol: %s, port: %d, targetPort: %d", strings.ToLower(p.String()), p,
			servicePort, endpointPort)
		if s.nodePort != 0 {
			fmt.Fprintf(&b, ", nodePort: %d", s.nodePort)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func (s service) clusterIP(f family) netip.Addr {
	if f == ipv4 {
		return netip.AddrFrom4([4]byte{10, 96, 0, byte(s.number)})
	}
	return netip.MustParseAddr(fmt.Sprintf("fd00:10:96::%x", s.number))
}

// at gives the Service's address in the cluster.
func (s service) at(f family) netip.AddrPort { return netip.AddrPortFrom(s.clusterIP(f), servicePort) }

// endpoints gives the EndpointSlices of a Service, one per family, with every namespace as a ready endpoint of this node.
func endpoints(service string, namespaces ...*netlab.Namespace) string {
	return endpointsOn(nodeName, service, namespaces...)
}

// endpointsOn is the same for another node's endpoints.
func endpointsOn(node, service string, namespaces ...*netlab.Namespace) string {
	return endpointsThat(node, service, "{ready: true}", namespaces...)
}

// terminatingEndpoint is an endpoint of this node that terminates and still serves.
func terminatingEndpoint(service string, ns *netlab.Namespace) string {
	return endpointsThat(nodeName, service, "{ready: false, serving: true, terminating: true}", ns)
}

func endpointsThat(node, service, conditions string, namespaces ...*netlab.Namespace) string {
	var docs []string
	for _, f := range families {
		var b strings.Builder
		fmt.Fprintf(&b, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: %s-%s-%s\n", service, node,
			strings.ToLower(f.String()))
		fmt.Fprintf(&b, "  namespace: demo\n  labels: {kubernetes.io/service-name: %s}\naddressType: %s\nports:\n", service, f)
		for _, p := range protocols {
			fmt.Fprintf(&b, "- {name: %s, protocol: %s, port: %d}\n", strings.ToLower(p.String()), p, endpointPort)
		}
		b.WriteString("endpoints:\n")
		for _, ns := range namespaces {
			fmt.Fprintf(&b, "- {addresses: [%q], nodeName: %s, conditions: %s}\n", f.of(ns), node, conditions)
		}
		docs = append(docs, b.String())
	}
	return strings.Join(docs, "---\n")
}
