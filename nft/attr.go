package nft

import (
	"encoding/binary"
	"iter"
)

// Netlink attributes (include/uapi/linux/netlink.h, struct nlattr): a length and a type of 16 bits each in the byte order
// of the host, then the value, padded to four bytes. The values of nf_tables are in network byte order.

const (
	attrHeader = 4
	attrNested = 0x8000 // NLA_F_NESTED
	attrMax    = 0xffff // the length, header included, has 16 bits
)

// align4 rounds a length up to the alignment of netlink and of nf_tables registers.
func align4(n int) int { return (n + 3) &^ 3 }

// appendPad pads the buffer to four bytes. Buffers begin aligned.
func appendPad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendAttrHeader(b []byte, typ uint16, valueLen int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+valueLen))
	return binary.NativeEndian.AppendUint16(b, typ)
}

func appendBytes(b []byte, typ uint16, v []byte) []byte {
	return appendPad(append(appendAttrHeader(b, typ, len(v)), v...))
}

// appendString adds a string with the final NUL that the kernel wants.
func appendString(b []byte, typ uint16, v string) []byte {
	b = append(appendAttrHeader(b, typ, len(v)+1), v...)
	return appendPad(append(b, 0))
}

func appendU32(b []byte, typ uint16, v uint32) []byte {
	return binary.BigEndian.AppendUint32(appendAttrHeader(b, typ, 4), v)
}

func appendU64(b []byte, typ uint16, v uint64) []byte {
	return binary.BigEndian.AppendUint64(appendAttrHeader(b, typ, 8), v)
}

// openNested begins a nested attribute; closeNested, given its start, ends it.
func openNested(b []byte, typ uint16) (buf []byte, start int) {
	return appendAttrHeader(b, typ|attrNested, 0), len(b)
}

func closeNested(b []byte, start int) {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
}

// attrs walks over the attributes in b. A malformed rest is left out: what is missing then is the caller's to notice.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrHeader {
			n := int(binary.NativeEndian.Uint16(b))
			if n < attrHeader || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[attrHeader:n:n]) {
				return
			}
			b = b[min(align4(n), len(b)):]
		}
	}
}

// parseAttrs puts the value of each attribute into the place of its type. Types beyond the table are left out: a newer
// kernel may say more about an object than svcctl knows to ask.
func parseAttrs(b []byte, table [][]byte) {
	for typ, v := range attrs(b) {
		if int(typ) < len(table) {
			table[typ] = v
		}
	}
}

// firstAttr gives the value of the first attribute of a type, or nil.
func firstAttr(b []byte, typ uint16) []byte {
	for t, v := range attrs(b) {
		if t == typ {
			return v
		}
	}
	return nil
}

// u32 reads a value in network byte order; 0 for a missing or malformed one.
func u32(v []byte) uint32 {
	if len(v) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

// u64 reads a value in network byte order; 0 for a missing or malformed one.
func u64(v []byte) uint64 {
	if len(v) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}

// str reads a string up to its NUL.
func str(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// hostU32 reads the first four bytes in the byte order of the host.
func hostU32(v []byte) uint32 { return binary.NativeEndian.Uint32(v) }
