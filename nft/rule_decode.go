package nft

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// ruleInfo is what the kernel says about a rule.
type ruleInfo struct {
	table, chain string
	expressions  []byte
	compat       bool // written by iptables-nft
}

func decodeRuleInfo(b []byte) ruleInfo {
	var a [unix.NFTA_RULE_USERDATA + 1][]byte
	parseAttrs(b, a[:])
	return ruleInfo{
		table:       str(a[unix.NFTA_RULE_TABLE]),
		chain:       str(a[unix.NFTA_RULE_CHAIN]),
		expressions: a[unix.NFTA_RULE_EXPRESSIONS],
		compat:      a[unix.NFTA_RULE_COMPAT] != nil,
	}
}

// decodeRule translates the kernel's expressions back into statements. The kernel renumbers registers and adds what it
// worked out itself, so the expressions are run on symbols: each register holds the expression whose value it would hold
// for a packet, and each expression that reads registers becomes a statement about what they hold.
//
// The error says which expression svcctl could not have written.
func decodeRule(f graph.Family, sets map[string]*graph.Set, i ruleInfo) (graph.Rule, error) {
	if i.compat {
		return graph.Rule{}, fmt.Errorf("it is written by iptables")
	}
	m := machine{family: f, sets: sets}
	for _, e := range attrs(i.expressions) {
		var a [unix.NFTA_EXPR_DATA + 1][]byte
		parseAttrs(e, a[:])
		if name := str(a[unix.NFTA_EXPR_NAME]); !m.step(name, a[unix.NFTA_EXPR_DATA]) {
			return graph.Rule{}, fmt.Errorf("its expression %q is none that svcctl writes", name)
		}
	}
	if m.found != nil {
		return graph.Rule{}, fmt.Errorf("it looks up map %s and does nothing with what it finds", m.found.from)
	}
	return graph.Rule{Stmts: m.stmts}, nil
}

// machine runs the expressions of one rule.
type machine struct {
	family graph.Family
	sets   map[string]*graph.Set
	cells  [slots]cell
	found  *value // what the last map lookup found, until a statement uses it
	stmts  []graph.Stmt
}

// cell is what a register holds: a part of a value.
type cell struct {
	of   *value
	part slot // which four bytes of it
}

// value is what one expression computed.
type value struct {
	x      graph.Expr // nil: what a map lookup found
	masked bool       // x is a bit field of which only bits remain
	bits   uint32
	from   string     // the map looked up
	key    graph.Expr // what was looked up in it
	length int        // bytes
}

func (m *machine) emit(s graph.Stmt) bool {
	m.stmts = append(m.stmts, s)
	return true
}

// step runs one expression; ok is false for one that svcctl could not have written.
func (m *machine) step(name string, b []byte) (ok bool) {
	var a [exprAttrs][]byte
	parseAttrs(b, a[:])
	switch name {
	case "payload":
		return m.payload(&a)
	case "meta":
		return a[unix.NFTA_META_SREG] == nil && u32(a[unix.NFTA_META_KEY]) == unix.NFT_META_L4PROTO &&
			m.storeExpr(a[unix.NFTA_META_DREG], graph.L4Proto{})
	case "ct":
		return m.ct(&a)
	case "fib":
		return m.fib(&a)
	case "numgen":
		return u32(a[unix.NFTA_NG_TYPE]) == unix.NFT_NG_RANDOM && m.storeExpr(a[unix.NFTA_NG_DREG],
			graph.Numgen{Mod: u32(a[unix.NFTA_NG_MODULUS]), Offset: u32(a[unix.NFTA_NG_OFFSET])})
	case "hash":
		return m.hash(&a)
	case "bitwise":
		return m.bitwise(&a)
	case "byteorder":
		return m.byteorder(&a)
	case "cmp":
		return m.cmp(&a)
	case "lookup":
		return m.lookup(&a)
	case "dynset":
		return m.dynset(&a)
	case "nat":
		return m.nat(&a)
	case "masq":
		return u32(a[unix.NFTA_MASQ_FLAGS]) == unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY &&
			a[unix.NFTA_MASQ_REG_PROTO_MIN] == nil && m.emit(graph.Masquerade{})
	case "reject":
		return m.reject(&a)
	case "counter":
		return m.emit(graph.Counter{})
	case "immediate":
		return m.immediate(&a)
	default:
		return false
	}
}

// exprAttrs is one more than the highest attribute of any expression in use.
const exprAttrs = 12

// store puts a value into registers.
func (m *machine) store(register []byte, v *value) (ok bool) {
	s, ok := slotOf(u32(register))
	n := slotsFor(v.length)
	if !ok || s+n > slots {
		return false
	}
	for i := range n {
		m.cells[s+i] = cell{v, i}
	}
	return true
}

func (m *machine) storeExpr(register []byte, x graph.Expr) (ok bool) {
	return m.store(register, &value{x: x, length: exprLen(m.family, x)})
}

// at gives the value of n bytes that begins at a slot; ok is false where the registers hold anything else.
func (m *machine) at(s slot, n int) (v *value, ok bool) {
	if s+slotsFor(n) > slots {
		return nil, false
	}
	v = m.cells[s].of
	if v == nil || v.length != n {
		return nil, false
	}
	for i := range slotsFor(n) {
		if (m.cells[s+i] != cell{v, i}) {
			return nil, false
		}
	}
	return v, true
}

// read gives the value of n bytes that a register attribute names.
func (m *machine) read(register []byte, n int) (v *value, ok bool) {
	s, ok := slotOf(u32(register))
	if !ok {
		return nil, false
	}
	return m.at(s, n)
}

// concat gives the expression that the registers hold for a key or data of the given fields.
func (m *machine) concat(register []byte, fields []graph.Field) (x graph.Expr, ok bool) {
	s, ok := slotOf(u32(register))
	if !ok {
		return nil, false
	}
	var parts graph.Concat
	for _, field := range fields {
		_, n := fieldType(m.family, field)
		v, ok := m.at(s, n)
		if !ok || v.x == nil || v.masked {
			return nil, false
		}
		parts = append(parts, v.x)
		s += slotsFor(n)
	}
	if len(parts) == 1 {
		return parts[0], true
	}
	return parts, true
}

func (m *machine) payload(a *[exprAttrs][]byte) (ok bool) {
	if a[unix.NFTA_PAYLOAD_SREG] != nil {
		return false
	}
	base, offset, n := u32(a[unix.NFTA_PAYLOAD_BASE]), u32(a[unix.NFTA_PAYLOAD_OFFSET]), u32(a[unix.NFTA_PAYLOAD_LEN])
	register := a[unix.NFTA_PAYLOAD_DREG]
	switch {
	case base == unix.NFT_PAYLOAD_TRANSPORT_HEADER && offset == portOffset && n == 2:
		return m.storeExpr(register, graph.DestPort)
	case base != unix.NFT_PAYLOAD_NETWORK_HEADER || n != uint32(addrLen(m.family)):
		return false
	case offset == addrOffset(m.family, graph.SourceAddr):
		return m.storeExpr(register, graph.SourceAddr)
	case offset == addrOffset(m.family, graph.DestAddr):
		return m.storeExpr(register, graph.DestAddr)
	default:
		return false
	}
}

func (m *machine) ct(a *[exprAttrs][]byte) (ok bool) {
	if a[unix.NFTA_CT_SREG] != nil {
		return false
	}
	dir := a[unix.NFTA_CT_DIRECTION]
	for c := graph.CtState; c <= graph.CtOriginalDestPort; c++ {
		key, directed := ctKey(m.family, c)
		if u32(a[unix.NFTA_CT_KEY]) != uint32(key) {
			continue
		}
		if directed && !bytes.Equal(dir, []byte{ctDirOriginal}) {
			return false
		}
		return m.storeExpr(a[unix.NFTA_CT_DREG], c)
	}
	return false
}

func (m *machine) fib(a *[exprAttrs][]byte) (ok bool) {
	if u32(a[unix.NFTA_FIB_RESULT]) != unix.NFT_FIB_RESULT_ADDRTYPE {
		return false
	}
	switch u32(a[unix.NFTA_FIB_FLAGS]) {
	case unix.NFTA_FIB_F_SADDR:
		return m.storeExpr(a[unix.NFTA_FIB_DREG], graph.FibType{Of: graph.SourceAddr})
	case unix.NFTA_FIB_F_DADDR:
		return m.storeExpr(a[unix.NFTA_FIB_DREG], graph.FibType{Of: graph.DestAddr})
	default:
		return false
	}
}

func (m *machine) hash(a *[exprAttrs][]byte) (ok bool) {
	n := int(u32(a[unix.NFTA_HASH_LEN]))
	v, ok := m.read(a[unix.NFTA_HASH_SREG], n)
	if !ok || n != addrLen(m.family) || u32(a[unix.NFTA_HASH_TYPE]) != unix.NFT_HASH_JENKINS {
		return false
	}
	// Of one address's length, and no mask: a field of the packet.
	x, ok := v.x.(graph.Payload)
	return ok && m.storeExpr(a[unix.NFTA_HASH_DREG], graph.Jhash{
		X: x, Mod: u32(a[unix.NFTA_HASH_MODULUS]), Seed: u32(a[unix.NFTA_HASH_SEED]), Offset: u32(a[unix.NFTA_HASH_OFFSET]),
	})
}

func (m *machine) bitwise(a *[exprAttrs][]byte) (ok bool) {
	mask := firstAttr(a[unix.NFTA_BITWISE_MASK], unix.NFTA_DATA_VALUE)
	xor := firstAttr(a[unix.NFTA_BITWISE_XOR], unix.NFTA_DATA_VALUE)
	n := int(u32(a[unix.NFTA_BITWISE_LEN]))
	if u32(a[nftaBitwiseOp]) != nftBitwiseBool || len(mask) != n || !zero(xor) || n > 16 {
		return false
	}
	v, ok := m.read(a[unix.NFTA_BITWISE_SREG], n)
	if !ok || v.masked {
		return false
	}
	dest := a[unix.NFTA_BITWISE_DREG]
	switch x := v.x.(type) {
	case graph.Payload:
		if x == graph.DestPort {
			return false
		}
	case graph.Ct:
		switch x {
		case graph.CtState, graph.CtStatus:
			return m.store(dest, &value{x: x, masked: true, bits: hostU32(mask), length: n})
		case graph.CtOriginalDestPort:
			return false
		case graph.CtOriginalSource, graph.CtOriginalDest:
		}
	default:
		return false
	}
	addr, _ := netip.AddrFromSlice(mask)
	return m.storeExpr(dest, graph.Masked{X: v.x, Mask: addr})
}

// byteorder accepts what nft writes before it looks a protocol up in a set of ranges, and svcctl does not: turning a
// value of one byte around in units of two, which changes nothing.
func (m *machine) byteorder(a *[exprAttrs][]byte) (ok bool) {
	n := u32(a[unix.NFTA_BYTEORDER_LEN])
	v, ok := m.read(a[unix.NFTA_BYTEORDER_SREG], int(n))
	inPlace := bytes.Equal(a[unix.NFTA_BYTEORDER_SREG], a[unix.NFTA_BYTEORDER_DREG])
	return ok && v.length == 1 && n < u32(a[unix.NFTA_BYTEORDER_SIZE]) && inPlace
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func (m *machine) cmp(a *[exprAttrs][]byte) (ok bool) {
	data := firstAttr(a[unix.NFTA_CMP_DATA], unix.NFTA_DATA_VALUE)
	v, ok := m.read(a[unix.NFTA_CMP_SREG], len(data))
	if !ok || v.x == nil || len(data) == 0 {
		return false
	}
	equal := u32(a[unix.NFTA_CMP_OP]) == unix.NFT_CMP_EQ
	if v.masked {
		value, ok := bitFrom(v.x, v.bits)
		set := u32(a[unix.NFTA_CMP_OP]) == unix.NFT_CMP_NEQ && zero(data)
		return ok && set && m.emit(graph.Match{X: v.x, Value: value})
	}
	switch v.x.(type) {
	case graph.L4Proto:
		p, ok := protoFrom(data[0])
		return ok && equal && m.emit(graph.Match{X: v.x, Value: p})
	case graph.FibType:
		return equal && hostU32(data) == unix.RTN_LOCAL && m.emit(graph.Match{X: v.x, Value: graph.AddrTypeLocal})
	default:
		return false
	}
}

// bitFrom is the inverse of bitOf.
func bitFrom(x graph.Expr, bits uint32) (v graph.Value, ok bool) {
	switch {
	case x == graph.CtState && bits == ctStateNew:
		return graph.CtNew, true
	case x == graph.CtStatus && bits == ctStatusDNAT:
		return graph.CtDNAT, true
	default:
		return nil, false
	}
}

func (m *machine) lookup(a *[exprAttrs][]byte) (ok bool) {
	s := m.sets[str(a[unix.NFTA_LOOKUP_SET])]
	if s == nil || s.Key == nil {
		return false
	}
	x, ok := m.concat(a[unix.NFTA_LOOKUP_SREG], s.Key)
	if !ok {
		return false
	}
	flags, dest := u32(a[unix.NFTA_LOOKUP_FLAGS]), a[unix.NFTA_LOOKUP_DREG]
	switch {
	case dest == nil:
		return !s.IsMap() && flags&^unix.NFT_LOOKUP_F_INV == 0 &&
			m.emit(graph.MatchSet{X: x, Not: flags == unix.NFT_LOOKUP_F_INV, Set: s.Name})
	case flags != 0 || !s.IsMap():
		return false
	case s.IsVerdictMap():
		return u32(dest) == unix.NFT_REG_VERDICT && m.emit(graph.LookupVerdict{X: x, Map: s.Name})
	default:
		_, n := concatType(m.family, s.Data)
		found := &value{from: s.Name, key: x, length: n}
		ok := m.found == nil && m.store(dest, found)
		m.found = found
		return ok
	}
}

// nat is a destination translation to the address and port that a lookup found.
func (m *machine) nat(a *[exprAttrs][]byte) (ok bool) {
	const usual = unix.NF_NAT_RANGE_MAP_IPS | unix.NF_NAT_RANGE_PROTO_SPECIFIED
	same := func(first, last int) bool { return a[last] == nil || bytes.Equal(a[first], a[last]) }
	if u32(a[unix.NFTA_NAT_TYPE]) != unix.NFT_NAT_DNAT || u32(a[unix.NFTA_NAT_FAMILY]) != uint32(familyOf(m.family)) ||
		u32(a[unix.NFTA_NAT_FLAGS])&^usual != 0 ||
		!same(unix.NFTA_NAT_REG_ADDR_MIN, unix.NFTA_NAT_REG_ADDR_MAX) ||
		!same(unix.NFTA_NAT_REG_PROTO_MIN, unix.NFTA_NAT_REG_PROTO_MAX) || m.found == nil {
		return false
	}
	v, ok := m.read(a[unix.NFTA_NAT_REG_ADDR_MIN], m.found.length)
	if !ok || v != m.found {
		return false
	}
	port, ok := slotOf(u32(a[unix.NFTA_NAT_REG_PROTO_MIN]))
	if !ok || (m.cells[port] != cell{v, slotsFor(addrLen(m.family))}) {
		return false
	}
	m.found = nil
	return m.emit(graph.DNAT{X: v.key, Map: v.from})
}

func (m *machine) dynset(a *[exprAttrs][]byte) (ok bool) {
	s := m.sets[str(a[unix.NFTA_DYNSET_SET_NAME])]
	if s == nil || s.Key == nil || !s.IsMap() || s.IsVerdictMap() ||
		u32(a[unix.NFTA_DYNSET_OP]) != unix.NFT_DYNSET_OP_UPDATE || u32(a[unix.NFTA_DYNSET_FLAGS]) != 0 ||
		a[unix.NFTA_DYNSET_EXPR] != nil || a[nftaDynsetExpressions] != nil {
		return false
	}
	key, ok := m.concat(a[unix.NFTA_DYNSET_SREG_KEY], s.Key)
	if !ok {
		return false
	}
	data, ok := m.concat(a[unix.NFTA_DYNSET_SREG_DATA], s.Data)
	if !ok {
		return false
	}
	timeout := time.Duration(u64(a[unix.NFTA_DYNSET_TIMEOUT])) * time.Millisecond
	return m.emit(graph.Update{Map: s.Name, Key: key, Timeout: timeout, Data: data})
}

func (m *machine) reject(a *[exprAttrs][]byte) (ok bool) {
	typ, code := u32(a[unix.NFTA_REJECT_TYPE]), a[unix.NFTA_REJECT_ICMP_CODE]
	unreachable := byte(icmpPortUnreachable)
	if m.family == graph.IPv6 {
		unreachable = icmpv6PortUnreachable
	}
	switch {
	case typ == unix.NFT_REJECT_TCP_RST:
		return m.emit(graph.Reject{With: graph.TCPReset})
	case typ == unix.NFT_REJECT_ICMP_UNREACH && bytes.Equal(code, []byte{unreachable}):
		return m.emit(graph.Reject{With: graph.PortUnreachable})
	default:
		return false
	}
}

func (m *machine) immediate(a *[exprAttrs][]byte) (ok bool) {
	register := a[unix.NFTA_IMMEDIATE_DREG]
	if len(register) != 4 || u32(register) != unix.NFT_REG_VERDICT {
		return false
	}
	v, ok := decodeVerdict(firstAttr(a[unix.NFTA_IMMEDIATE_DATA], unix.NFTA_DATA_VERDICT))
	return ok && m.emit(graph.Do{Verdict: v})
}
