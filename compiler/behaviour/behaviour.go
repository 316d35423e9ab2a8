// Package behaviour says what a ruleset does to connections, service address by service address, and what is different
// between two rulesets.
//
// It takes a [graph.Ruleset], compiled or read from the kernel, and gives a [Behaviour]; [Compare] takes two of them and
// gives a [Diff]. It is pure, and knows graphs and plans only: what it says follows from the rules and elements, not from
// what a manifest asked for, so that it is as true for what was found in the kernel. It may assume what graph.Check
// promises.
//
// Where package trace follows one packet from one source, this one says the same of all sources at once, and of every
// service address: a test holds the two against each other.
package behaviour

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Behaviour is what a ruleset does.
type Behaviour struct {
	Addresses []Address // sorted by key
	Settings  []Setting // in canonical order
}

// Key is a service address.
type Key struct {
	Addr  netip.Addr // the family's unspecified address for a node port
	Proto graph.Proto
	Port  uint16
}

// String gives "10.96.0.1:80/tcp", for a node port "0.0.0.0:30000/tcp".
func (k Key) String() string {
	return netip.AddrPortFrom(k.Addr, k.Port).String() + "/" + k.Proto.String()
}

// Compare orders keys by address, protocol and port, the order of elements.
func (k Key) Compare(o Key) int {
	return cmp.Or(k.Addr.Compare(o.Addr), cmp.Compare(k.Proto, o.Proto), cmp.Compare(k.Port, o.Port))
}

// Address is one service address, and what becomes of connections to it.
type Address struct {
	Key
	Owner *graph.Owner // nil: not known
	Kind  Kind
	// Shape is the chain that chooses the endpoint, "" where nothing is served.
	Shape string
	// Local is traffic policy Local: some clients get the node's own endpoints only.
	Local bool
	// Affinity is how long a client keeps its endpoint, 0 for no affinity.
	Affinity time.Duration
	// SourceHash says that the client's address chooses the endpoint, not chance.
	SourceHash bool
	Source     SourceNAT
	// Sources, where Restricted, are the only ones let through. They do not overlap and are sorted.
	Restricted bool
	Sources    []Range
	// Reach is what becomes of new connections, by the kind of their client.
	Reach [Clients]Reach
}

// Kind is what makes an address a service address, as far as rules can tell.
type Kind uint8

// The kinds.
const (
	ClusterIP Kind = iota
	NodePort
	External // an external IP or a load balancer's
)

// String gives the words of listings.
func (k Kind) String() string { return [...]string{"ClusterIP", "node port", "external address"}[k] }

// Client is a kind of client that rules tell from the others.
type Client uint8

// The kinds of clients.
const (
	Pods    Client = iota // its address is a pod's (the set "cluster-cidrs")
	Node                  // the node itself
	Outside               // everybody else
	Clients               // how many there are
)

// String gives the words of listings.
func (c Client) String() string { return [...]string{"pods", "the node", "outside"}[c] }

// Fate is what becomes of a new connection.
type Fate uint8

// The fates.
const (
	Served    Fate = iota // goes to an endpoint
	Refused               // the client is told
	Dropped               // the client is not told
	Untouched             // the rules do nothing with it
)

// String gives the words of listings.
func (f Fate) String() string { return [...]string{"served", "refused", "dropped", "untouched"}[f] }

// SourceNAT is which clients an endpoint sees under the address of this node instead of their own.
type SourceNAT uint8

// The kinds of source translation.
const (
	KeepSource          SourceNAT = iota // none
	TranslateAlways                      // all
	TranslateOffCluster                  // those that are no pods
	TranslateNode                        // the node itself, where its address is none of the endpoint's link
	TranslateOtherwise                   // a chain that svcctl did not write decides
)

// String gives the words of listings: whose source address is translated.
func (s SourceNAT) String() string {
	return [...]string{"nobody's", "everybody's", "all but pods'", "the node's", "as an unknown chain says"}[s]
}

// Reach is what becomes of the new connections of one kind of client.
type Reach struct {
	Fate   Fate
	Shares []Share // of Served, sorted by endpoint
	// deal is, for a source hash, which of the shares has each part of the hash's range.
	deal []uint16
}

// Share is the part of the connections that an endpoint gets.
type Share struct {
	Endpoint netip.AddrPort
	Part     float64 // in (0, 1]
}

// Range is a range of addresses, both ends included.
type Range struct {
	First, Last netip.Addr
}

// Setting is a set of the configuration, and what is in it.
type Setting struct {
	Family graph.Family
	Set    string
	Ranges []Range
}
