// Package graph is the rule graph: the program that the kernel will run and the data it runs on, as typed values.
//
// The compiler's passes build a [Ruleset]; plan compares two of them; render writes one as text; nft puts one into the
// kernel and reads one back. Everything refers to everything else by name, addresses are net/netip values, and nothing
// here knows a byte of netlink or a word of nft's grammar: those are the business of nft/ and render/.
//
// The words are nftables' own (table, base chain, set, map, element, verdict, hook, priority). The graph holds exactly
// the statements the program of svcctl uses, no more: [Expr] and [Stmt] are sealed, and whoever handles them handles all
// of them, which the linter proves.
package graph

import (
	"net/netip"
	"time"

	"github.com/svcctl/svcctl/compiler/diag"
)

// Family is the address family of a table. A ruleset has one table per family, twins but for their addresses.
type Family uint8

// The families.
const (
	IPv4 Family = iota // table ip
	IPv6               // table ip6
)

// Families lists the families in canonical order.
var Families = [...]Family{IPv4, IPv6}

// String gives nft's word: "ip" or "ip6".
func (f Family) String() string {
	if f == IPv6 {
		return "ip6"
	}
	return "ip"
}

// Unspecified gives the family's all-zero address: the service address under which node ports are stored.
func (f Family) Unspecified() netip.Addr {
	if f == IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// Of reports whether the address is of the family. An IPv4-mapped IPv6 address is of neither.
func (f Family) Of(a netip.Addr) bool {
	if f == IPv6 {
		return a.Is6() && !a.Is4In6()
	}
	return a.Is4()
}

// Proto is a transport protocol.
type Proto uint8

// The protocols a Service port can have. The zero Proto is none.
const (
	TCP Proto = iota + 1
	UDP
	SCTP
)

// Protos lists the protocols in canonical order.
var Protos = [...]Proto{TCP, UDP, SCTP}

// String gives nft's word: "tcp", "udp" or "sctp".
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	default:
		return "none"
	}
}

// Ruleset is everything of ours in one network namespace: the tables in canonical family order.
type Ruleset struct {
	Tables []*Table
	// FixedSizes says of an observed ruleset that its kernel does not give a set another size.
	FixedSizes bool
}

// Table returns the table of a family, or nil.
func (r *Ruleset) Table(f Family) *Table {
	for _, t := range r.Tables {
		if t.Family == f {
			return t
		}
	}
	return nil
}

// Table is one nftables table. Sets and chains are in program order, the order in which they are created and listed.
type Table struct {
	Family  Family
	Name    string
	Comment string
	Sets    []*Set
	Chains  []*Chain
}

// Set returns the set or map of that name, or nil.
func (t *Table) Set(name string) *Set {
	for _, s := range t.Sets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Chain returns the chain of that name, or nil.
func (t *Table) Chain(name string) *Chain {
	for _, c := range t.Chains {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Owner says which Service port an object of the graph belongs to. It is shared by everything compiled from that port.
// Owners do not take part in comparisons: the kernel does not know them.
type Owner struct {
	Service diag.Object // kind "service"
	Port    string      // port name, "" for the unnamed one
	Pos     diag.Pos    // the port's place in its manifest
	// Spared are endpoints that no element names and that still serve the flows they have: for plan.StaleFlows.
	Spared []netip.AddrPort
}

// Chain is a chain, a base chain where Hook is set.
type Chain struct {
	Name  string
	Hook  *Hook // nil: a regular chain
	Rules []Rule
	Pass  string // name of the pass that made it
	Owner *Owner // for a shape chain: the first Service port, in canonical order, that asked for the shape
}

// Hook attaches a base chain. The chain policy is always accept: svcctl never decides about traffic that is not its own.
type Hook struct {
	Type     ChainType
	Point    HookPoint
	Priority int32 // include/uapi/linux/netfilter_ipv4.h, NF_IP_PRI_*
}

// ChainType is the type of a base chain.
type ChainType uint8

// The chain types in use.
const (
	FilterChain ChainType = iota
	NATChain
)

// String gives nft's word.
func (t ChainType) String() string {
	if t == NATChain {
		return "nat"
	}
	return "filter"
}

// HookPoint is where in the packet path a base chain sits.
type HookPoint uint8

// The hooks of the ip and ip6 families, in the kernel's order (include/uapi/linux/netfilter.h, NF_INET_*).
const (
	Prerouting HookPoint = iota
	Input
	Forward
	Output
	Postrouting
)

// String gives nft's word.
func (h HookPoint) String() string {
	return [...]string{"prerouting", "input", "forward", "output", "postrouting"}[h]
}

// Rule is a list of statements, evaluated left to right until one does not match.
type Rule struct {
	Stmts []Stmt
}

// Field is the type of one part of a key or of data.
type Field uint8

// The fields. AddrField is an ipv4_addr or ipv6_addr, by the table's family.
const (
	AddrField    Field = iota + 1
	ProtoField         // inet_proto
	PortField          // inet_service
	SlotField          // the number that numgen or jhash gives: a 32-bit integer in host byte order
	VerdictField       // data only, and alone
)

// Set is a set, or a map where Data is not empty.
type Set struct {
	Name string
	Key  []Field // the concatenation that is looked up, at most two addresses and two ports
	Data []Field // nil: a set; {VerdictField}: a verdict map
	// Interval says that the last address of each key is a range (the kernel's rbtree or pipapo).
	Interval bool
	// Dynamic sets are filled by the packet path: their elements are nobody's configuration.
	Dynamic bool
	// Timeout says that elements may expire.
	Timeout bool
	// Counter says that every element counts the packets that find it. What it has counted is no part of a ruleset.
	Counter bool
	// Size is the largest number of elements, 0 for no limit. A static map with a size gets a plain hash, which fills
	// 2.5 times as fast as the resizable one.
	Size     uint32
	Elements Elements // sorted by Key.Compare, without duplicates
	// Lifetimes are, by place, how long the elements stay: of a set with Timeout that was read from the kernel, else nil.
	Lifetimes []Lifetime
	Pass      string // name of the pass that made it
}

// IsMap reports whether the set has data.
func (s *Set) IsMap() bool { return len(s.Data) > 0 }

// IsVerdictMap reports whether the data are verdicts.
func (s *Set) IsVerdictMap() bool { return len(s.Data) == 1 && s.Data[0] == VerdictField }

// Lifetime is how long an element of a set with timeouts stays. The zero Lifetime is for ever.
type Lifetime struct {
	Timeout time.Duration // from when it was last refreshed
	Expires time.Duration // from now: what is left of the timeout
}

// Element is one element of a set or map.
type Element struct {
	Key   Key
	Data  Data
	Owner *Owner   // nil: from the configuration, or read from the kernel
	Pos   diag.Pos // the line behind it: for an endpoint its own, else the Service port's
}

// Key is the key of an element. Which of its parts mean something is said by the set's Key; the others are zero, so that
// keys can be compared with ==.
type Key struct {
	Addr     netip.Addr // first AddrField
	Proto    Proto
	Port     uint16
	Slot     uint32
	Peer     netip.Addr // second AddrField
	PeerPort uint16     // second PortField
	RangeTo  netip.Addr // in an interval set: the last address of the range that the last AddrField begins
}

// Data is what a map holds for a key: a verdict, or an address and port.
type Data struct {
	Addr    netip.Addr
	Port    uint16
	Verdict Verdict
}

// Verdict is what becomes of a packet.
type Verdict struct {
	Op    VerdictOp
	Chain string // for Jump and Goto
}

// VerdictOp is the kind of a verdict. The zero VerdictOp is no verdict.
type VerdictOp uint8

// The verdicts in use.
const (
	Accept VerdictOp = iota + 1
	Drop
	Return
	Jump
	Goto
)

// String gives nft's word.
func (o VerdictOp) String() string {
	return [...]string{"none", "accept", "drop", "return", "jump", "goto"}[o]
}

// String gives the verdict as nft writes it: "goto random-4".
func (v Verdict) String() string {
	if v.Chain != "" {
		return v.Op.String() + " " + v.Chain
	}
	return v.Op.String()
}
