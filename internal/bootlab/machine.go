package bootlab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bootPatience is how long a boot may take on a busy machine.
const bootPatience = time.Minute

// Machine is a machine that systemd can be booted on. What is written to its files stays from one boot to the next.
type Machine struct {
	keeper *exec.Cmd
	groups string // as the keeper sees it

	mu     sync.Mutex // guards the conversation with the keeper
	ask    io.WriteCloser
	said   *bufio.Reader
	errors bytes.Buffer // the keeper's standard error
	pid    int          // of systemd; 0: not booted
}

// New makes a machine. The caller closes it.
func New() (*Machine, error) {
	if err := available(); err != nil {
		return nil, err
	}
	outside, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil, err
	}
	m := &Machine{keeper: exec.Command("/proc/self/exe")}
	m.keeper.Env = append(os.Environ(), roleEnv+"="+keeperRole, outsideEnv+"="+outside)
	m.keeper.Stderr = &m.errors
	m.keeper.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS,
		// Whatever is sent to the test's terminal, the keeper is to see its standard input end, and then to clear up.
		Setsid: true,
	}
	ask, err := m.keeper.StdinPipe()
	if err != nil {
		return nil, err
	}
	said, err := m.keeper.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.ask, m.said = ask, bufio.NewReader(said)
	if err := m.keeper.Start(); err != nil {
		if errors.Is(err, unix.EPERM) {
			err = &unavailableError{"a mount namespace: " + err.Error()}
		}
		return nil, err
	}
	if m.groups, err = m.listen(saidReady); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// listen reads what the keeper says.
func (m *Machine) listen(word string) (string, error) {
	line, err := m.said.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the keeper says nothing: %w", err)
	}
	line = strings.TrimSuffix(line, "\n")
	if why, ok := strings.CutPrefix(line, saidUnavailable); ok {
		return "", &unavailableError{why}
	}
	if why, ok := strings.CutPrefix(line, saidFailed); ok {
		return "", errors.New(why)
	}
	result, ok := strings.CutPrefix(line, word)
	if !ok {
		return "", fmt.Errorf("the keeper says %q", line)
	}
	return result, nil
}

func (m *Machine) demand(line string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := fmt.Fprintln(m.ask, line); err != nil {
		return "", err
	}
	return m.listen(saidDone)
}

// Boot boots the machine and waits until it is up: everything that it starts by itself has started, or failed.
func (m *Machine) Boot(ctx context.Context, opts Options) error {
	pid, err := m.demand(askBoot + opts.Network)
	if err != nil {
		return err
	}
	if m.pid, err = strconv.Atoi(pid); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	// The manager answers some moments after it was started; "degraded" is an exit code, too.
	for {
		state, err := m.Run(ctx, "", "systemctl", "is-system-running", "--wait")
		switch strings.TrimSpace(state) {
		case "running", "degraded":
			return nil
		}
		select {
		case <-ctx.Done():
			journal, _ := m.Journal("--lines=100") // whether there is one or not
			return fmt.Errorf("not up: %q: %w\n%s", state, err, journal)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Running reports whether the machine was booted and not halted.
func (m *Machine) Running() bool { return m.pid != 0 }

// Halt stops all units and ends.
func (m *Machine) Halt() error {
	m.pid = 0
	_, err := m.demand(askHalt)
	return err
}

// Kill ends everything at once, like a power failure.
func (m *Machine) Kill() error {
	m.pid = 0
	_, err := m.demand(askKill)
	return err
}

// Close takes the machine away with everything that was written to it.
func (m *Machine) Close() error {
	m.pid = 0
	if err := m.ask.Close(); err != nil {
		return err
	}
	if err := m.keeper.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(m.errors.Bytes()))
	}
	return nil
}

// Run runs a command in the machine, as root, without a session and with a bare environment, and gives what it printed. The
// error has its standard error.
func (m *Machine) Run(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	if !m.Running() {
		return "", errors.New("the machine does not run")
	}
	// systemd can move only what is in a control group that it sees into one of its own.
	group, err := os.Open(filepath.Join(m.keeperRoot(), m.groups, consoleDir))
	if err != nil {
		return "", err
	}
	defer group.Close() //nolint:errcheck // nothing is written to it
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--all", "--target=" + strconv.Itoa(m.pid), "--", name}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb", "HOME=/root"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	cmd.WaitDelay = time.Second // what the command left behind may hold its output open
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

// Journal gives messages of this boot, without times. The arguments are journalctl's.
func (m *Machine) Journal(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bootPatience)
	defer cancel()
	if _, err := m.Run(ctx, "", "journalctl", "--sync"); err != nil {
		return "", err
	}
	return m.Run(ctx, "", "journalctl", append([]string{"--boot", "--no-pager", "--quiet", "--output=cat"}, args...)...)
}

// keeperRoot is the root of the keeper's mount namespace.
func (m *Machine) keeperRoot() string { return fmt.Sprintf("/proc/%d/root", m.keeper.Process.Pid) }

// Path gives a path of the test's by which a file of the machine can be reached, whether it runs or not. What is mounted
// below the machine's root, /run and /tmp for instance, is not there.
func (m *Machine) Path(file string) string { return filepath.Join(m.keeperRoot(), rootDir, file) }

// WriteFile writes a file of the machine, with the directories above it. As an editor does it: under another name first.
func (m *Machine) WriteFile(file, content string) error {
	path := m.Path(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	draft := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".draft")
	if err := os.WriteFile(draft, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

// CopyFile copies a file of the test's into the machine, with its mode.
func (m *Machine) CopyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	path := m.Path(to)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, info.Mode().Perm())
}

// Processes gives the process ids of the keeper and of systemd, 0 where it does not run.
func (m *Machine) Processes() (keeper, manager int) { return m.keeper.Process.Pid, m.pid }
