package dns

import (
	"net/netip"
	"strings"
)

// Host is what a hosts file can say of a Service or of an endpoint of a headless one.
type Host struct {
	Addr netip.Addr // not valid: the Service is an alias, which a hosts file cannot say
	// Names are the ones that the address has, the canonical one first: that is what the address is looked up to.
	Names []Name
	Alias Name // of an ExternalName
}

// known gives the names by which a Service is known on a host: in full, and without the cluster's domain. The still shorter
// NAME.NAMESPACE, which in a cluster the resolver completes, is not among them: a hosts file goes before the rest of the
// world, and a Service "example" in a namespace "com" must not.
func (b *builder) known(name Name) []Name {
	return []Name{name, Name(strings.TrimSuffix(string(name), "."+string(b.cfg.ClusterDomain)))}
}
