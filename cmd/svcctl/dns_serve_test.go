package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	wire "github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// output is a standard error that can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// waitFor waits for something to be written, and gives what its groups matched.
func (o *output) waitFor(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m
		}
	}
	t.Fatalf("%q was not written:\n%s", pattern, o.String())
	return nil
}

// service starts "svcctl dns serve", and stops it at the end of the test, when it must end well.
func service(t *testing.T, args ...string) (stderr *output, address string) {
	t.Helper()
	loopbackUp(t)
	stderr = &output{}
	env := &environment{
		stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: stderr, now: time.Now, uid: os.Getuid(),
		getenv:   func(string) string { return "" },
		hostname: func() (string, error) { return "node-a", nil },
	}
	ctx, stop := context.WithCancelCause(context.Background())
	code := make(chan int, 1)
	go func() {
		code <- execute(ctx, env, append([]string{"dns", "serve", "--config", os.DevNull, "--listen", "127.0.0.1:0"}, args...))
	}()
	t.Cleanup(func() {
		stop(errors.New("terminated"))
		select {
		case got := <-code:
			if got != exitDone {
				t.Errorf("exit code %d:\n%s", got, stderr)
			}
		case <-time.After(10 * time.Second):
			t.Error("it does not stop")
		}
	})
	return stderr, stderr.waitFor(t, `^serving cluster\.local and 17 reverse zones on (127\.0\.0\.1:\d+)$`)[1]
}

// loopbackUp switches loopback on, which is off in the tests' own network namespace.
func loopbackUp(t *testing.T) {
	t.Helper()
	if ok, _ := haveNamespaces(); !ok {
		return // the host's own is on
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

const webService = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: {clusterIP: ADDRESS, ports: [{name: http, port: 80}]}
`

func writeWeb(t *testing.T, path, address string) {
	t.Helper()
	draft := filepath.Join(filepath.Dir(path), ".draft")
	if err := os.WriteFile(draft, []byte(strings.Replace(webService, "ADDRESS", address, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(draft, path); err != nil {
		t.Fatal(err)
	}
}

func lookedUp(t *testing.T, server, name string) string {
	t.Helper()
	m := new(wire.Msg)
	m.SetQuestion(name, wire.TypeA)
	c := wire.Client{Timeout: 5 * time.Second}
	r, _, err := c.Exchange(m, server)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Answer) == 0 {
		return wire.RcodeToString[r.Rcode]
	}
	return r.Answer[0].(*wire.A).A.String()
}

const webName = "web.demo.svc.cluster.local."

func TestServeFollowsTheManifests(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yaml")
	writeWeb(t, file, "10.96.0.1")
	stderr, server := service(t, "-f", filepath.Dir(file), "--state-dir", t.TempDir())
	check := func(want string) {
		t.Helper()
		if got := lookedUp(t, server, webName); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check("10.96.0.1")
	writeWeb(t, file, "10.96.0.2")
	stderr.waitFor(t, `^serving what is new: .* records in 18 zones$`)
	check("10.96.0.2")
	// A broken input: its place is said, and the answers stay.
	writeWeb(t, file, "10.96.0.x")
	stderr.waitFor(t, `^`+regexp.QuoteMeta(file)+`:5:19: service demo/web: spec\.clusterIPs\[0\]: Invalid value: "10\.96\.0\.x"`)
	stderr.waitFor(t, `^error: the answers stay as they were$`)
	check("10.96.0.2")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	stderr.waitFor(t, `^error: the directory ".*" has no manifests`)
	check("10.96.0.2")
	writeWeb(t, file, "10.96.0.3")
	stderr.waitFor(t, `(?s)serving what is new.*serving what is new`)
	check("10.96.0.3")
}

// TestServeReadsAgainOnHangup: also where nothing says that there is something new.
func TestServeReadsAgainOnHangup(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "web.yaml")
	writeWeb(t, file, "10.96.0.1")
	stderr, server := service(t, "-f", file, "--state-dir", t.TempDir(), "--log-level", "debug")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	stderr.waitFor(t, `read again, and nothing is different`)
	if got := lookedUp(t, server, webName); got != "10.96.0.1" {
		t.Errorf("got %s", got)
	}
}

// TestServeFollowsWhatIsApplied: without -f the record counts, also one that is made later.
func TestServeFollowsWhatIsApplied(t *testing.T) {
	if ok, err := haveNamespaces(); err != nil {
		t.Fatal(err)
	} else if !ok {
		t.Skip("no network namespaces")
	}
	state, file := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "web.yaml")
	stderr, server := service(t, "--state-dir", state)
	if got := lookedUp(t, server, webName); got != "NXDOMAIN" {
		t.Errorf("before anything is applied: %s", got)
	}
	for i, address := range []string{"10.96.0.1", "10.96.0.2"} {
		writeWeb(t, file, address)
		var out bytes.Buffer
		env := &environment{
			stdin: strings.NewReader(""), stdout: &out, stderr: &out, now: time.Now, uid: os.Getuid(),
			getenv: func(string) string { return "" }, hostname: func() (string, error) { return "node-a", nil },
		}
		if code := execute(t.Context(), env, []string{"apply", "--config", os.DevNull, "--state-dir", state, "-f", file}); code != exitDone {
			t.Fatalf("apply: exit code %d:\n%s", code, out.String())
		}
		stderr.waitFor(t, strings.Repeat(`(?s)serving what is new.*`, i+1))
		if got := lookedUp(t, server, webName); got != address {
			t.Errorf("got %s, want %s", got, address)
		}
	}
}
