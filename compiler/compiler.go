// Package compiler turns a resolved model into the rule graph: a list of named passes over typed data, with a check
// between them.
//
// It takes a [resolve.Model] and a [Config] and gives a [graph.Ruleset]. It is pure: no files, no clock, no network, no
// kernel. The same input gives the same graph. It may assume what resolve promises: every address of the family of its
// ServicePort, no address and port claimed twice, endpoints sorted and without duplicates, at most [MaxEndpoints] of
// them.
package compiler

import (
	"net/netip"
)

// Config is the part of the configuration that shapes the ruleset.
type Config struct {
	Table string // name of the tables, one per family
	// ClusterCIDRs say whose source addresses are pods'. Empty for a family: nobody's, and ClusterIP traffic of that
	// family keeps its source.
	ClusterCIDRs []netip.Prefix
	// ServiceCIDRs are the ranges whose unallocated addresses are dropped.
	ServiceCIDRs []netip.Prefix
	// NodePortAddresses restrict the node's own addresses on which node ports are served. Empty for a family: all but
	// loopback.
	NodePortAddresses []netip.Prefix
	// MasqueradeAll translates the source of all ClusterIP traffic.
	MasqueradeAll bool
	// AffinityMapSize is the largest number of clients remembered per family.
	AffinityMapSize uint32
}

// MaxEndpoints is the largest number of endpoints of one service port: seven eighths of the 32,768 slots that the
// cluster-wide (and again the node-local) endpoints have.
const MaxEndpoints = 28672
