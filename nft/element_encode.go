package nft

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// The elements of a set are by far the most of a transaction. They are written straight into the batch, which is large
// enough from the start: nothing here allocates.

// elementSize gives the exact number of bytes that appendElement adds.
func (sh *shape) elementSize(e *graph.Element, withData bool) int {
	_, last := sh.bounds(&e.Key)
	key := 2*attrHeader + align4(sh.keyLen)
	n := attrHeader + key
	switch {
	case sh.tree() && last.Next().IsValid():
		n += attrHeader + key + 2*attrHeader // the end, with its flags
	case sh.ranged >= 0 && !sh.tree():
		n += key
	}
	if !withData {
		return n
	}
	switch {
	case sh.verdict && e.Data.Verdict.Chain != "":
		n += 5*attrHeader + align4(len(e.Data.Verdict.Chain)+1)
	case sh.verdict:
		n += 4 * attrHeader
	case sh.dataLen > 0:
		n += 2*attrHeader + sh.dataLen
	}
	return n
}

// listSize gives what the elements of a list take together. All are as long as the first, but for the names of chains and
// the ends of ranges in a tree.
func (sh *shape) listSize(l graph.Elements, withData bool) int {
	n := 0
	for i := range l.Len() {
		e := l.At(i)
		size := sh.elementSize(&e, withData)
		if !sh.tree() && (!withData || !sh.verdict) {
			return size * l.Len()
		}
		n += size
	}
	return n
}

// appendElement adds an element to a list of elements: the key, and with withData what the map holds for it.
func (sh *shape) appendElement(b []byte, e *graph.Element, withData bool) []byte {
	first, last := sh.bounds(&e.Key)
	b, elem := openNested(b, unix.NFTA_LIST_ELEM)
	b = sh.appendKey(b, unix.NFTA_SET_ELEM_KEY, &e.Key, first)
	if sh.ranged >= 0 && !sh.tree() {
		b = sh.appendKey(b, nftaSetElemKeyEnd, &e.Key, last)
	}
	if withData {
		b = sh.appendData(b, &e.Data)
	}
	closeNested(b, elem)
	end := last.Next()
	if !sh.tree() || !end.IsValid() {
		return b
	}
	b, elem = openNested(b, unix.NFTA_LIST_ELEM)
	b = sh.appendKey(b, unix.NFTA_SET_ELEM_KEY, &e.Key, end)
	b = appendU32(b, unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	closeNested(b, elem)
	return b
}

// lifetimeSize gives the number of bytes that a lifetime adds to an element.
func lifetimeSize(l graph.Lifetime) int {
	if l.Timeout <= 0 {
		return 0
	}
	return 2 * (attrHeader + 8)
}

// appendExpiring adds an element of a set that is no tree, with its data and the time that is left to it. The kernel counts
// in milliseconds, and takes neither none nor more than the timeout.
func (sh *shape) appendExpiring(b []byte, e *graph.Element, l graph.Lifetime) []byte {
	start := len(b)
	b = sh.appendElement(b, e, true)
	if l.Timeout <= 0 {
		return b
	}
	timeout := max(l.Timeout.Milliseconds(), 1)
	b = appendU64(b, unix.NFTA_SET_ELEM_TIMEOUT, uint64(timeout))
	b = appendU64(b, unix.NFTA_SET_ELEM_EXPIRATION, uint64(min(max(l.Expires.Milliseconds(), 1), timeout)))
	closeNested(b, start)
	return b
}

// appendKey adds a key, with the given address in place of the one that may be a range.
func (sh *shape) appendKey(b []byte, typ uint16, k *graph.Key, ranged netip.Addr) []byte {
	b = appendAttrHeader(b, typ|attrNested, attrHeader+align4(sh.keyLen))
	b = appendAttrHeader(b, unix.NFTA_DATA_VALUE, sh.keyLen)
	addr, port := k.Addr, k.Port
	for i, field := range sh.key {
		switch field {
		case graph.AddrField:
			if i == sh.ranged {
				addr = ranged
			}
			b = sh.appendAddr(b, addr)
			addr = k.Peer
		case graph.ProtoField:
			b = append(b, protoNumber(k.Proto), 0, 0, 0)
		case graph.PortField:
			b = append(binary.BigEndian.AppendUint16(b, port), 0, 0)
			port = k.PeerPort
		case graph.SlotField:
			b = binary.NativeEndian.AppendUint32(b, k.Slot)
		case graph.VerdictField:
			panic("nft: a verdict as key")
		}
	}
	return b
}

func (sh *shape) appendAddr(b []byte, a netip.Addr) []byte {
	if !sh.family.Of(a) {
		panic("nft: address " + a.String() + " in a table of family " + sh.family.String())
	}
	if sh.family == graph.IPv6 {
		v := a.As16()
		return append(b, v[:]...)
	}
	v := a.As4()
	return append(b, v[:]...)
}

func (sh *shape) appendData(b []byte, d *graph.Data) []byte {
	switch {
	case sh.verdict:
		b, data := openNested(b, unix.NFTA_SET_ELEM_DATA)
		b = appendVerdict(b, d.Verdict)
		closeNested(b, data)
		return b
	case sh.dataLen > 0:
		b = appendAttrHeader(b, unix.NFTA_SET_ELEM_DATA|attrNested, attrHeader+sh.dataLen)
		b = appendAttrHeader(b, unix.NFTA_DATA_VALUE, sh.dataLen)
		b = sh.appendAddr(b, d.Addr)
		return append(binary.BigEndian.AppendUint16(b, d.Port), 0, 0)
	default:
		return b
	}
}
