// Package peer starts programs that others wrote, for tests and benchmarks to compare with. They are built from modules
// of their own below this directory, so that svcctl does not depend on what they depend on.
package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	wire "github.com/miekg/dns"
)

// ErrMissing says that a peer is not built: `make deps` builds it.
var ErrMissing = errors.New("not built: make deps builds it")

// CoreDNS is a CoreDNS that serves zone files, over UDP and TCP.
type CoreDNS struct {
	Addr   string
	cmd    *exec.Cmd
	stderr *log
}

// ZoneFile is a zone for CoreDNS to load.
type ZoneFile struct {
	Origin string // with or without the final dot
	Path   string
	Reload time.Duration // how often to look for a new serial number; 0: never
}

// startTimeout is how long CoreDNS may take to load its zones.
const startTimeout = time.Minute

// StartCoreDNS starts CoreDNS on a free port of loopback and waits until it serves. It ends with the context or with
// [CoreDNS.Stop].
func StartCoreDNS(ctx context.Context, dir string, zones []ZoneFile) (*CoreDNS, error) {
	program, err := Find("coredns")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var corefile bytes.Buffer
	fmt.Fprintf(&corefile, ".:%s {\n    bind 127.0.0.1\n    errors\n", port)
	for _, z := range zones {
		fmt.Fprintf(&corefile, "    file %s %s {\n        reload %s\n    }\n", z.Path, z.Origin, z.Reload)
	}
	corefile.WriteString("}\n")
	path := filepath.Join(dir, "Corefile")
	if err := os.WriteFile(path, corefile.Bytes(), 0o600); err != nil {
		return nil, err
	}
	c := &CoreDNS{Addr: addr, cmd: exec.CommandContext(ctx, program, "-conf", path), stderr: &log{}}
	c.cmd.Stdout, c.cmd.Stderr = c.stderr, c.stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting CoreDNS: %w", err)
	}
	if err := c.await(ctx, zones); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// await asks for the first zone until there is an answer.
func (c *CoreDNS) await(ctx context.Context, zones []ZoneFile) error {
	ctx, stop := context.WithTimeout(ctx, startTimeout)
	defer stop()
	m := new(wire.Msg)
	m.SetQuestion(wire.Fqdn(zones[0].Origin), wire.TypeSOA)
	client := wire.Client{Timeout: time.Second}
	for {
		r, _, err := client.ExchangeContext(ctx, m, c.Addr)
		if err == nil && r.Rcode == wire.RcodeSuccess {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("CoreDNS does not serve %s: %w, %w\n%s", zones[0].Origin, ctx.Err(), err, c.stderr)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Stop ends CoreDNS. That it was ended by a signal is no error.
func (c *CoreDNS) Stop() error {
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// Find gives the path of a program that make builds into .cache/bin of the repository, or [ErrMissing].
func Find(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, ".cache", "bin", name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%s is %w", name, ErrMissing)
		}
		dir = parent
	}
}

// freeAddr gives an address of loopback with a port that nobody uses now.
func freeAddr(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// log keeps what a process writes.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps it.
func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String gives all of it.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
