package config

import (
	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Allocate gives the part of the configuration that says what Services can be given.
func (c Config) Allocate() allocate.Config {
	return allocate.Config{
		ServiceCIDRs:      c.ServiceCIDRs,
		NodePortRange:     c.NodePortRange,
		LoadBalancerCIDRs: c.LoadBalancerCIDRs,
	}
}

// Resolve gives the part of the configuration that decides what manifests mean.
func (c Config) Resolve() resolve.Config {
	return resolve.Config{
		NodeName:      c.NodeName,
		Zone:          c.Zone,
		ServiceCIDRs:  c.ServiceCIDRs,
		NodePortRange: c.NodePortRange,
	}
}

// Compiler gives the part of the configuration that shapes the ruleset.
func (c Config) Compiler() compiler.Config {
	return compiler.Config{
		Table:             c.Table,
		ClusterCIDRs:      c.ClusterCIDRs,
		ServiceCIDRs:      c.ServiceCIDRs,
		NodePortAddresses: c.NodePortAddresses,
		MasqueradeAll:     c.MasqueradeAll,
		AffinityMapSize:   c.AffinityMapSize,
		Counters:          c.Counters,
	}
}
