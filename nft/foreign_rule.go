package nft

import (
	"bytes"
	"context"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/foreign"
)

// Operators of comparisons and ranges that are not in package unix under a name of their own here.
const (
	nftCmpEq  = unix.NFT_CMP_EQ
	nftCmpNeq = unix.NFT_CMP_NEQ
	nftCmpLt  = unix.NFT_CMP_LT
	nftCmpLte = unix.NFT_CMP_LTE
	nftCmpGt  = unix.NFT_CMP_GT
	nftCmpGte = unix.NFT_CMP_GTE

	metaIIF, metaOIF         = unix.NFT_META_IIF, unix.NFT_META_OIF
	metaIIFName, metaOIFName = unix.NFT_META_IIFNAME, unix.NFT_META_OIFNAME
)

// loaded is what a register of a foreign rule holds.
type loaded struct {
	field    foreign.Field
	name     bool // the name of an interface
	index    bool // its number
	out      bool // the outgoing one
	bits     bool // masked bits of a field of the host's byte order
	mask     uint32
	prefix   []byte // Destination: what a mask leaves; nil for all
	length   int
	hostByte bool // a number of 32 bits in the byte order of the host
}

// foreignMachine translates the expressions of a rule that anybody may have written. What it does not know becomes
// [foreign.Unknown], or nothing where it lets every packet go on.
type foreignMachine struct {
	reader *foreignReader
	ctx    context.Context
	table  *foreignTable
	cells  map[slot]loaded
	proto  uint8 // NFPROTO, as far as the rule has compared it
	rule   foreign.Rule
}

func (r *foreignReader) decodeRule(ctx context.Context, t *foreignTable, i ruleInfo) (foreign.Rule, error) {
	m := foreignMachine{reader: r, ctx: ctx, table: t, cells: map[slot]loaded{}, proto: t.family}
	for _, e := range attrs(i.expressions) {
		var a [unix.NFTA_EXPR_DATA + 1][]byte
		parseAttrs(e, a[:])
		var d [exprAttrs][]byte
		parseAttrs(a[unix.NFTA_EXPR_DATA], d[:])
		if err := m.step(str(a[unix.NFTA_EXPR_NAME]), &d); err != nil {
			return foreign.Rule{}, err
		}
	}
	return m.rule, nil
}

func (m *foreignMachine) emit(t foreign.Term) { m.rule.Terms = append(m.rule.Terms, t) }

// store says what a register holds from now on.
func (m *foreignMachine) store(register []byte, v loaded) {
	if s, ok := slotOf(u32(register)); ok {
		for i := slot(0); i < max(slotsFor(v.length), 1); i++ {
			delete(m.cells, s+i)
		}
		m.cells[s] = v
	}
}

func (m *foreignMachine) at(register []byte) loaded {
	s, ok := slotOf(u32(register))
	if !ok {
		return loaded{}
	}
	return m.cells[s]
}

func (m *foreignMachine) step(name string, a *[exprAttrs][]byte) error {
	switch name {
	case "payload":
		m.payload(a)
	case "meta":
		m.meta(a)
	case "ct":
		m.ct(a)
	case "fib":
		m.fib(a)
	case "bitwise":
		m.bitwise(a)
	case "cmp":
		m.cmp(a)
	case "range":
		m.between(a)
	case "lookup":
		return m.lookup(a)
	case "immediate":
		if u32(a[unix.NFTA_IMMEDIATE_DREG]) == unix.NFT_REG_VERDICT {
			m.verdict(firstAttr(a[unix.NFTA_IMMEDIATE_DATA], unix.NFTA_DATA_VERDICT))
		} else {
			m.store(a[unix.NFTA_IMMEDIATE_DREG], loaded{length: 4})
		}
	case "nat":
		if u32(a[unix.NFTA_NAT_TYPE]) == unix.NFT_NAT_DNAT {
			m.emit(foreign.Verdict{Op: foreign.Translate})
		} else {
			m.emit(foreign.Verdict{Op: foreign.Accept})
		}
	case "redir", "tproxy":
		m.emit(foreign.Verdict{Op: foreign.Translate})
	case "masq":
		m.emit(foreign.Verdict{Op: foreign.Accept})
	case "reject":
		m.emit(foreign.Verdict{Op: foreign.Reject})
	case "queue":
		m.emit(foreign.Verdict{Op: foreign.Queue})
	case "notrack":
		m.emit(foreign.Verdict{Op: foreign.NoTrack})
	case "match":
		m.xtMatch(str(a[1]), u32(a[2]), a[3])
	case "target":
		m.xtTarget(str(a[1]), u32(a[2]), a[3])
	case "counter", "log", "last", "dup", "flow_offload", "byteorder":
		if name == "byteorder" {
			m.store(a[unix.NFTA_BYTEORDER_DREG], loaded{length: 4})
		}
	default:
		m.emit(foreign.Unknown{})
		// It may have written any register.
		clear(m.cells)
	}
	return nil
}

func (m *foreignMachine) payload(a *[exprAttrs][]byte) {
	if a[unix.NFTA_PAYLOAD_SREG] != nil {
		return // it writes to the packet
	}
	base, offset, n := u32(a[unix.NFTA_PAYLOAD_BASE]), u32(a[unix.NFTA_PAYLOAD_OFFSET]), int(u32(a[unix.NFTA_PAYLOAD_LEN]))
	v := loaded{length: n}
	switch {
	case base == unix.NFT_PAYLOAD_TRANSPORT_HEADER && offset == portOffset && n == 2:
		v.field = foreign.DestinationPort
	case base != unix.NFT_PAYLOAD_NETWORK_HEADER:
	case m.proto == unix.NFPROTO_IPV4 && offset == ipv4DestOffset && n <= 4,
		m.proto == unix.NFPROTO_IPV6 && offset == ipv6DestOffset && n <= 16:
		v.field = foreign.Destination
	case m.proto == unix.NFPROTO_IPV4 && offset == 9 && n == 1, m.proto == unix.NFPROTO_IPV6 && offset == 6 && n == 1:
		v.field = foreign.Protocol
	}
	m.store(a[unix.NFTA_PAYLOAD_DREG], v)
}

func (m *foreignMachine) meta(a *[exprAttrs][]byte) {
	if a[unix.NFTA_META_SREG] != nil {
		return // it sets a mark or the like
	}
	v := loaded{length: 4}
	switch u32(a[unix.NFTA_META_KEY]) {
	case unix.NFT_META_L4PROTO:
		v.field, v.length = foreign.Protocol, 1
	case unix.NFT_META_NFPROTO:
		v.field, v.length = foreign.NetworkFamily, 1
	case metaIIFName:
		v.name, v.length = true, 16
	case metaOIFName:
		v.name, v.out, v.length = true, true, 16
	case metaIIF:
		v.index = true
	case metaOIF:
		v.index, v.out = true, true
	}
	m.store(a[unix.NFTA_META_DREG], v)
}

func (m *foreignMachine) ct(a *[exprAttrs][]byte) {
	if a[unix.NFTA_CT_SREG] != nil {
		return
	}
	v := loaded{length: 4}
	switch u32(a[unix.NFTA_CT_KEY]) {
	case unix.NFT_CT_STATE:
		v.field, v.hostByte = foreign.State, true
	case unix.NFT_CT_STATUS:
		v.field, v.hostByte = foreign.Status, true
	}
	m.store(a[unix.NFTA_CT_DREG], v)
}

func (m *foreignMachine) fib(a *[exprAttrs][]byte) {
	v := loaded{length: 4}
	if u32(a[unix.NFTA_FIB_RESULT]) == unix.NFT_FIB_RESULT_ADDRTYPE && u32(a[unix.NFTA_FIB_FLAGS]) == unix.NFTA_FIB_F_DADDR {
		v.field, v.hostByte = foreign.DestinationType, true
	}
	m.store(a[unix.NFTA_FIB_DREG], v)
}

func (m *foreignMachine) bitwise(a *[exprAttrs][]byte) {
	mask := firstAttr(a[unix.NFTA_BITWISE_MASK], unix.NFTA_DATA_VALUE)
	xor := firstAttr(a[unix.NFTA_BITWISE_XOR], unix.NFTA_DATA_VALUE)
	v := m.at(a[unix.NFTA_BITWISE_SREG])
	out := loaded{length: v.length}
	if u32(a[nftaBitwiseOp]) == nftBitwiseBool && zero(xor) && len(mask) > 0 {
		switch {
		case v.field == foreign.Destination && v.prefix == nil && isPrefix(mask):
			out = v
			out.prefix = bytes.Clone(mask)
		case (v.field == foreign.State || v.field == foreign.Status) && !v.bits:
			out = v
			out.bits, out.mask = true, hostU32(mask)
		}
	}
	m.store(a[unix.NFTA_BITWISE_DREG], out)
}

// isPrefix reports whether a mask is ones and then zeroes.
func isPrefix(mask []byte) bool {
	ended := false
	for _, b := range mask {
		for bit := 7; bit >= 0; bit-- {
			one := b>>bit&1 == 1
			if one && ended {
				return false
			}
			ended = ended || !one
		}
	}
	return true
}

func (m *foreignMachine) cmp(a *[exprAttrs][]byte) {
	data, op := firstAttr(a[unix.NFTA_CMP_DATA], unix.NFTA_DATA_VALUE), u32(a[unix.NFTA_CMP_OP])
	v := m.at(a[unix.NFTA_CMP_SREG])
	switch {
	case len(data) == 0:
		m.emit(foreign.Unknown{})
	case v.name || v.index:
		if op != nftCmpEq && op != nftCmpNeq {
			m.emit(foreign.Unknown{})
			return
		}
		name, ok := m.linkName(v, data)
		if !ok {
			m.emit(foreign.Unknown{})
			return
		}
		m.emit(foreign.MatchInterface{Out: v.out, Not: op == nftCmpNeq, Names: []string{name}})
	case v.bits:
		if op != nftCmpNeq && op != nftCmpEq || !zero(data) {
			m.emit(foreign.Unknown{})
			return
		}
		m.emit(foreign.MatchBits{Field: v.field, Not: op == nftCmpEq, Bits: v.mask})
	default:
		if v.field == foreign.NetworkFamily && op == nftCmpEq && m.table.family == unix.NFPROTO_INET {
			m.proto = data[0]
		}
		r, ok := v.span(data, data)
		if !ok {
			m.emit(foreign.Unknown{})
			return
		}
		match := foreign.Match{Field: v.field}
		var highest foreign.Value
		for i := range highest {
			highest[i] = 0xff
		}
		switch op {
		case nftCmpEq:
			match.In = []foreign.Range{r}
		case nftCmpNeq:
			match.In, match.Not = []foreign.Range{r}, true
		case nftCmpGt:
			match.In, match.Not = []foreign.Range{{Last: r.Last}}, true
		case nftCmpGte:
			match.In = []foreign.Range{{First: r.First, Last: highest}}
		case nftCmpLt:
			match.In, match.Not = []foreign.Range{{First: r.First, Last: highest}}, true
		case nftCmpLte:
			match.In = []foreign.Range{{Last: r.Last}}
		default:
			m.emit(foreign.Unknown{})
			return
		}
		m.emit(match)
	}
}

// linkName reads the name or number of an interface. What is compared without the NUL at its end is a beginning.
func (m *foreignMachine) linkName(v loaded, data []byte) (string, bool) {
	if v.index {
		name, ok := m.table.links[hostU32(append(bytes.Clone(data), 0, 0, 0, 0))]
		return name, ok
	}
	name := str(data)
	if len(data) < 16 && !bytes.Contains(data, []byte{0}) {
		name += "*"
	}
	return name, true
}

// span makes a range of what a register is compared with. Of an address that a mask or a load has shortened, it is all
// addresses that begin so.
func (v loaded) span(first, last []byte) (r foreign.Range, ok bool) {
	switch {
	case v.field == foreign.Other:
		return r, false
	case v.field == foreign.Destination:
		size := 4
		if len(first) > 4 || v.length > 4 {
			size = 16
		}
		return foreign.Range{First: addressValue(first, v.prefix, size, 0), Last: addressValue(last, v.prefix, size, 0xff)}, true
	case v.hostByte:
		if len(first) != 4 || len(last) != 4 {
			return r, false
		}
		return foreign.Range{First: foreign.Number(hostU32(first)), Last: foreign.Number(hostU32(last))}, true
	default:
		return foreign.Range{First: numberValue(first[:min(len(first), v.length)]), Last: numberValue(last[:min(len(last), v.length)])}, true
	}
}

// numberValue makes a value of bytes, big end first.
func numberValue(b []byte) (v foreign.Value) {
	copy(v[len(v)-len(b):], b)
	return v
}

// addressValue fills the bits of an address that are not compared with zeroes or ones.
func addressValue(b, mask []byte, size int, fill byte) foreign.Value {
	full := bytes.Repeat([]byte{fill}, size)
	copy(full, b[:min(len(b), size)])
	for i := range min(len(mask), size) {
		full[i] = full[i]&mask[i] | fill&^mask[i]
	}
	return numberValue(full)
}

func (m *foreignMachine) between(a *[exprAttrs][]byte) {
	const sreg, op, from, to = 1, 2, 3, 4 // NFTA_RANGE_SREG and so on
	v := m.at(a[sreg])
	first, last := firstAttr(a[from], unix.NFTA_DATA_VALUE), firstAttr(a[to], unix.NFTA_DATA_VALUE)
	if len(first) == 0 || len(first) != len(last) || v.name || v.index || v.bits {
		m.emit(foreign.Unknown{})
		return
	}
	r, ok := v.span(first, last)
	if !ok {
		m.emit(foreign.Unknown{})
		return
	}
	m.emit(foreign.Match{Field: v.field, Not: u32(a[op]) == nftCmpNeq, In: []foreign.Range{r}})
}

func (m *foreignMachine) lookup(a *[exprAttrs][]byte) error {
	v := m.at(a[unix.NFTA_LOOKUP_SREG])
	s := m.table.sets[str(a[unix.NFTA_LOOKUP_SET])]
	dest := a[unix.NFTA_LOOKUP_DREG]
	if dest != nil && u32(dest) != unix.NFT_REG_VERDICT {
		m.emit(foreign.Unknown{}) // what is found is data of something else
		m.store(dest, loaded{length: 4})
		return nil
	}
	// More than one register is a concatenation.
	one := s != nil && align4(s.keyLen) == align4(max(v.length, 1)) && v.prefix == nil
	if s == nil || dest == nil && (!one || v.field == foreign.Other && !v.name) {
		m.emit(foreign.Unknown{})
		return nil
	}
	// Maps of service addresses are read in whole elsewhere, and compared there.
	ok, err := false, error(nil)
	if one || s.count >= 0 && s.count <= maxForeignBranches {
		ok, err = m.reader.elements(m.ctx, m.table, s, maxForeignElements)
	}
	if err != nil {
		return err
	}
	if dest == nil {
		m.emit(m.setMatch(v, s, ok, u32(a[unix.NFTA_LOOKUP_FLAGS])&unix.NFT_LOOKUP_F_INV != 0))
		return nil
	}
	if !ok {
		m.emit(foreign.VerdictMap{Entries: []foreign.VerdictEntry{
			{Verdict: foreign.Verdict{Op: foreign.Accept}}, {Verdict: foreign.Verdict{Op: foreign.Drop}},
		}})
		return nil
	}
	vm := foreign.VerdictMap{Field: v.field, Names: v.name && one, Out: v.out}
	if !one || v.bits || v.index {
		vm.Field = foreign.Other
	}
	for _, e := range s.elements {
		entry := foreign.VerdictEntry{Verdict: foreignVerdict(e.verdict)}
		if vm.Names {
			entry.Name = elementName(e)
		} else if r, ok := v.span(e.first, e.last); ok {
			entry.In = r
		} else {
			vm.Field = foreign.Other
		}
		vm.Entries = append(vm.Entries, entry)
	}
	m.emit(vm)
	return nil
}

// setMatch makes the match of a set whose elements are known, or not.
func (m *foreignMachine) setMatch(v loaded, s *foreignSet, known, not bool) foreign.Term {
	const dynamic = unix.NFT_SET_EVAL | unix.NFT_SET_TIMEOUT
	if !known || v.bits || v.index || s.flags&dynamic != 0 {
		return foreign.Unknown{}
	}
	if v.name {
		match := foreign.MatchInterface{Out: v.out, Not: not}
		for _, e := range s.elements {
			match.Names = append(match.Names, elementName(e))
		}
		return match
	}
	match := foreign.Match{Field: v.field, Not: not}
	for _, e := range s.elements {
		r, ok := v.span(e.first, e.last)
		if !ok {
			return foreign.Unknown{}
		}
		match.In = append(match.In, r)
	}
	return match
}

// elementName reads an interface's name; a range of names is a beginning and anything.
func elementName(e foreignElement) string {
	name := str(e.first)
	if !bytes.Equal(e.first, e.last) {
		name = strings.TrimRight(name, "\x00") + "*"
	}
	return name
}

func (m *foreignMachine) verdict(b []byte) { m.emit(foreignVerdict(b)) }

// foreignVerdict reads a verdict. Of accept, drop and queue the kernel's number has more than eight bits of use.
func foreignVerdict(b []byte) foreign.Verdict {
	chain := str(firstAttr(b, unix.NFTA_VERDICT_CHAIN))
	switch code := int32(u32(firstAttr(b, unix.NFTA_VERDICT_CODE))); code {
	case unix.NFT_CONTINUE:
		return foreign.Verdict{Op: foreign.Continue}
	case unix.NFT_JUMP:
		return foreign.Verdict{Op: foreign.Jump, Chain: chain}
	case unix.NFT_GOTO:
		return foreign.Verdict{Op: foreign.Goto, Chain: chain}
	case unix.NFT_RETURN:
		return foreign.Verdict{Op: foreign.Return}
	case unix.NFT_BREAK:
		return foreign.Verdict{Op: foreign.Continue}
	default:
		switch code & 0xff {
		case nfAccept:
			return foreign.Verdict{Op: foreign.Accept}
		case 3: // NF_QUEUE
			return foreign.Verdict{Op: foreign.Queue}
		default:
			return foreign.Verdict{Op: foreign.Drop}
		}
	}
}

func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}
