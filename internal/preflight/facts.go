package preflight

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/foreign"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Reading is something about the host that may not have been found out. The zero Reading was not asked for.
type Reading[T any] struct {
	Value T
	Known bool
	Why   string // not known: why not
}

// Know makes a Reading of what was found out, or of the error instead.
func Know[T any](v T, err error) Reading[T] {
	if err != nil {
		return Reading[T]{Why: err.Error()}
	}
	return Reading[T]{Value: v, Known: true}
}

func (r Reading[T]) asked() bool { return r.Known || r.Why != "" }

// Facts is what is known about the host. By family means by [graph.Family].
type Facts struct {
	Features []Feature
	// Program is whether the kernel takes the ruleset that the manifests compile to; Known with "" as it does, and with the
	// kernel's words where it does not.
	Program Reading[string]

	Conntrack   Reading[Conntrack]
	Forwarding  [2]Reading[Forwarding]
	ReversePath Reading[[]string] // interfaces whose check of the source is strict
	Routing     [2]Reading[Routing]
	BridgeRules [2]Reading[bool] // bridged packets are handed to the rules for IP
	Links       Reading[[]Link]
	Addrs       Reading[map[netip.Addr]string] // of interfaces, with the interface's name
	Routes      map[netip.Addr]Reading[Route]  // to what [Ask.Destinations] names
	Listeners   Reading[[]Listener]            // of the protocols that could be read
	Unlistened  map[graph.Proto]string         // those that could not be read, and why
	LocalPorts  Reading[resolve.PortRange]     // ip_local_port_range
	Reserved    Reading[[]resolve.PortRange]   // ip_local_reserved_ports
	Others      Reading[*foreign.Ruleset]      // tables of other programs
	Legacy      Reading[[]string]              // tables of the older iptables, "ip nat"
}

// Online reports whether the host has a network: an interface besides the loopback is up. Before, as early in a boot, there
// are no routes, which says nothing.
func (f *Facts) Online() bool {
	return slices.ContainsFunc(f.Links.Value, func(l Link) bool { return l.Up && !l.Loopback })
}

// Answer is the answer to the question of a check: is it as it has to be?
type Answer uint8

// The answers.
const (
	CannotTell Answer = iota
	Yes
	No
)

// String gives the words of listings.
func (a Answer) String() string { return [...]string{"can't tell", "yes", "no"}[a] }

// Feature is whether the kernel can do something.
type Feature struct {
	Name   string
	Family graph.Family
	Answer Answer
	Why    string // of No and CannotTell
}

// Conntrack is how full connection tracking is.
type Conntrack struct{ Count, Max int }

// Forwarding is whether the host forwards packets of a family.
type Forwarding struct {
	All bool
	// On and Off are the interfaces that differ from All.
	On, Off []string
}

// Routing is what makes packets take different ways in and out.
type Routing struct {
	Defaults []string // interfaces with a default route
	Rules    int      // of policy routing, besides those that every host has
}

// Link is an interface.
type Link struct {
	Name     string
	Up       bool
	Loopback bool
	Part     bool // of a bridge or bond: no address of its own is used
	Bridge   bool
	Rules    [2]bool // the bridge hands its packets to the rules for IP, whatever the setting for all
}

// Route is how the host reaches an address.
type Route struct {
	Reached bool
	Why     string // why not
	Local   bool
	Link    string
	Gateway bool // behind a router
}

// Listener is a socket that waits for packets to an address of the host.
type Listener struct {
	Proto graph.Proto
	Addr  netip.AddrPort
	Both  bool // an IPv6 address that takes IPv4, too
}
