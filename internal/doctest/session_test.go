package doctest

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stepPatience is how long one command of a document may take.
const stepPatience = 30 * time.Second

// session is a shell that is typed into as a reader would: the commands of a document share its variables, its directory
// and its background jobs, and one that starts another shell talks to that from then on.
type session struct {
	stdin  io.WriteCloser
	output *bufio.Reader // standard output and standard error
	mark   string        // what no command prints: it ends the output of each
	kill   func()
}

// sessionEnv is the variable that every process of a session has, with the session's mark.
const sessionEnv = "DOCTEST_SESSION"

// newSession starts a shell in the root of the repository, with a directory first in its PATH and no settings of svcctl.
func newSession(t *testing.T, bin string) *session {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "--norc", "--noprofile", "-s")
	cmd.Dir = "../.."
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SVCCTL_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	mark := "end-of-step-" + rand.Text()
	// Readers have languages; the order of sort(1) must not.
	cmd.Env = append(cmd.Env, "LC_ALL=C", "SVCCTL_CONFIG="+os.DevNull, sessionEnv+"="+mark,
		"PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it started ends with it
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the shell has it
	group := -cmd.Process.Pid
	s := &session{stdin: stdin, output: bufio.NewReader(output), mark: mark, kill: func() {
		_ = syscall.Kill(group, syscall.SIGTERM)
	}}
	t.Cleanup(func() {
		_ = stdin.Close() // the end of a session: every shell in it ends, and tidies up
		ended := time.AfterFunc(stepPatience, s.kill)
		_ = cmd.Wait() // how the shell ends says nothing beyond the steps
		ended.Stop()
		for _, pid := range s.processes() { // whatever did not listen, in another group too
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = output.Close()
	})
	return s
}

// processes gives those that the session started and that still run, the shell itself among them.
func (s *session) processes() []int {
	var out []int
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is right
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended, or is somebody else's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil &&
			slices.Contains(strings.Split(string(environ), "\x00"), sessionEnv+"="+s.mark) {
			out = append(out, pid)
		}
	}
	return out
}

// run types a command, waits until it is done, and gives what was printed meanwhile and its exit code.
func (s *session) run(command string) (printed string, code int, err error) {
	patience := time.AfterFunc(stepPatience, s.kill)
	defer patience.Stop()
	// The last line leaves $? as the command left it: the next one may ask.
	_, err = fmt.Fprintf(s.stdin, "%s\n{ step=$?; printf '\\n%%s %%d\\n' %s $step; (exit $step); }\n", command, s.mark)
	if err != nil {
		return "", 0, fmt.Errorf("the shell is gone: %w", err)
	}
	var out strings.Builder
	for {
		line, err := s.output.ReadString('\n')
		if err != nil {
			return out.String() + line, 0, fmt.Errorf("the shell ended, or was ended after %v: %w", stepPatience, err)
		}
		if rest, ok := strings.CutPrefix(line, s.mark+" "); ok {
			code, err := strconv.Atoi(strings.TrimSpace(rest))
			return strings.TrimSuffix(out.String(), "\n"), code, err
		}
		out.WriteString(line)
	}
}

// follow runs the terminals of a document in a session. Every command must succeed and print what is shown; the first that
// does not ends it, since what comes after it builds on it.
func (s *session) follow(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := terminals(string(text))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(steps) == 0 {
		t.Fatalf("%s shows no command", path)
	}
	s.followSteps(t, path, steps)
}

func (s *session) followSteps(t *testing.T, path string, steps []step) {
	t.Helper()
	for _, step := range steps {
		if err := s.check(step); err != nil {
			t.Fatalf("%s:%d: $ %s\n%v", path, step.line, step.command, err)
		}
	}
}

func (s *session) check(step step) error {
	printed, code, err := s.run(step.command)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, printed)
	}
	// 1 from diff says that something differs, which is what it shows.
	isDiff := strings.HasPrefix(strings.TrimPrefix(step.command, "sudo "), "svcctl diff ")
	if code != 0 && (code != 1 || !isDiff) {
		return fmt.Errorf("exit code %d:\n%s", code, printed)
	}
	if !match(step.want, printed) {
		return fmt.Errorf("shown:\n%s\nprinted:\n%s", step.want, printed)
	}
	return nil
}

func TestSession(t *testing.T) {
	s := newSession(t, t.TempDir())
	for _, c := range []struct {
		command, want string
		code          int
	}{
		{"a=1; printf without-newline", "without-newline", 0},
		{"echo $a; echo to-stderr >&2", "1\nto-stderr", 0},
		{"(exit 3)", "", 3},
		{"echo $?", "3", 0},
		{"cat <<END\none\n$a\nEND", "one\n1", 0},
		{"sleep 0.1 & :", "", 0},
		{"wait $!", "", 0},
		{"bash --norc", "", 0}, // a shell in the shell
		{"a=2; echo $SHLVL$a", "…2", 0},
		{"exit 4", "", 4},
		{"echo $a", "1", 0},
	} {
		got, code, err := s.run(c.command)
		if err != nil {
			t.Fatalf("%s: %v", c.command, err)
		}
		if !match(c.want, got) || code != c.code {
			t.Errorf("%s: printed %q with exit code %d, want %q with %d", c.command, got, code, c.want, c.code)
		}
	}
}

func TestSessionTellsWhatIsNotAsShown(t *testing.T) {
	s := newSession(t, t.TempDir())
	for _, c := range []struct {
		step step
		want string
	}{
		{step{1, "echo one", "two\n"}, "shown:\ntwo\n\nprinted:\none\n"},
		{step{2, "echo no; false", "no\n"}, "exit code 1:\nno\n"},
		{step{3, "exit", ""}, "the shell ended"},
	} {
		if err := s.check(c.step); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.step.command, err, c.want)
		}
	}
}
