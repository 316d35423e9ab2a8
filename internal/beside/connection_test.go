package beside

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
)

// connection is one that was made before the others did something, and is to go on.
type connection struct {
	net.Conn
	answers *bufio.Reader
}

// connect connects the client to a service.
func (h *host) connect(to netip.AddrPort) *connection {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), netlab.DefaultPatience)
	defer cancel()
	conn, err := h.lab.Client.DialContext(ctx, "tcp", to.String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	c := &connection{conn, bufio.NewReader(conn)}
	if _, err := c.answers.ReadString('\n'); err != nil {
		h.t.Fatalf("no greeting: %v", err)
	}
	return c
}

// asks sends a line and waits for its echo.
func (c *connection) asks(patience time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, "still there?"); err != nil {
		return err
	}
	_, err := c.answers.ReadString('\n')
	return err
}

// goesOn fails the test where it does not.
func (c *connection) goesOn(t *testing.T, when string) {
	t.Helper()
	if err := c.asks(netlab.DefaultPatience); err != nil {
		t.Errorf("%s: the connection is no more: %v", when, err)
	}
}
