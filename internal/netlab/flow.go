package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Flow is a client that keeps its source port: to connection tracking all that it sends is one flow, for as long as the
// flow is known. UDP and SCTP only; a TCP client of that kind is a connection.
type Flow struct {
	Protocol Protocol
	To       netip.AddrPort

	ns   *Namespace
	conn net.Conn
	port uint16 // SCTP: the source port, which the raw socket does not have
}

// Open makes a client in the namespace. Nothing is sent yet. It is closed with the lab.
func (ns *Namespace) Open(ctx context.Context, p Protocol, to netip.AddrPort) (*Flow, error) {
	f := &Flow{Protocol: p, To: to, ns: ns}
	var err error
	switch p {
	case UDP:
		d := &net.Dialer{Control: reportErrors, LocalAddr: &net.UDPAddr{Port: nextPort(&udpPorts)}}
		f.conn, err = ns.dial(ctx, d, "udp", to.String())
	case SCTP:
		f.port = uint16(nextPort(&sctpPorts))
		var conn *net.IPConn
		if conn, err = ns.dialSCTP(ctx, Request{To: to}); err == nil {
			f.conn = conn
		}
	default:
		return nil, fmt.Errorf("no flow of protocol %s", p)
	}
	if err != nil {
		return nil, err
	}
	ns.atClose(f.conn)
	return f, nil
}

// Ask sends one more packet and gives what came of it. Without patience it is [DefaultPatience].
func (f *Flow) Ask(ctx context.Context, patience time.Duration) Answer {
	if patience == 0 {
		patience = DefaultPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.conn.SetDeadline(time.Time{}); err != nil {
		return Answer{Outcome: Failed, Err: err}
	}
	defer expireWith(ctx, f.conn)()
	g, err := f.exchange()
	if err != nil {
		return Answer{Outcome: outcome(err), Err: err}
	}
	return Answer{Outcome: Answered, Endpoint: g.endpoint, Local: g.local, Source: g.source}
}

func (f *Flow) exchange() (greeting, error) {
	buf := make([]byte, 2048)
	if f.Protocol == UDP {
		if err := send(f.conn, []byte("?")); err != nil {
			return greeting{}, err
		}
		n, err := f.conn.Read(buf)
		if err != nil {
			return greeting{}, err
		}
		return parseGreeting(string(buf[:n]))
	}
	// The kernel tells every raw socket between two addresses of an ICMP error.
	f.ns.sctp.Lock()
	defer f.ns.sctp.Unlock()
	if err := send(f.conn, initPacket(f.port, f.To.Port())); err != nil {
		return greeting{}, err
	}
	for {
		p, err := readInitAck(f.conn.(*net.IPConn), buf, f.To.Port())
		if err != nil {
			return greeting{}, err
		}
		if p.destinationPort == f.port {
			return parseGreeting(p.cookie)
		}
	}
}
