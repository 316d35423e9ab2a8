package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// User data are opaque to the kernel: nft keeps there what it needs to list an object as it was written. The types are
// libnftnl's (include/libnftnl/udata.h); a record is a type and a length of 8 bits each and a value, numbers in the byte
// order of the host.

const (
	udataTableComment = 0 // NFTNL_UDATA_TABLE_COMMENT

	udataSetKeyByteOrder = 0 // NFTNL_UDATA_SET_KEYBYTEORDER
	udataSetKeyTypeof    = 3 // NFTNL_UDATA_SET_KEY_TYPEOF
	udataSetDataTypeof   = 4 // NFTNL_UDATA_SET_DATA_TYPEOF

	udataTypeofExpr = 0 // NFTNL_UDATA_SET_TYPEOF_EXPR
	udataTypeofData = 1 // NFTNL_UDATA_SET_TYPEOF_DATA
)

// Expression types of nft (include/expression.h, enum expr_types), which typeof user data are made of.
const (
	typeofPayload = 7
	typeofMeta    = 9
	typeofConcat  = 13
	typeofNumgen  = 23
)

// Protocol descriptions and header fields of nft (include/proto.h, enum proto_desc_id and the field enumerations).
const (
	descTransport = 11 // th
	descIPv4      = 12 // ip
	descIPv6      = 13 // ip6

	fieldIPv4Dest      = 12
	fieldIPv6Dest      = 9
	fieldTransportDest = 2
)

// slotModulus is written for slots in typeof: "numgen random mod 65536", all slots that there can be.
const slotModulus = 1 << 16

// byteOrderBig is BYTEORDER_BIG_ENDIAN of nft (include/datatype.h).
const byteOrderBig = 2

// udata adds a record whose value is made by fn.
func udata(b []byte, typ uint8, fn func([]byte) []byte) []byte {
	start := len(b)
	b = fn(append(b, typ, 0))
	b[start+1] = uint8(len(b) - start - 2)
	return b
}

func udataU32(b []byte, typ uint8, v uint32) []byte {
	return binary.NativeEndian.AppendUint32(append(b, typ, 4), v)
}

// udataFirst gives the value of the first record of a type, or nil.
func udataFirst(b []byte, typ uint8) []byte {
	for len(b) >= 2 && int(b[1])+2 <= len(b) {
		if b[0] == typ {
			return b[2 : 2+b[1]]
		}
		b = b[2+b[1]:]
	}
	return nil
}

// tableUserdata holds the comment of a table.
func tableUserdata(comment string) []byte {
	return udata(nil, udataTableComment, func(b []byte) []byte { return append(append(b, comment...), 0) })
}

// setUserdata says how the keys and data of a set are to be listed. A key of one field is in network byte order. A key
// with a slot has no type by name in nft and is written as typeof, and then the data are too.
func setUserdata(f graph.Family, s *graph.Set) []byte {
	var b []byte
	if len(s.Key) == 1 {
		b = udataU32(b, udataSetKeyByteOrder, byteOrderBig)
	}
	if !hasSlot(s) {
		return b
	}
	b = typeofFields(b, udataSetKeyTypeof, f, s.Key)
	if s.IsMap() && !s.IsVerdictMap() {
		b = typeofFields(b, udataSetDataTypeof, f, s.Data)
	}
	return b
}

func hasSlot(s *graph.Set) bool {
	for _, f := range s.Key {
		if f == graph.SlotField {
			return true
		}
	}
	return false
}

// typeofFields writes the concatenation of a typeof: "ip daddr . meta l4proto . th dport".
func typeofFields(b []byte, typ uint8, f graph.Family, fields []graph.Field) []byte {
	return udata(b, typ, func(b []byte) []byte {
		b = udataU32(b, udataTypeofExpr, typeofConcat)
		return udata(b, udataTypeofData, func(b []byte) []byte {
			for i, field := range fields {
				b = udata(b, uint8(i), func(b []byte) []byte { return typeofField(b, f, field) })
			}
			return b
		})
	})
}

func typeofField(b []byte, f graph.Family, field graph.Field) []byte {
	switch field {
	case graph.AddrField:
		if f == graph.IPv6 {
			return typeofNumbers(b, typeofPayload, descIPv6, fieldIPv6Dest)
		}
		return typeofNumbers(b, typeofPayload, descIPv4, fieldIPv4Dest)
	case graph.ProtoField:
		return typeofNumbers(b, typeofMeta, unix.NFT_META_L4PROTO)
	case graph.PortField:
		return typeofNumbers(b, typeofPayload, descTransport, fieldTransportDest)
	case graph.SlotField:
		return typeofNumbers(b, typeofNumgen, unix.NFT_NG_RANDOM, slotModulus, 0)
	default:
		panic("nft: a verdict in a concatenation")
	}
}

// typeofNumbers writes one expression: its type and its numbered attributes.
func typeofNumbers(b []byte, expression uint32, numbers ...uint32) []byte {
	b = udataU32(b, udataTypeofExpr, expression)
	return udata(b, udataTypeofData, func(b []byte) []byte {
		for i, n := range numbers {
			b = udataU32(b, uint8(i), n)
		}
		return b
	})
}
