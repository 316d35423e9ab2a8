package render

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/svcctl/svcctl/compiler/graph"
)

// appendElement appends an element as nft reads it: "10.96.0.1 . tcp . 80 : goto random-4".
func appendElement(b []byte, s *graph.Set, e *graph.Element) []byte {
	b = appendKey(b, s, &e.Key)
	if s.IsMap() {
		b = appendData(append(b, " : "...), s, &e.Data)
	}
	return b
}

func appendKey(b []byte, s *graph.Set, k *graph.Key) []byte {
	last := lastAddr(s)
	addr, port := k.Addr, k.Port
	for i, f := range s.Key {
		if i > 0 {
			b = append(b, " . "...)
		}
		switch f {
		case graph.AddrField:
			if i == last {
				b = appendRange(b, addr, k.RangeTo)
			} else {
				b = addr.AppendTo(b)
			}
			addr = k.Peer
		case graph.ProtoField:
			b = append(b, k.Proto.String()...)
		case graph.PortField:
			b = strconv.AppendUint(b, uint64(port), 10)
			port = k.PeerPort
		case graph.SlotField:
			b = strconv.AppendUint(b, uint64(k.Slot), 10)
		case graph.VerdictField:
			panic("render: a verdict in the key of set " + s.Name)
		default:
			panic(fmt.Sprintf("render: unhandled field %d", f))
		}
	}
	return b
}

// lastAddr gives the position of the last address in the keys of an interval set, the one that is a range, or -1.
func lastAddr(s *graph.Set) int {
	if !s.Interval {
		return -1
	}
	for i := len(s.Key) - 1; i >= 0; i-- {
		if s.Key[i] == graph.AddrField {
			return i
		}
	}
	return -1
}

// appendRange appends the addresses from first to last in nft's shortest form: one address, a prefix or a range.
func appendRange(b []byte, first, last netip.Addr) []byte {
	if !last.IsValid() || first == last {
		return first.AppendTo(b)
	}
	if bits, ok := prefixBits(first, last); ok {
		b = append(first.AppendTo(b), '/')
		return strconv.AppendInt(b, int64(bits), 10)
	}
	return last.AppendTo(append(first.AppendTo(b), '-'))
}

// prefixBits gives the length of the prefix that begins and ends with the addresses, where there is one.
func prefixBits(first, last netip.Addr) (int, bool) {
	for bits := range first.BitLen() {
		if lo, hi := graph.PrefixRange(netip.PrefixFrom(first, bits)); lo == first && hi == last {
			return bits, true
		}
	}
	return 0, false
}

func appendData(b []byte, s *graph.Set, d *graph.Data) []byte {
	for i, f := range s.Data {
		if i > 0 {
			b = append(b, " . "...)
		}
		switch f {
		case graph.VerdictField:
			b = appendVerdict(b, d.Verdict)
		case graph.AddrField:
			b = d.Addr.AppendTo(b)
		case graph.PortField:
			b = strconv.AppendUint(b, uint64(d.Port), 10)
		case graph.ProtoField, graph.SlotField:
			panic("render: a protocol or slot in the data of map " + s.Name)
		default:
			panic(fmt.Sprintf("render: unhandled field %d", f))
		}
	}
	return b
}
