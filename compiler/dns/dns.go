// Package dns is the phase that names things: it takes the Services of a [resolve.Model] and gives the zones that say of
// them what the Kubernetes DNS specification says (schema 1.1.0, kubernetes/dns docs/specification.md): one forward zone,
// and the reverse zones that the addresses lie in.
//
// It gives typed records and no text: render writes them as zone files and as lines of a hosts file, internal/dnsserver
// answers from them. It may assume that the model is valid, that its Services are sorted, and that names are what the
// API server accepts. What the model holds and DNS cannot express is a warning, never left out in silence. The phase is
// pure: the same model gives the same records in the same order, and the same serial.
//
// Where the specification leaves a choice it is CoreDNS's, whose plugin "kubernetes" is what clusters run. The
// differences are in docs/dns.md.
package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// SchemaVersion is the version of the specification, which the zone tells in its record dns-version.
const SchemaVersion = "1.1.0"

// The usual values of a [Config].
const (
	DefaultClusterDomain = "cluster.local"
	DefaultTTL           = 5    // seconds, as in CoreDNS
	MaxTTL               = 3600 // seconds, as in CoreDNS: endpoints come and go
	// DefaultNameServer is one that every resolver knows, for zones that nobody delegates to.
	DefaultNameServer = "localhost"
)

// Config says how the zones are called and what surrounds the Services in them.
type Config struct {
	ClusterDomain Name   // the forward zone
	TTL           uint32 // for how many seconds answers may be kept, also those that there is nothing
	NameServers   []Name // the hosts that serve the zones, the primary one first
	// ReverseCIDRs are ranges whose reverse zones are there whether an address in them is in use or not: those of the
	// Services and of the pods. Other addresses bring their own small zone.
	ReverseCIDRs []netip.Prefix
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	domain := string(c.ClusterDomain)
	if why := validation.IsDNS1123Subdomain(domain); len(why) > 0 {
		return fmt.Errorf("the cluster domain %q: %s", domain, strings.Join(why, "; "))
	}
	if c.ClusterDomain.in("arpa") {
		return fmt.Errorf("the cluster domain %q: reverse zones are below arpa", domain)
	}
	if c.TTL > MaxTTL {
		return fmt.Errorf("a TTL of %d seconds: it must be at most %d", c.TTL, MaxTTL)
	}
	if len(c.NameServers) == 0 {
		return errors.New("a zone needs a name server")
	}
	for _, n := range c.NameServers {
		if why := validation.IsDNS1123Subdomain(string(n)); len(why) > 0 {
			return fmt.Errorf("the name server %q: %s", n, strings.Join(why, "; "))
		}
		if n.in(c.ClusterDomain) || n.in("in-addr.arpa") || n.in("ip6.arpa") {
			// It would need address records, and nothing here knows its addresses.
			return fmt.Errorf("the name server %q is inside of a zone that it serves: name it from outside", n)
		}
	}
	return nil
}

// Build gives the zones of a model, and what there is to say about it. The configuration must pass [Config.Check].
func Build(m *resolve.Model, cfg Config) (*Zones, diag.List) {
	b := &builder{cfg: cfg, clusterIPs: map[netip.Addr]bool{}, servicesDomain: "svc." + string(cfg.ClusterDomain)}
	b.forward = append(b.forward, Record{"dns-version." + cfg.ClusterDomain, TXT{SchemaVersion}})
	for _, svc := range m.Services {
		for _, addr := range clusterIPs(svc) {
			b.clusterIPs[addr] = true
		}
	}
	for _, svc := range m.Services {
		b.service(svc)
	}
	b.found.Sort()
	return b.zones(), b.found
}

// builder collects what the Services have to say.
type builder struct {
	cfg            Config
	servicesDomain string // "svc.cluster.local"
	forward        []Record
	reverse        []pointer
	hosts          []Host
	found          diag.List

	clusterIPs map[netip.Addr]bool // of all Services
}

// pointer is a PTR record before it is known which zone it belongs to.
type pointer struct {
	addr   netip.Addr
	target Name
}
