package graph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// codecVersion is the version of the binary form. It changes with every change of the form or of the graph that makes other
// bytes of a ruleset that could be written before: what was written by another version is refused, and whoever needs it
// finds out what it said in another way. What is only added gets bits of its own, which older programs refuse.
const codecVersion = 1

// ErrEncoding says that bytes are not a ruleset in the binary form of this version.
var ErrEncoding = errors.New("not a ruleset in binary form")

// Marshal gives the binary form of a ruleset: everything but owners, places and passes, which are about the input that it
// was made from. The same ruleset gives the same bytes. An element takes about 7 bytes.
func Marshal(rs *Ruleset) []byte {
	n := 64 << 10
	for _, t := range rs.Tables {
		for _, s := range t.Sets {
			n += 12 * s.Elements.Len()
		}
	}
	e := newEncoder(make([]byte, 0, n))
	e.num(codecVersion, uint64(len(rs.Tables)))
	for _, t := range rs.Tables {
		e.num(uint64(t.Family))
		e.str(t.Name)
		e.str(t.Comment)
		e.num(uint64(len(t.Sets)))
		for _, s := range t.Sets {
			e.declaration(s)
			e.num(uint64(s.Size), uint64(s.Elements.Len()))
			e.elements(&s.Elements, nil)
		}
		e.num(uint64(len(t.Chains)))
		for _, c := range t.Chains {
			e.chain(c)
		}
	}
	return e.buf
}

// encoder writes the parts of a table. Texts that come again are written once: the first time with their bytes, then by
// number.
type encoder struct {
	buf   []byte
	texts map[string]uint64
	last  Element // the element before
}

func newEncoder(buf []byte) *encoder { return &encoder{buf: buf, texts: map[string]uint64{}} }

func (e *encoder) num(numbers ...uint64) {
	for _, n := range numbers {
		e.buf = binary.AppendUvarint(e.buf, n)
	}
}

func (e *encoder) bits(bits ...bool) {
	var n uint64
	for i, b := range bits {
		if b {
			n |= 1 << i
		}
	}
	e.num(n)
}

func (e *encoder) str(s string) {
	if n, ok := e.texts[s]; ok {
		e.num(n)
		return
	}
	e.texts[s] = uint64(len(e.texts)) + 1
	e.num(0, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

// addr adds an address behind its length in bytes, which is 0 for the zero Addr.
func (e *encoder) addr(a netip.Addr) {
	switch {
	case a.Is4():
		b := a.As4()
		e.buf = append(append(e.buf, 4), b[:]...)
	case a.IsValid():
		b := a.As16()
		e.buf = append(append(e.buf, 16), b[:]...)
	default:
		e.buf = append(e.buf, 0)
	}
}

// declaration adds all of a set but its size and its elements.
func (e *encoder) declaration(s *Set) {
	e.str(s.Name)
	for _, fields := range [...][]Field{s.Key, s.Data} {
		e.num(uint64(len(fields)))
		for _, f := range fields {
			e.num(uint64(f))
		}
	}
	e.bits(s.Interval, s.Dynamic, s.Timeout, s.Counter)
}

// What of an element differs from the one before and is therefore written.
const (
	codecAddr = 1 << iota
	codecPort // protocol and port
	codecPeer
	codecRange
	codecDataAddr
	codecDataPort
	codecVerdict
	codecPeerPort
	codecAll = codecPeerPort<<1 - 1
)

// elements adds the elements of a list. After each it calls f, if there is one, which may take away what is in buf.
func (e *encoder) elements(l *Elements, f func()) {
	e.last = Element{}
	fast := l.form.plain()
	for i := range l.Len() {
		if i > 0 && fast {
			e.next(&l.form, l.record(i-1), l.record(i))
		} else {
			x := l.At(i)
			e.element(&x)
		}
		if f != nil {
			f()
		}
	}
}

// next adds an element behind the one before, of both of which it has the words: it writes what element would, and does
// not take them apart.
func (e *encoder) next(f *form, last, w []uint32) {
	at := len(e.buf)
	e.buf = append(e.buf, 0)
	addr := int(f.addr)
	port, slot := addr, addr+btoi(f.port)
	peer := slot + btoi(f.slot)
	peerPort := peer + int(f.peer)
	rangeTo := peerPort + btoi(f.peerPort)
	to := int(f.keyWords)
	toPort := to + int(f.to)
	if f.slot {
		e.num(uint64(w[slot]))
	} else {
		e.buf = append(e.buf, 0)
	}
	differs := e.words(codecAddr, last[:addr], w[:addr])
	if f.port && w[port] != last[port] {
		differs |= codecPort
		e.num(uint64(w[port]>>16), uint64(w[port]&0xffff))
	}
	differs |= e.words(codecPeer, last[peer:peerPort], w[peer:peerPort])
	differs |= e.words(codecRange, last[rangeTo:to], w[rangeTo:to])
	differs |= e.words(codecDataAddr, last[to:toPort], w[to:toPort])
	if f.toPort && w[toPort] != last[toPort] {
		differs |= codecDataPort
		e.num(uint64(w[toPort]))
	}
	if f.peerPort && w[peerPort] != last[peerPort] {
		differs |= codecPeerPort
		e.num(uint64(w[peerPort]))
	}
	e.buf[at] = differs
}

// words adds the words of an address, where they are not those of the element before, and gives the flag that says so.
func (e *encoder) words(flag byte, last, w []uint32) byte {
	if slices.Equal(last, w) {
		return 0
	}
	e.buf = append(e.buf, byte(4*len(w)))
	for _, x := range w {
		e.buf = binary.BigEndian.AppendUint32(e.buf, x)
	}
	return flag
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e *encoder) element(x *Element) {
	at := len(e.buf)
	e.buf = append(e.buf, 0)
	e.num(uint64(x.Key.Slot))
	var differs byte
	if x.Key.Addr != e.last.Key.Addr {
		differs |= codecAddr
		e.addr(x.Key.Addr)
	}
	if x.Key.Proto != e.last.Key.Proto || x.Key.Port != e.last.Key.Port {
		differs |= codecPort
		e.num(uint64(x.Key.Proto), uint64(x.Key.Port))
	}
	if x.Key.Peer != e.last.Key.Peer {
		differs |= codecPeer
		e.addr(x.Key.Peer)
	}
	if x.Key.RangeTo != e.last.Key.RangeTo {
		differs |= codecRange
		e.addr(x.Key.RangeTo)
	}
	if x.Data.Addr != e.last.Data.Addr {
		differs |= codecDataAddr
		e.addr(x.Data.Addr)
	}
	if x.Data.Port != e.last.Data.Port {
		differs |= codecDataPort
		e.num(uint64(x.Data.Port))
	}
	if x.Data.Verdict != e.last.Data.Verdict {
		differs |= codecVerdict
		e.verdict(x.Data.Verdict)
	}
	if x.Key.PeerPort != e.last.Key.PeerPort {
		differs |= codecPeerPort
		e.num(uint64(x.Key.PeerPort))
	}
	e.buf[at] = differs
	e.last = *x
}

func (e *encoder) verdict(v Verdict) {
	e.num(uint64(v.Op))
	e.str(v.Chain)
}

func (e *encoder) chain(c *Chain) {
	e.str(c.Name)
	e.bits(c.Hook != nil)
	if c.Hook != nil {
		e.num(uint64(c.Hook.Type), uint64(c.Hook.Point), uint64(uint32(c.Hook.Priority)))
	}
	e.num(uint64(len(c.Rules)))
	for i := range c.Rules {
		e.num(uint64(len(c.Rules[i].Stmts)))
		for _, s := range c.Rules[i].Stmts {
			e.stmt(s)
		}
	}
}

// The kinds of statements, expressions and values in the binary form.
const (
	codecMatch = iota + 1
	codecMatchSet
	codecLookupVerdict
	codecDNAT
	codecMasquerade
	codecReject
	codecCounter
	codecUpdate
	codecDo

	codecPayload
	codecL4Proto
	codecCt
	codecFibType
	codecMasked
	codecNumgen
	codecJhash
	codecConcat

	codecProto
	codecAddrType
	codecCtState
	codecCtStatus
)

func (e *encoder) stmt(s Stmt) {
	switch s := s.(type) {
	case Match:
		e.num(codecMatch)
		e.expr(s.X)
		e.value(s.Value)
	case MatchSet:
		e.num(codecMatchSet)
		e.expr(s.X)
		e.bits(s.Not)
		e.str(s.Set)
	case LookupVerdict:
		e.num(codecLookupVerdict)
		e.expr(s.X)
		e.str(s.Map)
	case DNAT:
		e.num(codecDNAT)
		e.expr(s.X)
		e.str(s.Map)
	case Masquerade:
		e.num(codecMasquerade)
	case Reject:
		e.num(codecReject, uint64(s.With))
	case Counter:
		e.num(codecCounter)
	case Update:
		e.num(codecUpdate)
		e.str(s.Map)
		e.expr(s.Key)
		e.num(uint64(s.Timeout / time.Second))
		e.expr(s.Data)
	case Do:
		e.num(codecDo)
		e.verdict(s.Verdict)
	default:
		panic(fmt.Sprintf("graph: unhandled statement %T", s))
	}
}

func (e *encoder) expr(x Expr) {
	switch x := x.(type) {
	case Payload:
		e.num(codecPayload, uint64(x))
	case L4Proto:
		e.num(codecL4Proto)
	case Ct:
		e.num(codecCt, uint64(x))
	case FibType:
		e.num(codecFibType, uint64(x.Of))
	case Masked:
		e.num(codecMasked)
		e.expr(x.X)
		e.addr(x.Mask)
	case Numgen:
		e.num(codecNumgen, uint64(x.Mod), uint64(x.Offset))
	case Jhash:
		e.num(codecJhash, uint64(x.X), uint64(x.Mod), uint64(x.Seed), uint64(x.Offset))
	case Concat:
		e.num(codecConcat, uint64(len(x)))
		for _, part := range x {
			e.expr(part)
		}
	default:
		panic(fmt.Sprintf("graph: unhandled expression %T", x))
	}
}

func (e *encoder) value(v Value) {
	switch v := v.(type) {
	case Proto:
		e.num(codecProto, uint64(v))
	case AddrType:
		e.num(codecAddrType, uint64(v))
	case CtStateBit:
		e.num(codecCtState, uint64(v))
	case CtStatusBit:
		e.num(codecCtStatus, uint64(v))
	default:
		panic(fmt.Sprintf("graph: unhandled value %T", v))
	}
}
