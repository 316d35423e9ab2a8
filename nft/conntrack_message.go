package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// Messages of the kernel's connection tracking (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const (
	ctMsgGet      = 1 // IPCTNL_MSG_CT_GET
	ctMsgDelete   = 2 // IPCTNL_MSG_CT_DELETE
	ctMsgGetStats = 5 // IPCTNL_MSG_CT_GET_STATS

	ctaStatsGlobalEntries = 1 // CTA_STATS_GLOBAL_ENTRIES

	ctaTupleOrig  = 1  // CTA_TUPLE_ORIG
	ctaTupleReply = 2  // CTA_TUPLE_REPLY
	ctaID         = 12 // CTA_ID
	ctaZone       = 18 // CTA_ZONE
	ctaFilter     = 25 // CTA_FILTER, Linux 5.8

	ctaTupleIP      = 1 // CTA_TUPLE_IP
	ctaTupleProto   = 2 // CTA_TUPLE_PROTO
	ctaIPv4Src      = 1 // CTA_IP_V4_SRC
	ctaIPv4Dst      = 2 // CTA_IP_V4_DST
	ctaIPv6Src      = 3 // CTA_IP_V6_SRC
	ctaIPv6Dst      = 4 // CTA_IP_V6_DST
	ctaProtoNum     = 1 // CTA_PROTO_NUM
	ctaProtoSrcPort = 2 // CTA_PROTO_SRC_PORT
	ctaProtoDstPort = 3 // CTA_PROTO_DST_PORT

	ctaFilterOrigFlags = 1 // CTA_FILTER_ORIG_FLAGS
	// Which parts of the original tuple a filter compares (include/linux/netfilter/nf_internals.h, CTA_FILTER_F_*).
	ctFilterIPDst        = 1 << 1
	ctFilterProtoNum     = 1 << 3
	ctFilterProtoDstPort = 1 << 5
)

// ctType makes the type of a connection tracking message.
func ctType(msg uint16) uint16 { return unix.NFNL_SUBSYS_CTNETLINK<<8 | msg }

// filter gives the attributes that have the kernel list only what is asked for. A kernel before 5.8 does not know them and
// lists everything of the family.
func (q *flowQuery) filter() []byte {
	flags := uint32(ctFilterProtoNum)
	b, tuple := openNested(nil, ctaTupleOrig)
	// The kernel takes a filter by an IPv6 address for its opposite, and lists all flows but those to the address: it
	// compares with ipv6_addr_cmp, which is 0 where two are equal (ctnetlink_filter_match_tuple, still so in Linux 6.18).
	if q.addr.Is4() {
		var ip int
		flags |= ctFilterIPDst
		b, ip = openNested(b, ctaTupleIP)
		b = appendBytes(b, ctaIPv4Dst, q.addr.AsSlice())
		closeNested(b, ip)
	}
	b, proto := openNested(b, ctaTupleProto)
	b = appendBytes(b, ctaProtoNum, []byte{protoNumber(q.proto)})
	if q.port != 0 {
		flags |= ctFilterProtoDstPort
		b = appendBytes(b, ctaProtoDstPort, binary.BigEndian.AppendUint16(nil, q.port))
	}
	closeNested(b, proto)
	closeNested(b, tuple)
	b, filter := openNested(b, ctaFilter)
	b = appendBytes(b, ctaFilterOrigFlags, binary.NativeEndian.AppendUint32(nil, flags)) // in the byte order of the host
	closeNested(b, filter)
	return b
}

// trackedFlow is one entry of the kernel's table: what decides about it, and what it is deleted by.
type trackedFlow struct {
	plan.Flow
	family graph.Family
	proto  graph.Proto
	from   netip.AddrPort

	reply, zone, id []byte // CTA_TUPLE_REPLY, CTA_ZONE (nil: the default zone) and CTA_ID, as the kernel wrote them
}

// clone makes a copy that outlives the message it was read from.
func (f trackedFlow) clone() trackedFlow {
	f.reply, f.zone, f.id = bytes.Clone(f.reply), bytes.Clone(f.zone), bytes.Clone(f.id)
	return f
}

// String gives a flow for people.
func (f *trackedFlow) String() string {
	s := fmt.Sprintf("%s %s -> %s", f.proto, f.from, f.To)
	if f.Endpoint != f.To {
		s += ", translated to " + f.Endpoint.String()
	}
	return s
}

// decodeFlow reads an entry; ok is false for one of a protocol that no Service has, or that makes no sense.
func decodeFlow(payload []byte) (f trackedFlow, ok bool) {
	family, b, ok := familyPayload(payload)
	if !ok || family != unix.NFPROTO_IPV4 && family != unix.NFPROTO_IPV6 {
		return f, false
	}
	if family == unix.NFPROTO_IPV6 {
		f.family = graph.IPv6
	}
	var tuple []byte
	for typ, v := range attrs(b) {
		switch typ {
		case ctaTupleOrig:
			tuple = v
		case ctaTupleReply:
			f.reply = v
		case ctaID:
			f.id = v
		case ctaZone:
			f.zone = v
		}
	}
	original, ok := decodeTuple(f.family, tuple)
	if !ok || len(f.id) != 4 {
		return f, false
	}
	answers, ok := decodeTuple(f.family, f.reply)
	if !ok || answers.proto != original.proto {
		return f, false
	}
	f.proto, f.from, f.To, f.Endpoint = original.proto, original.src, original.dst, answers.src
	return f, true
}

// flowTuple is one direction of a flow.
type flowTuple struct {
	proto    graph.Proto
	src, dst netip.AddrPort
}

func decodeTuple(family graph.Family, b []byte) (t flowTuple, ok bool) {
	var src, dst netip.Addr
	var srcPort, dstPort, num []byte
	for typ, v := range attrs(b) {
		switch typ {
		case ctaTupleIP:
			for typ, v := range attrs(v) {
				switch typ {
				case ctaIPv4Src, ctaIPv6Src:
					src = addrFrom(v)
				case ctaIPv4Dst, ctaIPv6Dst:
					dst = addrFrom(v)
				}
			}
		case ctaTupleProto:
			for typ, v := range attrs(v) {
				switch typ {
				case ctaProtoNum:
					num = v
				case ctaProtoSrcPort:
					srcPort = v
				case ctaProtoDstPort:
					dstPort = v
				}
			}
		}
	}
	if len(num) != 1 || len(srcPort) != 2 || len(dstPort) != 2 || !family.Of(src) || !family.Of(dst) {
		return t, false
	}
	t.proto, ok = protoFrom(num[0])
	t.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(srcPort))
	t.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(dstPort))
	return t, ok
}

// appendDeletion adds the message that deletes the flow. The kernel finds it by its zone and the tuple of its answers, and
// deletes it only if its id is the same (net/netfilter/nf_conntrack_netlink.c, ctnetlink_del_conntrack). The id stands for the
// original tuple and the place in memory (nf_ct_get_id). That is not enough together with the original tuple, by which a flow
// could be found, too: one that ends and begins again mostly gets the same place, and with it the same id, and may have
// another endpoint.
func (f *trackedFlow) appendDeletion(b []byte, seq uint32) []byte {
	h := header{typ: ctType(ctMsgDelete), flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK, seq: seq}
	b, start := appendHeader(b, h, familyOf(f.family), 0)
	b = appendBytes(b, ctaTupleReply|attrNested, f.reply)
	if f.zone != nil {
		b = appendBytes(b, ctaZone, f.zone)
	}
	b = appendBytes(b, ctaID, f.id)
	closeMessage(b, start)
	return b
}
