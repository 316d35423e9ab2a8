package graph

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Unmarshal is the inverse of [Marshal]. Its error is or wraps [ErrEncoding]; it never panics, whatever the bytes, and takes
// no more memory than they justify. Whether the ruleset is a right one is for [Check] to say.
func Unmarshal(data []byte) (rs *Ruleset, err error) {
	d := &decoder{rest: data}
	if v := d.num(); v != codecVersion && !d.bad {
		return nil, fmt.Errorf("%w: it is of version %d, and this svcctl reads %d", ErrEncoding, v, codecVersion)
	}
	rs = &Ruleset{}
	for range d.count(1) {
		rs.Tables = append(rs.Tables, d.table())
	}
	if d.bad || len(d.rest) > 0 {
		return nil, ErrEncoding
	}
	return rs, nil
}

// decoder reads what an encoder wrote. After the first thing that is wrong, bad is set and everything reads as zero.
type decoder struct {
	rest  []byte
	texts []string
	bad   bool
	depth int // of nested expressions
}

// maxDepth is how deep expressions nest: a concatenation of masked fields is 3.
const maxDepth = 8

func (d *decoder) fail() { d.bad, d.rest = true, nil }

func (d *decoder) num() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// upTo reads a number that is at most limit.
func (d *decoder) upTo(limit uint64) uint64 {
	n := d.num()
	if n > limit {
		d.fail()
		return 0
	}
	return n
}

// count reads how many things of at least size bytes follow.
func (d *decoder) count(size int) int {
	return int(d.upTo(uint64(len(d.rest) / size)))
}

func (d *decoder) take(n int) []byte {
	if n > len(d.rest) {
		d.fail()
		return make([]byte, n)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) bits(n int) uint64 { return d.upTo(1<<n - 1) }

func (d *decoder) str() string {
	n := d.upTo(uint64(len(d.texts)))
	if n > 0 {
		return d.texts[n-1]
	}
	s := string(d.take(d.count(1)))
	d.texts = append(d.texts, s)
	return s
}

func (d *decoder) addr() netip.Addr {
	switch d.upTo(16) {
	case 0:
		return netip.Addr{}
	case 4:
		return netip.AddrFrom4([4]byte(d.take(4)))
	case 16:
		return netip.AddrFrom16([16]byte(d.take(16)))
	default:
		d.fail()
		return netip.Addr{}
	}
}

func (d *decoder) table() *Table {
	t := &Table{Family: Family(d.upTo(uint64(IPv6))), Name: d.str(), Comment: d.str()}
	for range d.count(1) {
		s := d.declaration()
		s.Size = uint32(d.upTo(math.MaxUint32))
		s.Elements = d.elements(t.Family, s)
		t.Sets = append(t.Sets, s)
	}
	for range d.count(1) {
		t.Chains = append(t.Chains, d.chain())
	}
	return t
}

func (d *decoder) declaration() *Set {
	s := &Set{Name: d.str(), Key: d.fields(), Data: d.fields()}
	b := d.bits(4)
	s.Interval, s.Dynamic, s.Timeout, s.Counter = b&1 != 0, b&2 != 0, b&4 != 0, b&8 != 0
	return s
}

func (d *decoder) fields() []Field {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	fields := make([]Field, n)
	for i := range fields {
		fields[i] = Field(d.upTo(uint64(VerdictField)))
	}
	return fields
}

func (d *decoder) elements(f Family, s *Set) Elements {
	n := d.count(2)
	elements := MakeElements(f, s, n)
	var last Element
	for range n {
		d.element(&last)
		elements.Append(last)
	}
	return elements
}

// element changes an element into the next one.
func (d *decoder) element(e *Element) {
	differs := d.take(1)[0]
	e.Key.Slot = uint32(d.upTo(math.MaxUint32))
	if differs&codecAddr != 0 {
		e.Key.Addr = d.addr()
	}
	if differs&codecPort != 0 {
		e.Key.Proto = Proto(d.upTo(uint64(SCTP)))
		e.Key.Port = uint16(d.upTo(math.MaxUint16))
	}
	if differs&codecPeer != 0 {
		e.Key.Peer = d.addr()
	}
	if differs&codecRange != 0 {
		e.Key.RangeTo = d.addr()
	}
	if differs&codecDataAddr != 0 {
		e.Data.Addr = d.addr()
	}
	if differs&codecDataPort != 0 {
		e.Data.Port = uint16(d.upTo(math.MaxUint16))
	}
	if differs&codecVerdict != 0 {
		e.Data.Verdict = d.verdict()
	}
	if differs&codecPeerPort != 0 {
		e.Key.PeerPort = uint16(d.upTo(math.MaxUint16))
	}
}

func (d *decoder) verdict() Verdict {
	return Verdict{Op: VerdictOp(d.upTo(uint64(Goto))), Chain: d.str()}
}

func (d *decoder) chain() *Chain {
	c := &Chain{Name: d.str()}
	if d.bits(1) != 0 {
		c.Hook = &Hook{
			Type: ChainType(d.upTo(uint64(NATChain))), Point: HookPoint(d.upTo(uint64(Postrouting))),
			Priority: int32(uint32(d.upTo(math.MaxUint32))),
		}
	}
	for range d.count(1) {
		var r Rule
		for range d.count(1) {
			r.Stmts = append(r.Stmts, d.stmt())
		}
		c.Rules = append(c.Rules, r)
	}
	return c
}

func (d *decoder) stmt() Stmt {
	switch d.num() {
	case codecMatch:
		return Match{X: d.expr(), Value: d.value()}
	case codecMatchSet:
		return MatchSet{X: d.expr(), Not: d.bits(1) != 0, Set: d.str()}
	case codecLookupVerdict:
		return LookupVerdict{X: d.expr(), Map: d.str()}
	case codecDNAT:
		return DNAT{X: d.expr(), Map: d.str()}
	case codecMasquerade:
		return Masquerade{}
	case codecReject:
		return Reject{With: RejectWith(d.upTo(uint64(TCPReset)))}
	case codecCounter:
		return Counter{}
	case codecUpdate:
		return Update{
			Map: d.str(), Key: d.expr(), Timeout: time.Duration(d.upTo(math.MaxUint32)) * time.Second, Data: d.expr(),
		}
	case codecDo:
		return Do{Verdict: d.verdict()}
	default:
		d.fail()
		return Counter{}
	}
}

func (d *decoder) expr() Expr {
	if d.depth++; d.depth > maxDepth {
		d.fail()
	}
	defer func() { d.depth-- }()
	switch d.num() {
	case codecPayload:
		return Payload(d.upTo(uint64(DestPort)))
	case codecL4Proto:
		return L4Proto{}
	case codecCt:
		return Ct(d.upTo(uint64(CtOriginalDestPort)))
	case codecFibType:
		return FibType{Of: Payload(d.upTo(uint64(DestPort)))}
	case codecMasked:
		return Masked{X: d.expr(), Mask: d.addr()}
	case codecNumgen:
		return Numgen{Mod: uint32(d.upTo(math.MaxUint32)), Offset: uint32(d.upTo(math.MaxUint32))}
	case codecJhash:
		return Jhash{
			X: Payload(d.upTo(uint64(DestPort))), Mod: uint32(d.upTo(math.MaxUint32)),
			Seed: uint32(d.upTo(math.MaxUint32)), Offset: uint32(d.upTo(math.MaxUint32)),
		}
	case codecConcat:
		var x Concat
		for range d.count(1) {
			x = append(x, d.expr())
		}
		return x
	default:
		d.fail()
		return L4Proto{}
	}
}

func (d *decoder) value() Value {
	switch d.num() {
	case codecProto:
		return Proto(d.upTo(uint64(SCTP)))
	case codecAddrType:
		return AddrType(d.upTo(uint64(AddrTypeLocal)))
	case codecCtState:
		return CtStateBit(d.upTo(uint64(CtNew)))
	case codecCtStatus:
		return CtStatusBit(d.upTo(uint64(CtDNAT)))
	default:
		d.fail()
		return TCP
	}
}
