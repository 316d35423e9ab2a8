package main

import (
	"fmt"
	"net"
	"strings"
)

// notify tells systemd, where it started us and asks for it, how things stand: "systemctl status" shows that line. This is
// the protocol of sd_notify(3), a datagram to a socket that the environment names. Nothing depends on its arrival.
func (e *environment) notify(format string, args ...any) {
	socket := e.getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: socket}) // "@" is an abstract one there, too
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // a datagram is sent or it is not
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	_, _ = fmt.Fprintf(conn, "STATUS=%s", printable(line))
}
