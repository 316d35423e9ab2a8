package graph

// The names that more than one phase knows: the compiler fills these, plan has to see that nobody is remembered at an
// endpoint that is gone or not for them, nor stays connected to it, and behaviour says what they mean to packets.
const (
	ServicesMap          = "services"             // service address → shape
	EndpointsMap         = "endpoints"            // service address and slot → endpoint
	AffinityMap          = "affinity"             // client and service address → endpoint; written by the packet path
	NoEndpointsMap       = "no-endpoint-services" // service address that no endpoint can take → refused or dropped
	ClusterCIDRsSet      = "cluster-cidrs"        // whose source addresses are pods'
	NodePortAddressesSet = "node-port-addresses"  // those of the node's own addresses that have node ports

	AffinityTimeoutsMap   = "affinity-timeouts"   // service address → the chain that remembers its clients
	MasqueradeServicesMap = "masquerade-services" // service address → the chain that decides about the source
	RestrictedServicesSet = "restricted-services" // service addresses that only some sources may use

	MasqueradeAlwaysChain     = "masquerade-always"
	MasqueradeOffClusterChain = "masquerade-off-cluster"
	MasqueradeNodeLocalChain  = "masquerade-node-local"
)

// The names by which stats tells apart what was counted.
const (
	ServiceConnectionsSet  = "service-connections"  // service address; counts the connections that came to an endpoint
	EndpointConnectionsSet = "endpoint-connections" // service address and endpoint; counts the same, by endpoint
	ClusterIPsSet          = "cluster-ips"          // ClusterIPs, whose unused ports are refused
	ServiceCIDRsSet        = "service-cidrs"        // ranges whose unallocated addresses are dropped
	SourceRangesSet        = "source-ranges"        // who may use a restricted service address
)
