package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// batch is one transaction as the kernel takes it: one datagram of messages between a begin and an end
// (include/uapi/linux/netfilter/nfnetlink.h, NFNL_MSG_BATCH_BEGIN). The kernel carries it out whole or not at all.
type batch struct {
	buf      []byte
	first    uint32    // sequence number of the begin message; the others count on from it
	starts   []int     // where each message starts in buf
	subjects []subject // what each message is about, nil for the begin and the end
}

// newBatch begins a transaction that the kernel refuses unless the generation is the current one; 0 takes any. The
// buffer is made for size bytes and grows where that is too small.
func newBatch(first uint32, size int, generation uint32) *batch {
	t := &batch{buf: make([]byte, 0, size), first: first}
	t.boundary(unix.NFNL_MSG_BATCH_BEGIN, generation)
	return t
}

// finish ends the transaction and gives the sequence number that the kernel will acknowledge, that of the last message.
// Were every message acknowledged, a large transaction would drown in acknowledgements; errors come without asking.
func (t *batch) finish() (acknowledged uint32) {
	at := len(t.starts) - 1
	flags := t.buf[t.starts[at]+6:] // nlmsg_flags
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	t.boundary(unix.NFNL_MSG_BATCH_END, 0)
	return t.first + uint32(at)
}

// boundary adds a begin or end message.
func (t *batch) boundary(typ uint16, generation uint32) {
	h := header{typ: typ, flags: unix.NLM_F_REQUEST, seq: t.add(nil)}
	b, start := appendHeader(t.buf, h, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	if generation != 0 {
		b = appendU32(b, unix.NFNL_BATCH_GENID, generation)
	}
	closeMessage(b, start)
	t.buf = b
}

// message adds a message about a subject; fn adds its attributes.
func (t *batch) message(msg, flags uint16, f graph.Family, s subject, fn func([]byte) []byte) {
	h := header{typ: nftType(msg), flags: unix.NLM_F_REQUEST | flags, seq: t.add(s)}
	b, start := appendHeader(t.buf, h, familyOf(f), 0)
	b = fn(b)
	closeMessage(b, start)
	t.buf = b
}

// add notes the next message and gives its sequence number.
func (t *batch) add(s subject) uint32 {
	t.starts = append(t.starts, len(t.buf))
	t.subjects = append(t.subjects, s)
	return t.first + uint32(len(t.starts)-1)
}

// contains reports whether a sequence number is one of the transaction's.
func (t *batch) contains(seq uint32) bool { return seq-t.first < uint32(len(t.starts)) }
