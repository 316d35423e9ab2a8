package graph

import "time"

// Stmt is one statement of a rule.
//
//sumtype:decl
type Stmt interface{ isStmt() }

// Match goes on with the rule where the expression has the value. Bits ([CtStateBit], [CtStatusBit]) match when set.
type Match struct {
	X     Expr
	Value Value
}

// MatchSet goes on with the rule where the value of the expression is in the set, or with Not where it is not.
type MatchSet struct {
	X   Expr
	Not bool
	Set string
}

// LookupVerdict looks the expression up in a verdict map and does what it finds there. A miss ends the rule.
type LookupVerdict struct {
	X   Expr
	Map string
}

// DNAT translates the destination to the address and port found in a map. A miss ends the rule, which is what lets the
// next rule try another slot.
type DNAT struct {
	X   Expr
	Map string
}

// Masquerade translates the source to the address of the outgoing interface, to a random port.
type Masquerade struct{}

// Reject refuses the packet.
type Reject struct {
	With RejectWith
}

// RejectWith is the form of a refusal.
type RejectWith uint8

// The forms of refusal.
const (
	PortUnreachable RejectWith = iota // ICMP or ICMPv6, by the family
	TCPReset
)

// Counter counts packets and bytes.
type Counter struct{}

// Update adds an element to a dynamic map, or restarts the timeout of the one that is there. It never changes the data
// of an element that is there.
type Update struct {
	Map     string
	Key     Expr
	Timeout time.Duration // whole seconds
	Data    Expr
}

// Do is a verdict as a statement of its own.
type Do struct {
	Verdict Verdict
}

func (Match) isStmt()         {}
func (MatchSet) isStmt()      {}
func (LookupVerdict) isStmt() {}
func (DNAT) isStmt()          {}
func (Masquerade) isStmt()    {}
func (Reject) isStmt()        {}
func (Counter) isStmt()       {}
func (Update) isStmt()        {}
func (Do) isStmt()            {}
