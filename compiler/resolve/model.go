package resolve

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// Model is what the input means: every Service with its endpoints found, its defaults filled in and its policies decided
// for this node. The same input gives the same Model, whatever the order of files and documents.
type Model struct {
	Services []*Service // sorted by namespace and name
	// ServicePorts are all ports of all Services that the packet path serves, sorted by family, service and position
	// in spec.ports. Headless and ExternalName Services have none.
	ServicePorts []*ServicePort
}

// Service is one Service with its defaults filled in. Headless and ExternalName Services are here too: get, describe and
// DNS know them.
type Service struct {
	Ref      diag.Object
	Object   *manifest.Object[corev1.Service]
	Spec     corev1.ServiceSpec // as given, with the API server's defaults filled in
	Headless bool               // clusterIP None
	// Slices are the endpoints behind the Service whatever their readiness, as the EndpointSlice controller would write
	// them: the slices given for it, those converted from an Endpoints object, and those made from Pods by the selector.
	// They are sorted by name.
	// Nobody may change them, nor what Object and Spec point to: they share memory with the bundle.
	Slices []*Slice
	// Skipped says why the packet path does not serve the Service ("headless", "ExternalName",
	// "service.kubernetes.io/service-proxy-name"), or is empty.
	Skipped string
}

// Slice is an EndpointSlice with the place of each of its endpoints.
type Slice struct {
	*discoveryv1.EndpointSlice
	Source    diag.Object // what it was made from: an endpointslice, an endpoints or the service itself (from Pods)
	Pos       diag.Pos
	Endpoints []diag.Pos // one per EndpointSlice.Endpoints[i]: for an endpoint made from a Pod the Pod's place
}

// ServicePort is one port of one Service in one address family: the unit of compilation.
type ServicePort struct {
	Service   *Service
	Family    corev1.IPFamily
	Name      string // spec.ports[].name
	Protocol  corev1.Protocol
	Addresses []Address // where it can be reached, in canonical order: kind, then address
	// Affinity is how long a client keeps its endpoint, 0 for no affinity. Whole seconds.
	Affinity time.Duration
	// SourceHash chooses the endpoint by a hash of the client's address instead of at random: a client that nothing is
	// remembered about comes back to its endpoint, as long as that endpoint is there.
	SourceHash bool
	// Cluster are the endpoints that may be used from anywhere, Local those on this node; each sorted by address and
	// port, without duplicates, and at most [MaxEndpoints]. Where no address needs them they are nil: Cluster is for all
	// addresses but a ClusterIP that is LocalOnly, Local for those that are.
	Cluster, Local []Endpoint
	// Spared are the endpoints that serve and get no new connections from some address: they terminate while others are
	// ready, or are ruled out by their node or zone. Flows that they have are left to them. Sorted; only for UDP and SCTP,
	// whose flows are cut when their endpoint goes.
	Spared []netip.AddrPort
	// HasEndpoints says that some endpoint on some node could be used: it keeps "dropped here by the Local traffic
	// policy" apart from "refused, there is none".
	HasEndpoints bool
	Pos          diag.Pos // of spec.ports[i]
}

// AddressKind is what makes an address one of the Service's.
type AddressKind uint8

// The kinds, in canonical order.
const (
	ClusterIP AddressKind = iota
	NodePort
	ExternalIP
	LoadBalancerIP
)

// String gives the words of messages and listings.
func (k AddressKind) String() string {
	return [...]string{"ClusterIP", "NodePort", "external IP", "load-balancer IP"}[k]
}

// Address is one address and port under which a ServicePort is reached, with the traffic policy that holds there.
type Address struct {
	Kind AddressKind
	Addr netip.Addr // the family's unspecified address for a NodePort: any of the node's own
	Port uint16     // spec.ports[].port, or the nodePort
	// LocalOnly is traffic policy Local: internalTrafficPolicy for a ClusterIP, externalTrafficPolicy for the others.
	LocalOnly bool
	// SourceRanges, where Restricted, are the only sources allowed. Only on load-balancer IPs.
	Restricted   bool
	SourceRanges []netip.Prefix
}

// Endpoint is where a connection can end up.
type Endpoint struct {
	// Weight is the share of the connections that the endpoint gets, relative to the others of its port. 0 is 1.
	Weight int
	Addr   netip.AddrPort
	Pos    diag.Pos // of the endpoint in its slice, or of the Pod
}
