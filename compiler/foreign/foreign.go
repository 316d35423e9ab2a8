// Package foreign holds the rules of other programs, as far as they decide about the traffic of Services, and says what
// they do to a packet.
//
// It takes a [Ruleset], which nft reads from the kernel, and a [Packet] of which only some is known, and gives the
// [Outcomes] that are possible. It may assume nothing about the rules: whatever it does not understand may match or not,
// so that an answer that is certain here is certain in the kernel. Package trace, which walks the graph of svcctl's own
// rules, knows every statement and gives one answer.
//
// It is pure.
package foreign

import "net/netip"

// Ruleset is the tables of a network namespace that are not svcctl's.
type Ruleset struct {
	Tables []*Table
}

// Table is one of them.
type Table struct {
	Family Family
	Name   string
	Chains []*Chain
	// Services are the service addresses that a map of the table holds under the key that svcctl and kube-proxy use: where
	// something else decides about them.
	Services []Service
	// Unread says what of the table was not read, and why; "" for nothing.
	Unread string
}

// Chain gives the chain of a name, or nil.
func (t *Table) Chain(name string) *Chain {
	for _, c := range t.Chains {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Service is an element of a map: address, protocol and port, and the map's name.
type Service struct {
	Addr  netip.Addr
	Proto uint8
	Port  uint16
	Map   string
}

// Family is the family of a table: that of its packets, or both.
type Family uint8

// The families.
const (
	IPv4 Family = iota
	IPv6
	Inet
)

// String gives nft's word.
func (f Family) String() string { return [...]string{"ip", "ip6", "inet"}[f] }

// Sees reports whether packets of an address's family come through tables of the family.
func (f Family) Sees(a netip.Addr) bool {
	switch f {
	case IPv4:
		return a.Is4()
	case IPv6:
		return a.Is6()
	default:
		return true
	}
}

// Hook is where a base chain is called.
type Hook uint8

// The hooks.
const (
	Prerouting Hook = iota
	Input
	Forward
	Output
	Postrouting
)

// String gives nft's word.
func (h Hook) String() string {
	return [...]string{"prerouting", "input", "forward", "output", "postrouting"}[h]
}

// Chain is a list of rules.
type Chain struct {
	Name  string
	Base  *Base // nil: it is only jumped to
	Rules []Rule
}

// Base is what makes a chain a base chain.
type Base struct {
	Type     string // "filter", "nat" or "route"
	Hook     Hook
	Priority int32
	Drop     bool // chain policy drop
}

// Rule is what one rule does: terms that all have to match, in order, the last of which mostly decides.
type Rule struct {
	Terms []Term
}

// Term is a part of a rule. What does nothing to the packet's way, like a counter or a comment, is none.
type Term interface{ term() }

// Match compares a field of the packet. Ranges are numbers, addresses as 16 bytes, big end first.
type Match struct {
	Field Field
	Not   bool
	In    []Range
}

// Range is from a first to a last value, both included.
type Range struct{ First, Last Value }

// Value is a value of any field as a number of 128 bits; IPv4 addresses are in the last four bytes.
type Value [16]byte

// MatchInterface compares the name of an interface with names, of which one that ends in * stands for many.
type MatchInterface struct {
	Out   bool // the outgoing one
	Not   bool
	Names []string
}

// MatchBits asks whether any of some bits of a field is set, or with Not none.
type MatchBits struct {
	Field Field
	Not   bool
	Bits  uint32
}

// Unknown may match or not.
type Unknown struct{}

// VerdictMap looks a field up; entries give the verdicts. What is in no entry goes on to the next rule.
type VerdictMap struct {
	Field   Field
	Names   bool // Field is an interface's name
	Out     bool
	Entries []VerdictEntry
}

// VerdictEntry is one element of a [VerdictMap].
type VerdictEntry struct {
	In      Range
	Name    string
	Verdict Verdict
}

// Verdict is what a rule decides.
type Verdict struct {
	Op    Op
	Chain string // Jump and Goto
}

// Op is the kind of a verdict.
type Op uint8

// The verdicts. Reject is drop with an answer.
const (
	Accept Op = iota
	Drop
	Reject
	Continue
	Return
	Jump
	Goto
	Translate // a destination of its own: dnat, redirect, tproxy
	NoTrack   // the packet passes connection tracking by, and goes on to the next rule
	Queue     // a program in user space decides
)

func (Match) term()          {}
func (MatchInterface) term() {}
func (MatchBits) term()      {}
func (Unknown) term()        {}
func (VerdictMap) term()     {}
func (Verdict) term()        {}

// Field is what of a packet is compared.
type Field uint8

// The fields.
const (
	Other Field = iota // none of these: nothing is known of it
	Destination
	DestinationPort
	Protocol
	NetworkFamily   // meta nfproto
	DestinationType // fib daddr type: an RTN_ number
	State           // ct state, bits of [StateNew] and others
	Status          // ct status, bits of [StatusDNAT] and others
)

// Bits of connection tracking (include/uapi/linux/netfilter/nf_conntrack_common.h), as rules of nft compare them.
const (
	StateInvalid     = 1
	StateEstablished = 2
	StateRelated     = 4
	StateNew         = 8
	StateUntracked   = 64

	StatusSNAT = 1 << 4
	StatusDNAT = 1 << 5
)

// Numbers of address types (include/uapi/linux/rtnetlink.h).
const (
	TypeUnicast = 1
	TypeLocal   = 2
)

// Number makes a Value of a number.
func Number(n uint32) Value {
	return Value{12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
}

// Address makes a Value of an address.
func Address(a netip.Addr) Value {
	if a.Is4() {
		b := a.As4()
		return Value{12: b[0], 13: b[1], 14: b[2], 15: b[3]}
	}
	return a.As16()
}
