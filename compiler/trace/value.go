package trace

import (
	"fmt"
	"net/netip"

	"github.com/svcctl/svcctl/compiler/graph"
)

func addrPort(d graph.Data) netip.AddrPort { return netip.AddrPortFrom(d.Addr, d.Port) }

func (r *run) matches(p *packet, m graph.Match) bool {
	switch v := m.Value.(type) {
	case graph.Proto:
		return p.proto == v
	case graph.AddrType:
		a := p.dest.Addr()
		if m.X.(graph.FibType).Of == graph.SourceAddr {
			a = p.source
		}
		return r.host.IsLocal(a)
	case graph.CtStateBit:
		return v == graph.CtNew // the first packet of a connection
	case graph.CtStatusBit:
		return v == graph.CtDNAT && p.translated
	default:
		panic(fmt.Sprintf("trace: unhandled value %T", v))
	}
}

// keyOf gives the key that an expression without a random part looks up.
func keyOf(s *graph.Set, p *packet, x graph.Expr) graph.Key { return keysOf(s, p, x)[0] }

// keysOf gives every key that an expression can look up, each as probable as any other.
func keysOf(s *graph.Set, p *packet, x graph.Expr) []graph.Key {
	parts, ok := x.(graph.Concat)
	if !ok {
		parts = graph.Concat{x}
	}
	var key graph.Key
	mod, offset := uint32(1), uint32(0)
	addrs, ports := 0, 0
	for i, part := range parts {
		switch s.Key[i] {
		case graph.AddrField:
			if addrs++; addrs == 1 {
				key.Addr = p.addr(part)
			} else {
				key.Peer = p.addr(part)
			}
		case graph.ProtoField:
			key.Proto = p.proto
		case graph.PortField:
			if ports++; ports == 1 {
				key.Port = p.port(part)
			} else {
				key.PeerPort = p.port(part)
			}
		case graph.SlotField:
			mod, offset = p.slots(part)
		case graph.VerdictField:
			panic("trace: a verdict is not a key")
		}
	}
	keys := make([]graph.Key, mod)
	for i := range keys {
		keys[i] = key
		keys[i].Slot = offset + uint32(i)
	}
	return keys
}

// slots gives the range of slots that an expression draws from. A hash of the packet draws only one.
func (p *packet) slots(x graph.Expr) (mod, offset uint32) {
	switch x := x.(type) {
	case graph.Numgen:
		return x.Mod, x.Offset
	case graph.Jhash:
		return 1, x.Offset + scale(jhash(p.addr(x.X).AsSlice(), x.Seed), x.Mod)
	case graph.Payload, graph.L4Proto, graph.Ct, graph.FibType, graph.Masked, graph.Concat:
	}
	panic(fmt.Sprintf("trace: %T is not a slot", x))
}

func (p *packet) addr(x graph.Expr) netip.Addr {
	switch x := x.(type) {
	case graph.Payload:
		if x == graph.SourceAddr {
			return p.source
		}
		return p.dest.Addr()
	case graph.Ct:
		if x == graph.CtOriginalSource {
			return p.original.Source.Addr()
		}
		return p.original.Dest.Addr()
	case graph.Masked:
		return mask(p.addr(x.X), x.Mask)
	case graph.L4Proto, graph.FibType, graph.Numgen, graph.Jhash, graph.Concat:
	}
	panic(fmt.Sprintf("trace: %T is not an address", x))
}

func (p *packet) port(x graph.Expr) uint16 {
	if x == graph.Expr(graph.CtOriginalDestPort) {
		return p.original.Dest.Port()
	}
	return p.dest.Port()
}

func mask(a, m netip.Addr) netip.Addr {
	b, n := a.AsSlice(), m.AsSlice()
	for i := range b {
		b[i] &= n[i]
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}
