package dnsserver

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"

	wire "github.com/miekg/dns"
)

// The sizes of messages.
const (
	headerSize = 12
	// maxUDP is the largest answer over UDP, whatever a client says it could take: what passes every network unfragmented
	// (DNS flag day 2020), and no reward for who writes somebody else's address on a query.
	maxUDP = 1232
	maxTCP = 65535
	// minRecord is the size of the smallest record in an answer: a pointer to its name, type, class, TTL, length and an
	// IPv4 address.
	minRecord = 16
)

// maxAliases is how many names are looked at for one question: its own, and those it is an alias of.
const maxAliases = 8

// reply gives the answer to a message, in buf where it fits there, or nil where a message deserves none. It never asks
// anybody else.
func (x *index) reply(query, buf []byte, udp bool) []byte {
	if len(query) < headerSize {
		return nil
	}
	flags := binary.BigEndian.Uint16(query[2:])
	if flags&(1<<15) != 0 {
		return nil // an answer: answering it is how two servers talk for ever
	}
	if opcode := int(flags >> 11 & 0xf); opcode != wire.OpcodeQuery {
		return refuse(query, wire.RcodeNotImplemented)
	}
	var q wire.Msg
	// The library takes a message that ends before its question for one without.
	if !isPlain(query) || q.Unpack(query) != nil || len(q.Question) != 1 {
		return refuse(query, wire.RcodeFormatError)
	}
	a := &answer{index: x, size: maxTCP}
	if udp {
		a.size = wire.MinMsgSize
	}
	a.msg.SetReply(&q) // keeps the question as it was written, upper case and all
	a.msg.Compress = true
	a.edns(&q, udp)
	if a.msg.Rcode == wire.RcodeSuccess {
		a.question(&q.Question[0])
	}
	return a.pack(query, buf)
}

// isPlain reports whether a header promises one question and no more beside it than EDNS and a signature.
func isPlain(query []byte) bool {
	count := func(at int) uint16 { return binary.BigEndian.Uint16(query[at:]) }
	questions, answers, authorities, additional := count(4), count(6), count(8), count(10)
	return questions == 1 && answers == 0 && authorities == 0 && additional <= 2
}

// refuse gives an answer of nothing but a header: to who does not speak our language there is no more to say.
func refuse(query []byte, rcode int) []byte {
	out := make([]byte, headerSize)
	copy(out, query[:2])
	// Of the flags the opcode and "recursion desired" come back (RFC 1035, section 4.1.1).
	binary.BigEndian.PutUint16(out[2:], 1<<15|binary.BigEndian.Uint16(query[2:])&0x7900|uint16(rcode))
	return out
}

// answer is an answer in the making.
type answer struct {
	index *index
	size  int // of the message, at most
	msg   wire.Msg
}

// edns reads what the client says of itself (RFC 6891), and answers in kind.
func (a *answer) edns(q *wire.Msg, udp bool) {
	var opt *wire.OPT
	for _, rr := range q.Extra {
		o, ok := rr.(*wire.OPT)
		if ok && opt != nil {
			a.msg.Rcode = wire.RcodeFormatError // more than one
		}
		if ok {
			opt = o
		}
	}
	if opt == nil {
		return
	}
	own := &wire.OPT{Hdr: wire.RR_Header{Name: ".", Rrtype: wire.TypeOPT}}
	own.SetUDPSize(maxUDP)
	own.SetDo(opt.Do())
	a.msg.Extra = append(a.msg.Extra, own)
	if opt.Version() != 0 && a.msg.Rcode == wire.RcodeSuccess {
		a.msg.Rcode = wire.RcodeBadVers
	}
	if udp {
		a.size = min(maxUDP, max(wire.MinMsgSize, int(opt.UDPSize())))
	}
}

func (a *answer) question(q *wire.Question) {
	name := wire.CanonicalName(q.Name)
	z := a.index.find(name)
	if q.Qclass != wire.ClassINET || q.Qtype == wire.TypeAXFR || q.Qtype == wire.TypeIXFR || z == nil {
		a.msg.Rcode = wire.RcodeRefused
		return
	}
	a.msg.Authoritative = true
	a.resolve(z, q.Name, name, q.Qtype)
}

// resolve answers from a zone, following aliases as far as the zones here go. asked is the name as the client wrote it.
func (a *answer) resolve(z *zone, asked, name string, typ uint16) {
	seen := make([]string, 0, maxAliases)
	for len(seen) < maxAliases && !slices.Contains(seen, name) {
		seen = append(seen, name)
		n := z.names[name]
		if n == nil {
			a.msg.Rcode = wire.RcodeNameError
			a.msg.Ns = []wire.RR{z.soa}
			return
		}
		alias := n.set(wire.TypeCNAME)
		if typ == wire.TypeANY && len(n.sets) > 0 && alias == nil {
			a.msg.Answer = append(a.msg.Answer, minimal(asked, z.soa.Hdr.Ttl))
			return
		}
		if records := n.set(typ); records != nil {
			a.records(asked, name, records)
			a.targets(z, records)
			return
		}
		if alias == nil {
			a.msg.Ns = []wire.RR{z.soa} // no data: of this type, or of any
			return
		}
		a.records(asked, name, alias)
		if typ == wire.TypeANY {
			return
		}
		asked = alias[0].(*wire.CNAME).Target
		name = wire.CanonicalName(asked)
		if z = a.index.find(name); z == nil {
			return // the rest is somebody else's
		}
	}
}

// minimal is the answer to who asks for everything at once (RFC 8482, section 4.2).
func minimal(name string, ttl uint32) wire.RR {
	return &wire.HINFO{Hdr: header(name, wire.TypeHINFO, ttl), Cpu: "RFC8482"}
}

// records adds records to the answer, from a random one on, so that clients that take the first spread. No more are added
// than one too many for the message: then it is cut.
func (a *answer) records(asked, name string, records []wire.RR) {
	start := 0
	if len(records) > 1 {
		start = rand.IntN(len(records))
	}
	for i := range min(len(records), a.size/minRecord+1) {
		rr := records[(start+i)%len(records)]
		if asked != name {
			rr = renamed(rr, asked)
		}
		a.msg.Answer = append(a.msg.Answer, rr)
	}
}

// renamed gives a record with its name as the client wrote it: some take upper and lower case for a proof of origin
// (draft-vixie-dnsext-dns0x20).
func renamed(rr wire.RR, name string) wire.RR {
	rr = wire.Copy(rr)
	rr.Header().Name = name
	return rr
}

// targets adds the addresses of the servers that SRV records name (RFC 2782): those of the zone, and only as long as
// there is room.
func (a *answer) targets(z *zone, records []wire.RR) {
	if records[0].Header().Rrtype != wire.TypeSRV {
		return
	}
	seen := make(map[string]bool, len(a.msg.Answer))
	opt := a.msg.Extra
	var extra []wire.RR
	for _, rr := range a.msg.Answer {
		srv, ok := rr.(*wire.SRV)
		if !ok || seen[srv.Target] {
			continue
		}
		seen[srv.Target] = true
		n := z.names[srv.Target]
		if n == nil {
			continue
		}
		extra = append(append(extra, n.set(wire.TypeA)...), n.set(wire.TypeAAAA)...)
		if len(extra) > a.size/minRecord {
			return // they would not fit
		}
	}
	a.msg.Extra = append(extra, opt...)
}

// pack makes the message. Addresses that were not asked for go first where there is no room; only then is the message
// said to be cut (RFC 2181, section 9). What is left of it is still worth sending: not every client tries TCP.
func (a *answer) pack(query, buf []byte) []byte {
	m := &a.msg
	if m.Len() > a.size {
		m.Extra = m.Extra[max(0, len(m.Extra)-1):]
		if len(m.Extra) > 0 && m.Extra[0].Header().Rrtype != wire.TypeOPT {
			m.Extra = nil
		}
		m.Truncate(a.size)
		m.Compress = true
	}
	out, err := m.PackBuffer(buf)
	if err != nil || len(out) > a.size {
		return refuse(query, wire.RcodeServerFailure)
	}
	return out
}

// describe gives the question of a message for the log.
func describe(query []byte) string {
	var q wire.Msg
	if q.Unpack(query) != nil || len(q.Question) == 0 {
		return "not a query"
	}
	return strings.TrimSpace(q.Question[0].String())
}
