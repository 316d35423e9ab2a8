package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// The limits of connections (RFC 7766, section 6.2).
const (
	maxConnections = 256
	// idleTimeout is how long a client may say nothing, ioTimeout how long one message may take, either way.
	idleTimeout = 10 * time.Second
	ioTimeout   = 2 * time.Second
)

// serveTCP accepts connections until the listener is closed.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// The client went away, or the process has too many files open. Neither is a reason to stop answering.
			s.opts.Log.Warn("accepting a connection", "error", err)
			pause(ctx)
			continue
		}
		s.conns.serve(conn, s.serveConnection)
	}
}

// serveConnection answers the queries of one connection, one after the other.
func (s *Server) serveConnection(c *connection) {
	var size [2]byte
	query, buf := make([]byte, 0, 512), make([]byte, 0, 2048)
	for {
		if !c.await(idleTimeout) {
			return
		}
		if _, err := io.ReadFull(c.conn, size[:1]); err != nil {
			return
		}
		if !c.begin(ioTimeout) {
			return
		}
		if _, err := io.ReadFull(c.conn, size[1:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(size[:]))
		if cap(query) < n {
			query = make([]byte, n)
		}
		query = query[:n]
		if _, err := io.ReadFull(c.conn, query); err != nil {
			return
		}
		out := s.current.Load().reply(query, buf[:cap(buf)], false)
		if out == nil {
			return // it does not speak DNS
		}
		message := net.Buffers{binary.BigEndian.AppendUint16(nil, uint16(len(out))), out}
		if _, err := message.WriteTo(c.conn); err != nil {
			return
		}
	}
}

// connection is one client's connection. Between two queries it is idle, and may be closed.
type connection struct {
	conn  net.Conn
	set   *connections
	since time.Time // it is idle since then; zero: it is not
}

// connections are the ones that are open: a limited number of them.
type connections struct {
	now      func() time.Time
	mu       sync.Mutex
	finished bool
	open     map[*connection]struct{}
	wg       sync.WaitGroup
}

// serve serves a connection in the background. Where there are too many, the one that has been idle for longest ends; where
// none is idle, the new one does.
func (s *connections) serve(conn net.Conn, work func(*connection)) {
	c := &connection{conn: conn, set: s}
	if !s.add(c) {
		_ = conn.Close()
		return
	}
	s.wg.Go(func() {
		defer s.remove(c)
		work(c)
	})
}

func (s *connections) add(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || len(s.open) >= maxConnections && !s.evict() {
		return false
	}
	if s.open == nil {
		s.open = make(map[*connection]struct{}, maxConnections)
	}
	s.open[c] = struct{}{}
	return true
}

// evict ends the connection that has been idle for longest, if any is.
func (s *connections) evict() bool {
	var longest *connection
	for c := range s.open {
		if !c.since.IsZero() && (longest == nil || c.since.Before(longest.since)) {
			longest = c
		}
	}
	if longest == nil {
		return false
	}
	delete(s.open, longest)
	_ = longest.conn.Close()
	return true
}

func (s *connections) remove(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	_ = c.conn.Close()
}

// finish ends the idle connections now and the others after their answer.
func (s *connections) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	for c := range s.open {
		if !c.since.IsZero() {
			_ = c.conn.Close()
		}
	}
}

func (s *connections) wait() { s.wg.Wait() }

// await says that the connection is idle. It reports whether the connection may go on.
func (c *connection) await(limit time.Duration) bool {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.since = c.set.now()
	return !c.set.finished && c.conn.SetDeadline(c.since.Add(limit)) == nil
}

// begin says that a query has begun to arrive: it must be there, and its answer gone, within the limit.
func (c *connection) begin(limit time.Duration) bool {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.since = time.Time{}
	return c.conn.SetDeadline(c.set.now().Add(limit)) == nil
}
