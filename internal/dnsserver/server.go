// Package dnsserver answers DNS queries, over UDP and TCP, from the zones that compiler/dns makes and from nothing else.
//
// It is no phase of the compiler: it takes finished [dns.Zones], and messages of strangers. It may assume nothing about
// those. It asks no other server, transfers no zone and changes none; an answer over UDP is never larger than 1,232 bytes;
// the number of workers and of connections is fixed, and a connection that is slow or idle ends. The zones are switched
// atomically: every answer is of the ones or of the others.
package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/svcctl/svcctl/compiler/dns"
)

// Server is a DNS server on some addresses.
type Server struct {
	opts    Options
	current atomic.Pointer[index]
	udp     []*net.UDPConn
	tcp     []*net.TCPListener
	conns   connections
}

// Options are what a server has from outside.
type Options struct {
	Log *slog.Logger
	Now func() time.Time
}

// readBuffer is how many bytes of queries may wait in the kernel while the workers are busy.
const readBuffer = 1 << 20

// New gives a server that listens on addresses ("127.0.0.1:53", "[::1]:53"), for UDP and TCP on each, and does not answer
// before [Server.Serve] is called. Port 0 is any free one.
func New(ctx context.Context, addrs []string, zones *dns.Zones, opts Options) (*Server, error) {
	s := &Server{opts: opts}
	s.conns.now = opts.Now
	if err := s.Use(zones); err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if err := s.listen(ctx, addr); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) listen(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	s.tcp = append(s.tcp, l.(*net.TCPListener))
	// Where the port was left to the kernel, UDP takes the one that TCP got.
	p, err := lc.ListenPacket(ctx, "udp", l.Addr().String())
	if err != nil {
		return err
	}
	conn := p.(*net.UDPConn)
	s.udp = append(s.udp, conn)
	if err := conn.SetReadBuffer(readBuffer); err != nil {
		s.opts.Log.Debug("the receive buffer stays as it is", "address", addr, "error", err)
	}
	if conn.LocalAddr().(*net.UDPAddr).IP.IsUnspecified() {
		return tellDestination(conn)
	}
	return nil
}

// tellDestination makes the kernel say to which of the host's addresses a query was sent: that is where its answer must
// come from.
func tellDestination(conn *net.UDPConn) error {
	err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	if err6 != nil && err4 != nil { // a socket is of one family, or of both
		return fmt.Errorf("%s: asking for the destination of queries: %w", conn.LocalAddr(), errors.Join(err6, err4))
	}
	return nil
}

// Addrs gives the addresses that the server listens on.
func (s *Server) Addrs() []net.Addr {
	var out []net.Addr
	for _, l := range s.tcp {
		out = append(out, l.Addr())
	}
	return out
}

// Use makes the server answer from these zones from now on.
func (s *Server) Use(zones *dns.Zones) error {
	x, err := newIndex(zones.Zones)
	if err == nil {
		s.current.Store(x)
	}
	return err
}

// Serve answers until the context ends. Answers that are being made are still given then.
func (s *Server) Serve(ctx context.Context) {
	var wg sync.WaitGroup
	for _, conn := range s.udp {
		for range workers() {
			wg.Go(func() { s.serveUDP(ctx, conn) })
		}
	}
	for _, l := range s.tcp {
		wg.Go(func() { s.serveTCP(ctx, l) })
	}
	<-ctx.Done()
	s.close()
	wg.Wait()
	s.conns.wait()
}

// workers is how many queries are answered at a time on a UDP socket. Answering waits for nobody but the kernel.
func workers() int { return 2 * runtime.GOMAXPROCS(0) }

// close ends everything that waits for clients. What is being answered goes on.
func (s *Server) close() {
	for _, conn := range s.udp {
		_ = conn.Close()
	}
	for _, l := range s.tcp {
		_ = l.Close()
	}
	s.conns.finish()
}
