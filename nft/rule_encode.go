package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Places of the fields in their headers: offset and, for addresses, the size by family.
const (
	ipv4SourceOffset, ipv4DestOffset = 12, 16 // struct iphdr
	ipv6SourceOffset, ipv6DestOffset = 8, 24  // struct ipv6hdr
	portOffset                       = 2      // destination port of TCP, UDP and SCTP
)

const (
	ctDirOriginal = 0      // IP_CT_DIR_ORIGINAL (include/uapi/linux/netfilter/nf_conntrack_tuple_common.h)
	ctStatusDNAT  = 1 << 5 // IPS_DST_NAT (include/uapi/linux/netfilter/nf_conntrack_common.h)
	ctStateNew    = expr.CtStateBitNEW

	icmpPortUnreachable   = 3 // ICMP_PORT_UNREACH (include/uapi/linux/icmp.h)
	icmpv6PortUnreachable = 4 // ICMPV6_PORT_UNREACH (include/uapi/linux/icmpv6.h)
)

// appendRule adds the attributes of a new rule.
func appendRule(b []byte, f graph.Family, table, chain string, r *graph.Rule) []byte {
	b = appendString(b, unix.NFTA_RULE_TABLE, table)
	b = appendString(b, unix.NFTA_RULE_CHAIN, chain)
	b, list := openNested(b, unix.NFTA_RULE_EXPRESSIONS)
	for _, e := range ruleExprs(f, r) {
		v, err := expr.Marshal(familyOf(f), e)
		if err != nil {
			panic(fmt.Sprintf("nft: encoding %T: %v", e, err))
		}
		b = appendBytes(b, unix.NFTA_LIST_ELEM|attrNested, v)
	}
	closeNested(b, list)
	return b
}

// ruleExprs translates a rule into the kernel's expressions.
func ruleExprs(f graph.Family, r *graph.Rule) []expr.Any {
	a := assembler{family: f}
	for _, s := range r.Stmts {
		a.stmt(s)
	}
	return a.out
}

// assembler collects the expressions of a rule. Every statement begins with free registers: no value outlives the
// statement that computes it. Above all, what a map lookup gives is never part of another lookup's key: the kernel would
// take that, and then nft could not list the rule and would abort.
type assembler struct {
	family graph.Family
	out    []expr.Any
}

func (a *assembler) add(e ...expr.Any) { a.out = append(a.out, e...) }

func (a *assembler) stmt(s graph.Stmt) {
	switch s := s.(type) {
	case graph.Match:
		a.match(s)
	case graph.MatchSet:
		a.load(s.X, 0)
		a.add(&expr.Lookup{SourceRegister: slot(0).register(), SetName: s.Set, Invert: s.Not})
	case graph.LookupVerdict:
		a.load(s.X, 0)
		a.add(&expr.Lookup{
			SourceRegister: slot(0).register(), SetName: s.Map, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true,
		})
	case graph.DNAT:
		a.load(s.X, 0)
		a.add(
			&expr.Lookup{
				SourceRegister: slot(0).register(), SetName: s.Map, DestRegister: slot(0).register(), IsDestRegSet: true,
			},
			&expr.NAT{
				Type: expr.NATTypeDestNAT, Family: uint32(familyOf(a.family)),
				RegAddrMin: slot(0).register(), RegProtoMin: slotsFor(addrLen(a.family)).register(),
			})
	case graph.Masquerade:
		a.add(&expr.Masq{FullyRandom: true})
	case graph.Reject:
		a.add(a.reject(s.With))
	case graph.Counter:
		a.add(&expr.Counter{})
	case graph.Update:
		a.update(s)
	case graph.Do:
		a.add(&expr.Verdict{Kind: expr.VerdictKind(verdictCodes[s.Verdict.Op]), Chain: s.Verdict.Chain})
	default:
		panic(fmt.Sprintf("nft: unhandled statement %T", s))
	}
}

// match compares a value, or asks whether a bit of it is set.
func (a *assembler) match(m graph.Match) {
	a.load(m.X, 0)
	reg := slot(0).register()
	switch v := m.Value.(type) {
	case graph.Proto:
		a.add(&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{protoNumber(v)}})
	case graph.AddrType:
		if v != graph.AddrTypeLocal {
			panic(fmt.Sprintf("nft: address type %d", v))
		}
		a.add(&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: hostBytes(unix.RTN_LOCAL)})
	case graph.CtStateBit, graph.CtStatusBit:
		zero := hostBytes(0)
		a.add(
			&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: hostBytes(bitOf(v)), Xor: zero},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: zero})
	default:
		panic(fmt.Sprintf("nft: unhandled value %T", v))
	}
}

// bitOf gives the kernel's bit of a connection tracking state or status.
func bitOf(v graph.Value) uint32 {
	switch v {
	case graph.CtNew:
		return ctStateNew
	case graph.CtDNAT:
		return ctStatusDNAT
	default:
		panic(fmt.Sprintf("nft: unhandled bit %T(%d)", v, v))
	}
}

func hostBytes(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func (a *assembler) reject(with graph.RejectWith) expr.Any {
	switch {
	case with == graph.TCPReset:
		return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
	case a.family == graph.IPv6:
		return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpv6PortUnreachable}
	default:
		return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpPortUnreachable}
	}
}

// update loads the key and behind it the data: of the sixteen registers an IPv6 update takes fifteen.
func (a *assembler) update(u graph.Update) {
	data := a.load(u.Key, 0)
	a.load(u.Data, data)
	a.add(&expr.Dynset{
		Operation: unix.NFT_DYNSET_OP_UPDATE, SetName: u.Map, Timeout: u.Timeout,
		SrcRegKey: slot(0).register(), SrcRegData: data.register(),
	})
}

// load computes an expression into the slots from s on and gives the first slot behind them.
func (a *assembler) load(x graph.Expr, s slot) slot {
	n := exprLen(a.family, x)
	next := s + slotsFor(n)
	if next > slots {
		panic(fmt.Sprintf("nft: %T needs more than %d registers", x, slots))
	}
	reg := s.register()
	switch x := x.(type) {
	case graph.Payload:
		a.add(a.payload(x, reg))
	case graph.L4Proto:
		a.add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg})
	case graph.Ct:
		a.add(a.ct(x, reg))
	case graph.FibType:
		a.add(&expr.Fib{
			Register: reg, ResultADDRTYPE: true, FlagSADDR: x.Of == graph.SourceAddr, FlagDADDR: x.Of == graph.DestAddr,
		})
	case graph.Numgen:
		a.add(&expr.Numgen{Register: reg, Type: unix.NFT_NG_RANDOM, Modulus: x.Mod, Offset: x.Offset})
	case graph.Jhash:
		a.load(x.X, s)
		a.add(&expr.Hash{
			SourceRegister: reg, DestRegister: reg, Length: uint32(exprLen(a.family, x.X)),
			Modulus: x.Mod, Seed: x.Seed, Offset: x.Offset, Type: expr.HashTypeJenkins,
		})
	case graph.Masked:
		a.load(x.X, s)
		a.add(&expr.Bitwise{
			SourceRegister: reg, DestRegister: reg, Len: uint32(n), Mask: x.Mask.AsSlice(), Xor: make([]byte, n),
		})
	case graph.Concat:
		for _, part := range x {
			s = a.load(part, s)
		}
	default:
		panic(fmt.Sprintf("nft: unhandled expression %T", x))
	}
	return next
}

func (a *assembler) payload(p graph.Payload, reg uint32) expr.Any {
	if p == graph.DestPort {
		return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: portOffset, Len: 2}
	}
	return &expr.Payload{
		DestRegister: reg, Base: expr.PayloadBaseNetworkHeader,
		Offset: addrOffset(a.family, p), Len: uint32(addrLen(a.family)),
	}
}

// addrOffset gives the place of an address in the network header.
func addrOffset(f graph.Family, p graph.Payload) uint32 {
	switch {
	case f == graph.IPv6 && p == graph.SourceAddr:
		return ipv6SourceOffset
	case f == graph.IPv6:
		return ipv6DestOffset
	case p == graph.SourceAddr:
		return ipv4SourceOffset
	default:
		return ipv4DestOffset
	}
}

func (a *assembler) ct(c graph.Ct, reg uint32) expr.Any {
	key, directed := ctKey(a.family, c)
	return &expr.Ct{Key: key, Register: reg, Direction: ctDirOriginal, OptDirection: directed}
}

// ctKey gives the kernel's key, and whether it is one of a direction of the connection.
func ctKey(f graph.Family, c graph.Ct) (key expr.CtKey, directed bool) {
	switch c {
	case graph.CtState:
		return expr.CtKeySTATE, false
	case graph.CtStatus:
		return expr.CtKeySTATUS, false
	case graph.CtOriginalSource:
		if f == graph.IPv6 {
			return expr.CtKeySRCIP6, true
		}
		return expr.CtKeySRCIP, true
	case graph.CtOriginalDest:
		if f == graph.IPv6 {
			return expr.CtKeyDSTIP6, true
		}
		return expr.CtKeyDSTIP, true
	case graph.CtOriginalDestPort:
		return expr.CtKeyPROTODST, true
	default:
		panic(fmt.Sprintf("nft: unhandled ct key %d", c))
	}
}
