package render

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/svcctl/svcctl/compiler/graph"
)

// appendElementJSON appends an element as the JSON schema has it: the key, or for a map [key, data].
func appendElementJSON(b []byte, s *graph.Set, e *graph.Element) []byte {
	if !s.IsMap() {
		return appendKeyJSON(b, s, &e.Key)
	}
	b = append(appendKeyJSON(append(b, '['), s, &e.Key), ", "...)
	return append(appendDataJSON(b, s, &e.Data), ']')
}

func appendKeyJSON(b []byte, s *graph.Set, k *graph.Key) []byte {
	if len(s.Key) > 1 {
		b = append(b, `{"concat": [`...)
	}
	last := lastAddr(s)
	addr, port := k.Addr, k.Port
	for i, f := range s.Key {
		if i > 0 {
			b = append(b, ", "...)
		}
		switch f {
		case graph.AddrField:
			if i == last {
				b = appendRangeJSON(b, addr, k.RangeTo)
			} else {
				b = appendAddrJSON(b, addr)
			}
			addr = k.Peer
		case graph.ProtoField:
			b = append(append(append(b, '"'), k.Proto.String()...), '"')
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
	if len(s.Key) > 1 {
		b = append(b, "]}"...)
	}
	return b
}

func appendAddrJSON(b []byte, a netip.Addr) []byte {
	return append(a.AppendTo(append(b, '"')), '"')
}

func appendRangeJSON(b []byte, first, last netip.Addr) []byte {
	if !last.IsValid() || first == last {
		return appendAddrJSON(b, first)
	}
	if bits, ok := prefixBits(first, last); ok {
		b = append(appendAddrJSON(append(b, `{"prefix": {"addr": `...), first), `, "len": `...)
		return append(strconv.AppendInt(b, int64(bits), 10), "}}"...)
	}
	b = append(appendAddrJSON(append(b, `{"range": [`...), first), ", "...)
	return append(appendAddrJSON(b, last), "]}"...)
}

func appendDataJSON(b []byte, s *graph.Set, d *graph.Data) []byte {
	if s.IsVerdictMap() {
		return appendVerdictJSON(b, d.Verdict)
	}
	if len(s.Data) > 1 {
		b = append(b, `{"concat": [`...)
	}
	for i, f := range s.Data {
		if i > 0 {
			b = append(b, ", "...)
		}
		switch f {
		case graph.AddrField:
			b = appendAddrJSON(b, d.Addr)
		case graph.PortField:
			b = strconv.AppendUint(b, uint64(d.Port), 10)
		case graph.ProtoField, graph.SlotField, graph.VerdictField:
			panic("render: a protocol, slot or verdict in the data of map " + s.Name)
		default:
			panic(fmt.Sprintf("render: unhandled field %d", f))
		}
	}
	if len(s.Data) > 1 {
		b = append(b, "]}"...)
	}
	return b
}
