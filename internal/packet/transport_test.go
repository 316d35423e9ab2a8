package packet

import (
	"net/netip"

	"github.com/svcctl/svcctl/internal/netlab"
)

// family is an address family, in the words of the API.
type family bool

const (
	ipv4 family = false
	ipv6 family = true
)

func (f family) String() string {
	if f == ipv4 {
		return "IPv4"
	}
	return "IPv6"
}

// pick gives the address of the family.
func (f family) pick(v4, v6 netip.Addr) netip.Addr {
	if f == ipv4 {
		return v4
	}
	return v6
}

// of gives a namespace's address of the family.
func (f family) of(ns *netlab.Namespace) netip.Addr { return f.pick(ns.Addr4, ns.Addr6) }

var (
	families  = []family{ipv4, ipv6}
	protocols = []netlab.Protocol{netlab.TCP, netlab.UDP, netlab.SCTP}
)

// transport is a protocol over a family.
type transport struct {
	protocol netlab.Protocol
	family   family
}

func (tr transport) String() string { return tr.protocol.String() + tr.family.String()[2:] }

// transports are what tests are repeated for.
var transports = func() (all []transport) {
	for _, f := range families {
		for _, p := range protocols {
			all = append(all, transport{p, f})
		}
	}
	return all
}()
