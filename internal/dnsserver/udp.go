package dnsserver

import (
	"context"
	"errors"
	"net"
	"time"

	wire "github.com/miekg/dns"
)

// serveUDP answers the queries of a socket, one after the other, until the socket is closed.
func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn) {
	query, buf := make([]byte, maxTCP), make([]byte, maxUDP+1)
	for {
		n, session, err := wire.ReadFromSessionUDP(conn, query)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// One datagram could not be had, as after an ICMP message about an earlier answer.
			s.opts.Log.Debug("reading a query", "error", err)
			pause(ctx)
			continue
		}
		out := s.current.Load().reply(query[:n], buf, true)
		if out == nil {
			continue
		}
		if _, err := wire.WriteToSessionUDP(conn, out, session); err != nil {
			s.opts.Log.Debug("an answer was not sent", "client", session.RemoteAddr(), "question", describe(query[:n]), "error", err)
		}
	}
}

// pause keeps an error that does not go away from keeping a processor busy.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}
