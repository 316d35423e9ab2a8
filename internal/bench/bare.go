package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/internal/netlab"
)

// bare is the least that any program has to do to fill the sets of a ruleset: bytes that were ready before, in one
// message. It is made from the rendered text and shares no code with what it is compared with. The tables, chains, rules
// and sets are made by nft before, as are the elements of the few interval sets.
type bare struct {
	structure string // the text without the elements
	batch     []byte
}

// The messages and attributes of nf_tables (include/uapi/linux/netfilter/nf_tables.h) are unix.NFT_*.
const (
	nested    = 0x8000 // NLA_F_NESTED
	longest   = 0xffff - 1024
	headerLen = unix.NLMSG_HDRLEN + 4 // with struct nfgenmsg
)

// readBare makes a bare batch of the rendered text in a file.
func readBare(path string) (*bare, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	w := &bareWriter{}
	w.control(unix.NFNL_MSG_BATCH_BEGIN)
	var structure, held strings.Builder
	interval := false
	for line := range strings.Lines(string(text)) {
		word := strings.TrimSpace(line)
		fields := strings.Fields(word)
		switch {
		case strings.HasPrefix(line, "table ") && strings.HasSuffix(word, "{"):
			w.family, w.table = unix.NFPROTO_IPV4, fields[2]
			if fields[1] == "ip6" {
				w.family = unix.NFPROTO_IPV6
			}
		case strings.HasPrefix(line, "\tset ") || strings.HasPrefix(line, "\tmap "):
			w.set, interval = fields[1], false
		case strings.HasPrefix(word, "flags ") && strings.Contains(word, "interval"):
			interval = true
		case !interval && word == "elements = {":
			held.WriteString(line)
			continue
		case held.Len() > 0 && word == "}":
			held.Reset()
			w.flush()
			continue
		case held.Len() > 0:
			if err := w.element(word); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			continue
		}
		structure.WriteString(line)
	}
	w.ack()
	w.control(unix.NFNL_MSG_BATCH_END)
	return &bare{structure.String(), w.buf.Bytes()}, nil
}

// load times the batch in a namespace, whose structure is made before.
func (b *bare) load(ctx context.Context, ns *netlab.Namespace, s *samples) error {
	if _, err := ns.Run(ctx, b.structure, "nft", "-f", "-"); err != nil {
		return err
	}
	return sendBatch(ns, b.batch, s)
}

// sendBatch sends a batch and times that, with the kernel's answer.
func sendBatch(ns *netlab.Namespace, batch []byte, s *samples) error {
	fd, err := batchSocket(ns, len(batch))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing depends on how it ends
	return s.measure(func() error { return exchange(fd, batch) })
}

// batchSocket opens a netlink socket that takes messages of a size.
func batchSocket(ns *netlab.Namespace, size int) (fd int, err error) {
	err = ns.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err != nil {
			return err
		}
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size+4096)
		if errors.Is(err, unix.EPERM) { // in a user namespace the limit holds; small batches stay below it
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size+4096)
		}
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		return nil
	})
	return fd, err
}

// exchange sends a batch and reads the one acknowledgement that it asks for, or the first error.
func exchange(fd int, batch []byte) error {
	if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bare batch of %d bytes: %w", len(batch), err)
	}
	answer := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, answer, unix.MSG_DONTWAIT)
	if err != nil || n < unix.NLMSG_HDRLEN+4 {
		return fmt.Errorf("bare batch: no answer: %w", err)
	}
	if errno := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); errno != 0 {
		return fmt.Errorf("bare batch: %w", unix.Errno(-errno))
	}
	return nil
}

// bareWriter writes a batch.
type bareWriter struct {
	buf        bytes.Buffer
	family     uint8
	table, set string
	list       bytes.Buffer // elements that are not in a message yet
	deletion   bool
	seq        uint32
	last       int // where the last message begins
}

// element adds a line of the text, as in "10.96.0.1 . tcp . 80 : goto random-4, # web".
func (w *bareWriter) element(line string) error {
	line, _, _ = strings.Cut(line, ",")
	key, data, isMap := strings.Cut(line, " : ")
	value, err := concatenated(key)
	if err != nil {
		return err
	}
	e := attribute(unix.NFTA_SET_ELEM_KEY|nested, attribute(unix.NFTA_DATA_VALUE, value))
	switch fields := strings.Fields(data); {
	case !isMap || w.deletion:
	case len(fields) <= 2:
		e = append(e, attribute(unix.NFTA_SET_ELEM_DATA|nested, verdictBytes(fields))...)
	default:
		value, err := concatenated(data)
		if err != nil {
			return err
		}
		e = append(e, attribute(unix.NFTA_SET_ELEM_DATA|nested, attribute(unix.NFTA_DATA_VALUE, value))...)
	}
	if w.list.Len()+len(e) > longest {
		w.flush()
	}
	w.list.Write(attribute(unix.NFTA_LIST_ELEM|nested, e))
	return nil
}

// concatenated gives the bytes of a key or of data: each field takes whole registers of four bytes.
func concatenated(text string) ([]byte, error) {
	fields := strings.Split(text, " . ")
	var out []byte
	for i, f := range fields {
		f = strings.TrimSpace(f)
		addr, err := netip.ParseAddr(f)
		protocol := map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}[f]
		switch {
		case err == nil:
			out = append(out, addr.AsSlice()...)
		case protocol != 0:
			out = append(out, protocol, 0, 0, 0)
		default:
			n, err := strconv.ParseUint(f, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("no address, protocol or number: %q", f)
			}
			if i == 3 { // a slot, in the byte order of the host as numgen gives it
				out = binary.NativeEndian.AppendUint32(out, uint32(n))
				continue
			}
			out = append(binary.BigEndian.AppendUint16(out, uint16(n)), 0, 0)
		}
	}
	return out, nil
}

// verdictBytes gives a verdict: "goto random-4", "drop".
func verdictBytes(fields []string) []byte {
	codes := map[string]int32{
		"drop": 0, "accept": 1, "jump": unix.NFT_JUMP, "goto": unix.NFT_GOTO, "return": unix.NFT_RETURN,
	}
	v := attribute(unix.NFTA_VERDICT_CODE, binary.BigEndian.AppendUint32(nil, uint32(codes[fields[0]])))
	if len(fields) == 2 {
		v = append(v, attribute(unix.NFTA_VERDICT_CHAIN, append([]byte(fields[1]), 0))...)
	}
	return attribute(unix.NFTA_DATA_VERDICT|nested, v)
}

func attribute(typ uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// flush writes the elements as a message.
func (w *bareWriter) flush() {
	if w.list.Len() == 0 {
		return
	}
	body := attribute(unix.NFTA_SET_ELEM_LIST_TABLE, append([]byte(w.table), 0))
	body = append(body, attribute(unix.NFTA_SET_ELEM_LIST_SET, append([]byte(w.set), 0))...)
	body = append(body, attribute(unix.NFTA_SET_ELEM_LIST_ELEMENTS|nested, w.list.Bytes())...)
	w.list.Reset()
	msg, flags := uint16(unix.NFT_MSG_NEWSETELEM), uint16(unix.NLM_F_CREATE)
	if w.deletion {
		msg, flags = unix.NFT_MSG_DELSETELEM, 0
	}
	w.message(unix.NFNL_SUBSYS_NFTABLES<<8|msg, flags, w.family, 0, body)
}

// control writes the message that begins or ends a batch.
func (w *bareWriter) control(typ uint16) {
	w.message(typ, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
}

func (w *bareWriter) message(typ, flags uint16, family uint8, resource uint16, body []byte) {
	w.last = w.buf.Len()
	w.seq++
	b := binary.NativeEndian.AppendUint32(nil, uint32(headerLen+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, w.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, family, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, resource)
	w.buf.Write(b)
	w.buf.Write(body)
}

// ack asks for an acknowledgement of the message written last.
func (w *bareWriter) ack() {
	flags := w.buf.Bytes()[w.last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
}

// verdictChange gives the batch that changes one verdict of the map of services, and nothing else.
func verdictChange(family uint8, key, was, now string) ([]byte, error) {
	w := &bareWriter{family: family, table: "svcctl", set: "services"}
	w.control(unix.NFNL_MSG_BATCH_BEGIN)
	w.deletion = true
	if err := w.element(key + " : goto " + was); err != nil {
		return nil, err
	}
	w.flush()
	w.deletion = false
	if err := w.element(key + " : goto " + now); err != nil {
		return nil, err
	}
	w.flush()
	w.ack()
	w.control(unix.NFNL_MSG_BATCH_END)
	return w.buf.Bytes(), nil
}
