package netlab

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
)

// SCTP is spoken over raw sockets, as far as the first packet each way: an INIT, and an INIT ACK whose state cookie is the
// greeting. Many kernels have no SCTP of their own, but connection tracking and NAT of it are netfilter's, and those two
// packets are all it takes to see them. Formats and numbers are RFC 9260's.
const (
	protocolSCTP = 132 // IANA

	sctpHeader     = 12 // ports, verification tag, checksum
	chunkHeader    = 4  // type, flags, length
	chunkInit      = 1
	chunkInitAck   = 2
	initFixed      = 16 // initiate tag, window, streams out and in, initial sequence number
	paramHeader    = 4
	paramCookie    = 7
	receiverWindow = 1 << 16
	clientTag      = 0x636c6974 // any but 0
	serverTag      = 0x73727672
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sctpPacket is an SCTP packet of one INIT or INIT ACK chunk.
type sctpPacket struct {
	sourcePort, destinationPort uint16
	verificationTag             uint32
	chunk                       byte
	initiateTag                 uint32
	cookie                      string // INIT ACK only
}

func (p sctpPacket) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, p.sourcePort)
	b = binary.BigEndian.AppendUint16(b, p.destinationPort)
	b = binary.BigEndian.AppendUint32(b, p.verificationTag)
	b = binary.BigEndian.AppendUint32(b, 0) // the checksum, below
	length := chunkHeader + initFixed
	if p.chunk == chunkInitAck {
		length += paramHeader + len(p.cookie)
	}
	b = append(b, p.chunk, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = binary.BigEndian.AppendUint32(b, p.initiateTag)
	b = binary.BigEndian.AppendUint32(b, receiverWindow)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint32(b, p.initiateTag)
	if p.chunk == chunkInitAck {
		b = binary.BigEndian.AppendUint16(b, paramCookie)
		b = binary.BigEndian.AppendUint16(b, uint16(paramHeader+len(p.cookie)))
		b = append(b, p.cookie...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
	return b
}

func decodeSCTP(b []byte) (p sctpPacket, err error) {
	if len(b) < sctpHeader+chunkHeader+initFixed {
		return p, errors.New("SCTP packet too short")
	}
	sum := binary.LittleEndian.Uint32(b[8:])
	zeroed := append([]byte(nil), b...)
	clear(zeroed[8:12])
	if want := crc32.Checksum(zeroed, castagnoli); sum != want {
		return p, fmt.Errorf("SCTP checksum %#x, want %#x", sum, want)
	}
	p.sourcePort = binary.BigEndian.Uint16(b)
	p.destinationPort = binary.BigEndian.Uint16(b[2:])
	p.verificationTag = binary.BigEndian.Uint32(b[4:])
	p.chunk = b[sctpHeader]
	p.initiateTag = binary.BigEndian.Uint32(b[sctpHeader+chunkHeader:])
	if p.chunk != chunkInitAck {
		return p, nil
	}
	param := b[sctpHeader+chunkHeader+initFixed:]
	if len(param) < paramHeader || binary.BigEndian.Uint16(param) != paramCookie {
		return p, errors.New("SCTP INIT ACK without a state cookie")
	}
	length := int(binary.BigEndian.Uint16(param[2:]))
	if length < paramHeader || length > len(param) {
		return p, errors.New("SCTP state cookie cut short")
	}
	p.cookie = string(param[paramHeader:length])
	return p, nil
}

func sctpNetwork(a netip.Addr) string {
	if a.Is4() {
		return fmt.Sprintf("ip4:%d", protocolSCTP)
	}
	return fmt.Sprintf("ip6:%d", protocolSCTP)
}

// serveSCTP answers INITs to an address. A packet with a wrong checksum is not answered, as RFC 9260 section 6.8 wants, so
// that a NAT that forgets to mend it does not go unnoticed.
func (ns *Namespace) serveSCTP(addr netip.AddrPort) error {
	var conn *net.IPConn
	err := ns.Do(func() (err error) {
		conn, err = net.ListenIP(sctpNetwork(addr.Addr()), &net.IPAddr{IP: addr.Addr().AsSlice()})
		return err
	})
	if err != nil {
		return err
	}
	ns.atClose(conn)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromIP(buf)
			if err != nil {
				return // closed
			}
			p, err := decodeSCTP(buf[:n])
			if err != nil || p.chunk != chunkInit || p.destinationPort != addr.Port() {
				continue
			}
			source, _ := netip.AddrFromSlice(from.IP)
			g := greeting{ns.Name, addr, netip.AddrPortFrom(source.Unmap(), p.sourcePort)}
			reply := sctpPacket{addr.Port(), p.sourcePort, p.initiateTag, chunkInitAck, serverTag, g.String()}
			_, _ = conn.WriteToIP(reply.encode(), from) // a lost answer is the asker's to see
		}
	}()
	return nil
}

func (ns *Namespace) askSCTP(ctx context.Context, r Request) (greeting, error) {
	conn, err := ns.dialSCTP(ctx, r)
	if err != nil {
		return greeting{}, err
	}
	defer func() { _ = conn.Close() }()
	defer expireWith(ctx, conn)()
	port := uint16(nextPort(&sctpPorts))
	if err := send(conn, initPacket(port, r.To.Port())); err != nil {
		return greeting{}, err
	}
	buf := make([]byte, 2048)
	for {
		p, err := readInitAck(conn, buf, r.To.Port())
		if err != nil {
			return greeting{}, err
		}
		// The socket gets whatever SCTP comes from that address, answers to other requests too.
		if p.destinationPort == port {
			return parseGreeting(p.cookie)
		}
	}
}

// Burst makes as many SCTP requests at once and gives how many were answered. It is by far the fastest way to have new
// connections tried: one packet and one answer each, all from one socket. The error is for the first that was not
// answered.
func (ns *Namespace) Burst(ctx context.Context, requests int, to netip.AddrPort) (answered int, err error) {
	ns.sctp.Lock()
	defer ns.sctp.Unlock()
	ctx, cancel := context.WithTimeout(ctx, DefaultPatience)
	defer cancel()
	conn, err := ns.dialSCTP(ctx, Request{To: to})
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	defer expireWith(ctx, conn)()
	asked := map[uint16]bool{}
	for range requests {
		port := uint16(nextPort(&sctpPorts))
		asked[port] = true
		if err := send(conn, initPacket(port, to.Port())); err != nil {
			return 0, err
		}
	}
	buf := make([]byte, 2048)
	var first error
	// A refusal comes as an error that does not say of which request: so one fewer is waited for.
	for refused := 0; len(asked) > refused; {
		p, err := readInitAck(conn, buf, to.Port())
		switch {
		case err == nil:
			delete(asked, p.destinationPort)
		case outcome(err) == Silent:
			return requests - len(asked), cmp.Or(first, err)
		default:
			refused++
			first = cmp.Or(first, err)
		}
	}
	return requests - len(asked), first
}

func (ns *Namespace) dialSCTP(ctx context.Context, r Request) (*net.IPConn, error) {
	d := &net.Dialer{Control: reportErrors}
	if r.From.IsValid() {
		d.LocalAddr = &net.IPAddr{IP: r.From.AsSlice()}
	}
	// A connected raw socket is told of ICMP errors.
	conn, err := ns.dial(ctx, d, sctpNetwork(r.To.Addr()), r.To.Addr().String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.IPConn), nil
}

func initPacket(from, to uint16) []byte {
	return sctpPacket{sourcePort: from, destinationPort: to, chunk: chunkInit, initiateTag: clientTag}.encode()
}

// readInitAck reads until the next INIT ACK from a port.
func readInitAck(conn *net.IPConn, buf []byte, from uint16) (sctpPacket, error) {
	for {
		n, _, err := conn.ReadFromIP(buf) // unlike Read it leaves the IPv4 header out
		if err != nil {
			return sctpPacket{}, err
		}
		p, err := decodeSCTP(buf[:n])
		if err == nil && p.chunk == chunkInitAck && p.sourcePort == from && p.verificationTag == clientTag {
			return p, nil
		}
	}
}
