package graph

import (
	"encoding/binary"
	"net/netip"
)

// form says which parts of an [Element] the elements of a list have, and so which words: those of the key, in the order
// in which keys are compared and each such that it compares as a number, then those of the data and of the origin.
type form struct {
	addr, peer, rangeTo width
	port, slot          bool // port with the protocol
	peerPort            bool

	to              width // the address of the data
	toPort, verdict bool

	origin bool

	keyWords, dataWords, stride uint8 // how many words these parts are
}

// width is how many words an address is.
type width uint8

// The widths.
const (
	noAddr  width = 0
	fourth  width = 1 // IPv4
	sixth   width = 4 // IPv6
	anyAddr width = 5 // the number of its bits, then as IPv6: for lists in which not all addresses are alike
)

// widthOf gives the width for an address.
func widthOf(a netip.Addr) width {
	switch {
	case a.Is4():
		return fourth
	case a.IsValid():
		return sixth
	default:
		return noAddr
	}
}

// fits reports whether an address can be written in the width.
func (w width) fits(a netip.Addr) bool {
	return w == anyAddr || w == widthOf(a)
}

func (w width) union(o width) width {
	if w == o {
		return w
	}
	return anyAddr
}

// putAddr adds an address. It has no zone: sets know none.
func putAddr(to []uint32, a netip.Addr, w width) []uint32 {
	switch w {
	case noAddr:
		return to
	case fourth:
		b := a.As4()
		return append(to, binary.BigEndian.Uint32(b[:]))
	case anyAddr:
		to = append(to, uint32(a.BitLen()))
	case sixth:
	}
	b := a.As16()
	return append(to, binary.BigEndian.Uint32(b[0:]), binary.BigEndian.Uint32(b[4:]),
		binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]))
}

// getAddr reads what putAddr wrote and gives the words behind it.
func getAddr(from []uint32, w width) (netip.Addr, []uint32) {
	switch w {
	case noAddr:
		return netip.Addr{}, from
	case fourth:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], from[0])
		return netip.AddrFrom4(b), from[1:]
	case anyAddr:
		bits := from[0]
		a, rest := getAddr(from[1:], sixth)
		switch bits {
		case 0:
			a = netip.Addr{}
		case 32:
			a = a.Unmap()
		}
		return a, rest
	case sixth:
	}
	var b [16]byte
	for i, x := range from[:4] {
		binary.BigEndian.PutUint32(b[4*i:], x)
	}
	return netip.AddrFrom16(b), from[4:]
}

// formOf gives the form of the elements of a set, by its type.
func formOf(f Family, s *Set) form {
	addr := fourth
	if f == IPv6 {
		addr = sixth
	}
	var out form
	port := false // the first one was there
	for _, field := range s.Key {
		switch {
		case field == AddrField && out.addr == noAddr:
			out.addr = addr
		case field == AddrField:
			out.peer = addr
		case field == PortField && port:
			out.peerPort = true
		case field == ProtoField, field == PortField:
			out.port, port = true, field == PortField
		case field == SlotField:
			out.slot = true
		}
	}
	if s.Interval {
		out.rangeTo = addr
	}
	for _, field := range s.Data {
		switch field {
		case AddrField:
			out.to = addr
		case PortField:
			out.toPort = true
		case VerdictField:
			out.verdict = true
		case ProtoField, SlotField:
		}
	}
	return out.counted()
}

// formOfElement gives the form of one element.
func formOfElement(e *Element) form {
	return form{
		addr: widthOf(e.Key.Addr), peer: widthOf(e.Key.Peer), rangeTo: widthOf(e.Key.RangeTo),
		port: e.Key.Port != 0 || e.Key.Proto != 0, slot: e.Key.Slot != 0, peerPort: e.Key.PeerPort != 0,
		to: widthOf(e.Data.Addr), toPort: e.Data.Port != 0, verdict: e.Data.Verdict != Verdict{},
		origin: e.Owner != nil || !e.Pos.IsZero(),
	}.counted()
}

// counted gives the form with its numbers of words. An element has a word at least, or it could not be counted.
func (f form) counted() form {
	words := func(parts ...bool) (n uint8) {
		for _, p := range parts {
			if p {
				n++
			}
		}
		return n
	}
	f.dataWords = uint8(f.to) + words(f.toPort, f.verdict)
	f.port = f.port || f.addr == noAddr
	f.keyWords = uint8(f.addr+f.peer+f.rangeTo) + words(f.port, f.slot, f.peerPort)
	f.stride = f.keyWords + f.dataWords
	if f.origin {
		f.stride += 3
	}
	return f
}

// fits reports whether an element can be written in the form.
func (f *form) fits(e *Element) bool {
	return f.stride > 0 && f.addr.fits(e.Key.Addr) && f.peer.fits(e.Key.Peer) && f.rangeTo.fits(e.Key.RangeTo) &&
		(f.port || e.Key.Port == 0 && e.Key.Proto == 0) && (f.slot || e.Key.Slot == 0) && (f.peerPort || e.Key.PeerPort == 0) &&
		f.to.fits(e.Data.Addr) && (f.toPort || e.Data.Port == 0) && (f.verdict || e.Data.Verdict == Verdict{}) &&
		(f.origin || e.Owner == nil && e.Pos.IsZero())
}

// union gives the form for elements of both forms. Of a list that is empty only the flags count.
func (f form) union(o form, empty bool) form {
	if f.stride == 0 {
		return o
	}
	o.port, o.slot, o.peerPort = f.port || o.port, f.slot || o.slot, f.peerPort || o.peerPort
	o.toPort, o.verdict, o.origin = f.toPort || o.toPort, f.verdict || o.verdict, f.origin || o.origin
	if !empty {
		o.addr, o.peer, o.rangeTo, o.to = f.addr.union(o.addr), f.peer.union(o.peer), f.rangeTo.union(o.rangeTo), f.to.union(o.to)
	}
	return o.counted()
}

// key reads the key from the words of an element.
func (f *form) key(w []uint32) (k Key) {
	k.Addr, w = getAddr(w, f.addr)
	if f.port {
		k.Proto, k.Port, w = Proto(w[0]>>16), uint16(w[0]), w[1:]
	}
	if f.slot {
		k.Slot, w = w[0], w[1:]
	}
	k.Peer, w = getAddr(w, f.peer)
	if f.peerPort {
		k.PeerPort, w = uint16(w[0]), w[1:]
	}
	k.RangeTo, _ = getAddr(w, f.rangeTo)
	return k
}

// plain reports whether the words alone tell the elements apart: all addresses of a part are alike, and there are no
// verdicts, whose words hold the number of a chain in the list.
func (f *form) plain() bool {
	return !f.verdict && f.addr != anyAddr && f.peer != anyAddr && f.rangeTo != anyAddr && f.to != anyAddr
}

// sameKeys reports whether the keys of both forms are the same words.
func (f *form) sameKeys(o *form) bool {
	return f.addr == o.addr && f.port == o.port && f.slot == o.slot && f.peer == o.peer && f.peerPort == o.peerPort &&
		f.rangeTo == o.rangeTo
}
