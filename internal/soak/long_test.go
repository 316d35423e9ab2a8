package soak

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/svcctl/svcctl/internal/netlab"
)

// long is the commands that run all along.
type long struct {
	*host
	commands []*longCommand
}

// longCommand is one of them.
type longCommand struct {
	name string
	cmd  *exec.Cmd
	out  tail
}

// tail keeps the end of what a command says, which is much.
type tail struct {
	mu   sync.Mutex
	end  []byte
	size int
}

// Write takes part in io.Writer.
func (o *tail) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size += len(p)
	if o.end = append(o.end, p...); len(o.end) > 1<<16 {
		o.end = bytes.Clone(o.end[len(o.end)-1<<14:])
	}
	return len(p), nil
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.end)
}

const dnsAddr = "127.0.0.1:5353"

// startLong starts them.
func startLong(t *testing.T, h *host) *long {
	t.Helper()
	l := &long{host: h}
	for _, args := range [][]string{
		{"dns", "serve", "--listen", dnsAddr},
		{"get", "services", "-A", "-w"},
		{"stats", "--watch=500ms"},
	} {
		c := &longCommand{name: "svcctl " + strings.Join(args, " "), cmd: exec.Command(h.programs[0], args...)}
		c.cmd.Env, c.cmd.Dir = h.environment(), h.dir
		c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
		h.start(c.cmd)
		l.commands = append(l.commands, c)
	}
	t.Cleanup(func() {
		for _, c := range l.commands {
			if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("%s: %v: %s", c.name, err, c.out.String())
			}
			if err := c.cmd.Wait(); err != nil {
				t.Errorf("%s: %v: %s", c.name, err, c.out.String())
			}
		}
	})
	return l
}

// usage gives the resident memory in bytes and the number of open files.
func (c *longCommand) usage() (rss int64, files int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, 0, err
	}
	if resident == 0 {
		return 0, 0, errors.New("it has ended")
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	return resident * int64(os.Getpagesize()), len(entries), err
}

// mustFollow makes sure that each of them shows what was applied last: the Service 0 among it, and nothing that is gone.
func (l *long) mustFollow(c configuration) {
	l.t.Helper()
	const patience = time.Minute
	var wrong []string
	err := netlab.Until(l.t.Context(), patience, func() bool {
		time.Sleep(50 * time.Millisecond)
		wrong = nil
		for i := range most {
			want := ""
			if s, there := c[i]; there && s.kind != "ExternalName" && s.kind != "headless" {
				want = clusterIP(i)
			} else if there {
				continue
			}
			if got := l.resolves(i); got != want {
				wrong = append(wrong, fmt.Sprintf("s%d leads to %q, want %q", i, got, want))
			}
		}
		return len(wrong) == 0
	})
	if err != nil {
		l.t.Errorf("%s: %v: %s", wrong, err, l.commands[0].out.String())
	}
	for _, command := range l.commands[1:] {
		before := command.out.size
		err := netlab.Until(l.t.Context(), patience, func() bool {
			time.Sleep(50 * time.Millisecond)
			return strings.Contains(command.out.String(), clusterIP(0)) && (command.out.size > before || command == l.commands[1])
		})
		if err != nil {
			l.t.Errorf("%s does not show the last state: %v: %s", command.name, err, command.out.String())
		}
	}
}

// resolves asks for the address of a Service.
func (l *long) resolves(i int) string {
	l.t.Helper()
	var conn net.Conn
	err := l.ns.Do(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(dnsAddr)))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	q := new(dns.Msg).SetQuestion(fmt.Sprintf("s%d.soak.svc.cluster.local.", i), dns.TypeA)
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		l.t.Fatal(err)
	}
	c := &dns.Conn{Conn: conn}
	if err := c.WriteMsg(q); err != nil {
		return ""
	}
	answer, err := c.ReadMsg()
	if err != nil {
		return err.Error()
	}
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String()
		}
	}
	return ""
}
