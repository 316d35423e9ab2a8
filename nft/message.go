package nft

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// Netlink messages (include/uapi/linux/netlink.h, struct nlmsghdr) with the header of the netfilter subsystems
// (include/uapi/linux/netfilter/nfnetlink.h, struct nfgenmsg) behind theirs.

const (
	messageHeader = unix.NLMSG_HDRLEN // 16
	familyHeader  = 4                 // struct nfgenmsg: family, version, resource id
)

// header is a message's header, in the order of the wire.
type header struct {
	typ, flags uint16
	seq        uint32
}

// nftType makes the type of an nf_tables message.
func nftType(msg uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | msg }

// appendHeader begins a message, closeMessage, given its start, ends it.
func appendHeader(b []byte, h header, family uint8, resource uint16) (buf []byte, start int) {
	start = len(b)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, h.typ)
	b = binary.NativeEndian.AppendUint16(b, h.flags)
	b = binary.NativeEndian.AppendUint32(b, h.seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // port id: the kernel's
	b = append(b, family, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resource), start
}

func closeMessage(b []byte, start int) {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
}

// messages walks over the messages of one datagram: header and payload. A malformed rest is left out.
func messages(b []byte) iter.Seq2[header, []byte] {
	return func(yield func(header, []byte) bool) {
		for len(b) >= messageHeader {
			n := int(binary.NativeEndian.Uint32(b))
			if n < messageHeader || n > len(b) {
				return
			}
			h := header{
				typ:   binary.NativeEndian.Uint16(b[4:]),
				flags: binary.NativeEndian.Uint16(b[6:]),
				seq:   binary.NativeEndian.Uint32(b[8:]),
			}
			if !yield(h, b[messageHeader:n:n]) {
				return
			}
			b = b[min(align4(n), len(b)):]
		}
	}
}

// familyPayload parts a payload into the family and the attributes; ok is false for one that is too short.
func familyPayload(p []byte) (family uint8, attributes []byte, ok bool) {
	if len(p) < familyHeader {
		return 0, nil, false
	}
	return p[0], p[familyHeader:], true
}

// ack is what an NLMSG_ERROR message says: errno 0 is an acknowledgement.
type ack struct {
	errno   unix.Errno
	offset  int    // of the attribute at fault, from the start of the message at fault; 0: not known
	message string // the kernel's words
}

// parseAck reads an NLMSG_ERROR message (struct nlmsgerr and its attributes).
func parseAck(h header, p []byte) (a ack, ok bool) {
	if len(p) < 4+messageHeader {
		return ack{}, false
	}
	// The header of the message at fault follows the error number; NETLINK_CAP_ACK leaves out the rest of it.
	return ackOf(h, p, p[4+messageHeader:]), true
}

// parseDone reads the end of a dump, an NLMSG_DONE message: like an NLMSG_ERROR, without a message at fault.
func parseDone(h header, p []byte) (a ack, ok bool) {
	if len(p) < 4 {
		return ack{}, false
	}
	return ackOf(h, p, p[4:]), true
}

// ackOf makes an ack of a payload that begins with an error number, and of its attributes where there are any.
func ackOf(h header, p, attributes []byte) ack {
	a := ack{errno: unix.Errno(-int32(hostU32(p)))}
	if h.flags&unix.NLM_F_ACK_TLVS == 0 {
		return a
	}
	for typ, v := range attrs(attributes) {
		switch {
		case typ == unix.NLMSGERR_ATTR_MSG:
			a.message = str(v)
		case typ == unix.NLMSGERR_ATTR_OFFS && len(v) == 4:
			a.offset = int(hostU32(v))
		}
	}
	return a
}
