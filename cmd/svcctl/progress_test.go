package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// progressLab is a progress whose time the test makes.
type progressLab struct {
	t      *testing.T
	c      *cli
	mu     sync.Mutex
	time   time.Time
	asked  int // how often it was asked for
	ticks  chan time.Time
	screen lockedBuffer
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newProgressLab(t *testing.T, columns int) *progressLab {
	t.Helper()
	lab := &progressLab{t: t, time: time.Unix(0, 0), ticks: make(chan time.Time)}
	env := &environment{
		stderr: &lab.screen, stdout: &lab.screen, terminal: true, stderrTerminal: true,
		columns: func() int { return columns },
		getenv:  func(string) string { return "" },
		now: func() time.Time {
			lab.mu.Lock()
			defer lab.mu.Unlock()
			lab.asked++
			return lab.time
		},
		ticker: func(time.Duration) (<-chan time.Time, func()) { return lab.ticks, func() {} },
	}
	lab.c = &cli{env: env.withProgress()}
	t.Cleanup(lab.c.env.progress.end)
	return lab
}

// pass lets time pass, and waits until the progress has noticed.
func (lab *progressLab) pass(d time.Duration) {
	asked := func() int {
		lab.mu.Lock()
		defer lab.mu.Unlock()
		return lab.asked
	}
	lab.mu.Lock()
	lab.time = lab.time.Add(d)
	lab.mu.Unlock()
	before := asked()
	lab.ticks <- lab.time
	for asked() == before { // who looks asks for the time first, and is done when it gives its lock back
		time.Sleep(10 * time.Microsecond)
	}
	p := lab.c.env.progress
	p.mu.Lock()
	defer p.mu.Unlock()
}

func (lab *progressLab) wantScreen(want string) {
	lab.t.Helper()
	if got := lab.screen.String(); got != want {
		lab.t.Errorf("on the screen: %q, want %q", got, want)
	}
}

func TestProgress(t *testing.T) {
	lab := newProgressLab(t, 80)
	lab.c.phase("reading %s", "services/")
	lab.pass(900 * time.Millisecond)
	lab.wantScreen("") // nobody wonders yet
	lab.c.phase("compiling %d services", 7)
	lab.pass(100 * time.Millisecond)
	const drawn = eraseLine + "compiling 7 services … 1s"
	lab.wantScreen(drawn)
	lab.c.notef("warning: something")
	lab.wantScreen(drawn + eraseLine + "warning: something\n")
	lab.c.idle()
	lab.pass(time.Hour)
	lab.wantScreen(drawn + eraseLine + "warning: something\n")
}

// What is waited for anew has a second of its own.
func TestProgressAfterIdling(t *testing.T) {
	lab := newProgressLab(t, 80)
	lab.c.phase("reading")
	lab.c.idle()
	lab.pass(time.Hour)
	lab.c.phase("reading")
	lab.pass(900 * time.Millisecond)
	lab.wantScreen("")
	lab.pass(100 * time.Millisecond)
	lab.c.env.progress.end()
	const drawn = eraseLine + "reading … 1s"
	lab.wantScreen(drawn + eraseLine)
}

func TestProgressFitsTheTerminal(t *testing.T) {
	lab := newProgressLab(t, 10)
	lab.c.phase("reading\x1b[2J a path")
	lab.pass(2 * time.Second)
	const drawn = eraseLine + "reading\uFFFD["
	lab.wantScreen(drawn)
}

func TestProgressIsMuted(t *testing.T) {
	lab := newProgressLab(t, 80)
	lab.c.phase("reading")
	lab.c.env.progress.mute()
	lab.pass(2 * time.Second)
	lab.wantScreen("")
}

func TestProgressNeedsATerminal(t *testing.T) {
	for name, env := range map[string]*environment{
		"no terminal":     {terminal: true, getenv: func(string) string { return "" }},
		"a dumb terminal": {stderrTerminal: true, getenv: func(string) string { return "dumb" }},
	} {
		with := env.withProgress()
		if with.progress != nil {
			t.Errorf("%s: there is a progress", name)
		}
		c := &cli{env: with}
		c.phase("reading") // and nothing falls over
		c.idle()
		with.progress.mute()
		with.progress.end()
	}
}

// pseudoTerminal makes a terminal, and gives the end that svcctl writes to and what is seen at the other one (pty(7)).
func pseudoTerminal(t *testing.T) (tty *os.File, screen *lockedBuffer) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("SVCCTL_REQUIRE_NETNS") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	screen = &lockedBuffer{}
	go func() { _, _ = io.Copy(screen, master) }()
	return tty, screen
}

const aService = `{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}`

// svcctl itself, at a terminal, waits for its standard input: it says so, and at the end the line is gone.
func TestProgressAtATerminal(t *testing.T) {
	t.Parallel()
	tty, screen := pseudoTerminal(t)
	cmd, input := waiting(t, "validate", "-f", "-")
	cmd.Stderr = tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute) // only a failure takes as long
	for !strings.Contains(screen.String(), "reading standard input … 1s") && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	finish(t, cmd, input)
	for !strings.Contains(screen.String(), "warning") && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond) // until it has come through the terminal
	}
	if got := screen.String(); !strings.HasPrefix(got, eraseLine+"reading standard input … 1s") || !strings.Contains(got, eraseLine+"<stdin>:") {
		t.Errorf("on the screen: %q; want the progress, and then a warning in its place", got)
	}
}

// Programs that read along, and logs, see none of it.
func TestNoProgressForPrograms(t *testing.T) {
	for name, tc := range map[string]struct {
		args     []string
		terminal bool
	}{
		"json at a terminal":  {[]string{"get", "svc", "-o", "json", "-f", "-"}, true},
		"a log at a terminal": {[]string{"get", "svc", "--log-format", "json", "-f", "-"}, true},
		"a pipe":              {[]string{"get", "svc", "-f", "-"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, input := waiting(t, tc.args...)
			screen := &lockedBuffer{}
			cmd.Stderr = screen
			if tc.terminal {
				var tty *os.File
				tty, screen = pseudoTerminal(t)
				cmd.Stderr = tty
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(patience + 3*redraw) // a progress would be there by now, mostly
			finish(t, cmd, input)
			if got := screen.String(); got != "" {
				t.Errorf("on the screen: %q, want nothing", got)
			}
		})
	}
}

// waiting prepares a svcctl that waits for its standard input.
func waiting(t *testing.T, args ...string) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, nil)
	cmd := exec.CommandContext(t.Context(), "svcctl", args...)
	cmd.Env = append(os.Environ(), "SVCCTL_CONFIG="+config, "SVCCTL_STATE_DIR="+t.TempDir(), "TERM=xterm")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return cmd, input
}

func finish(t *testing.T, cmd *exec.Cmd, input io.WriteCloser) {
	t.Helper()
	if _, err := io.WriteString(input, aService); err != nil {
		t.Error(err)
	}
	_ = input.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
