package graph

import "net/netip"

// Expr is a value that the packet path computes: something of the packet, of its connection, of the routing table, or a
// number.
//
//sumtype:decl
type Expr interface{ isExpr() }

// Payload reads a field of the packet.
type Payload uint8

// The packet fields in use.
const (
	SourceAddr Payload = iota // ip saddr
	DestAddr                  // ip daddr
	DestPort                  // th dport
)

// L4Proto is the transport protocol of the packet (meta l4proto).
type L4Proto struct{}

// Ct reads the connection tracking entry of the packet.
type Ct uint8

// The connection tracking keys in use. The Original ones are of the original direction: what the client sent, before
// any translation.
const (
	CtState Ct = iota // ct state
	CtStatus
	CtOriginalSource   // ct original ip saddr
	CtOriginalDest     // ct original ip daddr
	CtOriginalDestPort // ct original proto-dst; only behind a match of the transport protocol
)

// FibType asks the routing table what kind of address the packet's source or destination is.
type FibType struct {
	Of Payload // SourceAddr or DestAddr
}

// Masked is an address with a mask applied.
type Masked struct {
	X    Expr
	Mask netip.Addr
}

// Numgen is a random number in [Offset, Offset+Mod).
type Numgen struct {
	Mod, Offset uint32
}

// Jhash is a number in [Offset, Offset+Mod) that depends on the value of an address alone: Jenkins' hash with a seed,
// scaled to the range (include/linux/jhash.h, reciprocal_scale).
type Jhash struct {
	X                 Payload // SourceAddr or DestAddr
	Mod, Seed, Offset uint32
}

// Concat is the concatenation of its parts, the form in which keys of several fields are looked up.
type Concat []Expr

func (Payload) isExpr() {}
func (L4Proto) isExpr() {}
func (Ct) isExpr()      {}
func (FibType) isExpr() {}
func (Masked) isExpr()  {}
func (Numgen) isExpr()  {}
func (Jhash) isExpr()   {}
func (Concat) isExpr()  {}

// Value is a constant to compare an [Expr] with.
//
//sumtype:decl
type Value interface{ isValue() }

// AddrType is a kind of address, as the routing table sees it (include/uapi/linux/rtnetlink.h, RTN_*).
type AddrType uint8

// The address types in use.
const (
	AddrTypeLocal AddrType = iota // RTN_LOCAL
)

// CtStateBit is a connection tracking state; a match is true when the bit is set.
type CtStateBit uint8

// The states in use.
const (
	CtNew CtStateBit = iota
)

// CtStatusBit is a connection tracking status bit; a match is true when the bit is set.
type CtStatusBit uint8

// The status bits in use.
const (
	CtDNAT CtStatusBit = iota // the destination was translated (IPS_DST_NAT)
)

func (Proto) isValue()       {}
func (AddrType) isValue()    {}
func (CtStateBit) isValue()  {}
func (CtStatusBit) isValue() {}
