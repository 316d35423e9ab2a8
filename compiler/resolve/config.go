package resolve

import (
	"net/netip"
	"strconv"
)

// Config is the part of the configuration that decides what a manifest means on this node.
type Config struct {
	// NodeName is the name of this node, compared with the node names of endpoints. As in kube-proxy it is trimmed and
	// lower-cased first. Empty: no endpoint is on this node.
	NodeName string
	// Zone is where this node is, for topology hints. Empty: the label topology.kubernetes.io/zone of the Node called
	// NodeName in the input, or none.
	Zone string
	// ServiceCIDRs are the ranges ClusterIPs come from, the range of the default address family first. An address
	// outside gets a warning. Empty: no warnings, and the default family is IPv4.
	ServiceCIDRs []netip.Prefix
	// NodePortRange is where node ports may lie. The zero value is [DefaultNodePortRange].
	NodePortRange PortRange
}

// PortRange is a range of ports, both ends included.
type PortRange struct {
	First, Last uint16
}

// DefaultNodePortRange is the API server's default (flag --service-node-port-range).
var DefaultNodePortRange = PortRange{First: 30000, Last: 32767}

// Contains reports whether the port is in the range.
func (r PortRange) Contains(port int32) bool {
	return port >= int32(r.First) && port <= int32(r.Last)
}

// String gives "30000-32767".
func (r PortRange) String() string {
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}
