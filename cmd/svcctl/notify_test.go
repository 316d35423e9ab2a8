package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// The service manager is told in one line; where there is none nothing happens.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	env := &environment{getenv: func(name string) string {
		return map[string]string{"NOTIFY_SOCKET": socket}[name]
	}}
	env.notify("applied %d services\x1b\nMAINPID=1", 12)
	buf := make([]byte, 100)
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(buf)
	if got, want := string(buf[:n]), "STATUS=applied 12 services\uFFFD"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	(&environment{getenv: func(string) string { return "" }}).notify("nobody hears that")
	(&environment{getenv: func(string) string { return "/nowhere" }}).notify("nor that")
}
