package netlab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

// greeting is what every listener of [Namespace.Serve] answers: who it is, the address it was reached at, and the source
// address that it saw.
type greeting struct {
	endpoint      string
	local, source netip.AddrPort
}

func (g greeting) String() string { return fmt.Sprintf("%s %s %s\n", g.endpoint, g.local, g.source) }

func parseGreeting(s string) (g greeting, err error) {
	var local, source string
	if _, err := fmt.Sscanf(s, "%s %s %s\n", &g.endpoint, &local, &source); err != nil {
		return g, fmt.Errorf("an answer that is no greeting: %q: %w", s, err)
	}
	if g.local, err = netip.ParseAddrPort(local); err != nil {
		return g, err
	}
	g.source, err = netip.ParseAddrPort(source)
	return g, err
}

// Serve answers every TCP connection, UDP datagram or SCTP INIT to an address of the namespace with a greeting, until the
// lab is closed. A TCP connection is an echo after that.
func (ns *Namespace) Serve(ctx context.Context, p Protocol, addr netip.AddrPort) error {
	var err error
	switch p {
	case TCP:
		err = ns.serveTCP(ctx, addr)
	case UDP:
		err = ns.serveUDP(ctx, addr)
	case SCTP:
		err = ns.serveSCTP(addr)
	default:
		panic(fmt.Sprintf("netlab: unknown protocol %d", uint8(p)))
	}
	if err != nil {
		return fmt.Errorf("serving %s %s: %w", p, addr, err)
	}
	return nil
}

// Listen makes a TCP listener in the namespace. It is closed with the lab.
func (ns *Namespace) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	var listener net.Listener
	err := ns.Do(func() (err error) {
		var config net.ListenConfig
		config.SetMultipathTCP(false) // plain TCP, as the clients speak
		listener, err = config.Listen(ctx, "tcp", addr.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	ns.atClose(listener)
	return listener, nil
}

func (ns *Namespace) serveTCP(ctx context.Context, addr netip.AddrPort) error {
	listener, err := ns.Listen(ctx, addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go ns.greetTCP(conn)
		}
	}()
	return nil
}

// greetTCP greets and then echoes until the client closes: the client goes first, so that it, and not the endpoint, is
// left with the port that has to be kept for a while.
func (ns *Namespace) greetTCP(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	g := greeting{ns.Name, addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())}
	if _, err := io.WriteString(conn, g.String()); err != nil {
		return // the client is gone
	}
	_, _ = io.Copy(conn, conn)
}

func (ns *Namespace) serveUDP(ctx context.Context, addr netip.AddrPort) error {
	var conn net.PacketConn
	err := ns.Do(func() (err error) {
		conn, err = new(net.ListenConfig).ListenPacket(ctx, "udp", addr.String())
		return err
	})
	if err != nil {
		return err
	}
	ns.atClose(conn)
	go func() {
		buf := make([]byte, 2048)
		for {
			_, source, err := conn.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			g := greeting{ns.Name, addr, addrPort(source)}
			_, _ = conn.WriteTo([]byte(g.String()), source) // a lost answer is the asker's to see
		}
	}()
	return nil
}

// addrPort gives the address of a TCP or UDP socket, without zone and never as IPv4-mapped IPv6.
func addrPort(a net.Addr) netip.AddrPort {
	ap := netip.MustParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// readGreeting reads the line that a TCP listener begins with.
func readGreeting(r io.Reader) (greeting, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return greeting{}, err
	}
	return parseGreeting(strings.TrimSuffix(line, "\n") + "\n")
}
