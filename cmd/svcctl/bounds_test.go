package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memoryBound is how much memory a hostile input may take, in bytes: what manifests of the largest size that is read take is
// far more. What the test itself takes is in what the kernel counts, for the child begins with its memory.
const memoryBound = 512 << 20

// zeros and yes never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type yes struct{}

func (yes) Read(p []byte) (int, error) { return copy(p, strings.Repeat("y\n", (len(p)+1)/2)), nil }

// Whatever the input is, the command ends with exit code 2 and a word about what is too much, and takes little memory.
func TestHostileInputIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory, of which the race detector takes several times as much: not in short mode")
	}
	repeated := func(before, each string, n int) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, before)
			for block := strings.Repeat(each, 1000); n > 0 && err == nil; n -= 1000 {
				_, err = io.WriteString(w, block)
			}
			return err
		}
	}
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
	for name, c := range map[string]struct {
		write func(io.Writer) error // into a file
		size  int64                 // of a file with nothing in it
		stdin io.Reader
		want  string
	}{
		"a million documents":        {write: repeated("", "---\na: 1\n", 1_000_000), want: "and 951 more"},
		"two million of other kinds": {write: repeated("", "---\nkind: X\napiVersion: v1\n", 2_000_000), want: "more than 1000000 documents"},
		"a million items":            {write: repeated("kind: List\napiVersion: v1\nitems:\n", "- a: b\n", 1_000_000), want: "more than 1000000 documents"},
		"a list in brackets":         {write: repeated("a: [", "a,", 16<<20), want: "a document of 3355"},
		"brackets":                   {write: repeated("", "[", 32<<20), want: "a document of 3355"},
		"brackets, fewer":            {write: repeated("", "[", 2_000_000), want: "max depth"},
		"braces":                     {write: repeated("", "{a: ", 500_000), want: "max depth"},
		"one long line":              {write: repeated("", "xxxxxxxxxxxxxxxx", 4<<20), want: "a document of 671"},
		"one long value":             {write: repeated(service+"spec: {clusterIP: \"", "xxxxxxxx", 200_000), want: "not YAML"},
		"keys twice":                 {write: repeated(service+"spec:\n", "  type: x\n", 200_000), want: "and 50 more"},
		"unknown fields":             {write: repeated(service+"spec:\n", "  tpye: x\n", 200_000), want: "and 50 more"},
		"aliases of aliases":         {write: bomb, want: "excessive aliasing"},
		"one name":                   {write: repeated("", "---\n"+service, 200_000), want: "Duplicate value"},
		"ports":                      {write: repeated(service+"spec:\n  ports:\n", "  - {port: 1}\n", 100_000), want: "Required value"},
		"a gigabyte":                 {size: 1 << 30, want: "no more than 256 MiB"},
		"a terabyte":                 {size: 1 << 40, want: "no more than 256 MiB"},
		"/dev/zero":                  {stdin: zeros{}, want: "no more than 256 MiB"},
		"yes":                        {stdin: yes{}, want: "no more than 256 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("many megabytes: not in short mode")
			}
			path := filepath.Join(t.TempDir(), "x.yaml")
			f, err := os.Create(path)
			if err == nil && c.write != nil {
				err = c.write(f)
			}
			if err := errors.Join(err, f.Truncate(max(c.size, size(f))), f.Close()); err != nil {
				t.Fatal(err)
			}
			if c.stdin != nil {
				path = "-"
			}
			checkBounded(t, c.stdin, c.want, "-f", path)
		})
	}
}

func size(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// bomb is ten thousand million strings, if its aliases are taken at their word.
func bomb(w io.Writer) error {
	_, err := io.WriteString(w, "a: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c <= 'j'; c++ {
		alias := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", ")
		_, werr := fmt.Fprintf(w, "%c: &%c [%s]\n", c, c, alias)
		err = errors.Join(err, werr)
	}
	return err
}

func checkBounded(t *testing.T, stdin io.Reader, want string, args ...string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "svcctl", append([]string{
		"validate", "--config=/dev/null", "--state-dir=" + filepath.Join(t.TempDir(), "state"),
	}, args...)...)
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInput || !strings.Contains(stderr.String(), want) {
		t.Errorf("got %v, and %.2000q; want exit code 2 and %q", err, stderr.String(), want)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("the system does not tell how much memory it took")
	}
	if peak := usage.Maxrss << 10; peak > memoryBound {
		t.Errorf("it took %d MiB", peak>>20)
	}
	if lines := strings.Count(stderr.String(), "\n"); lines > maxShown+2 {
		t.Errorf("it said %d lines", lines)
	}
}

// What is in a directory and no file is named, and never waited for.
func TestHostileDirectories(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory, of which the race detector takes several times as much: not in short mode")
	}
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"pipe": {func(dir string) error { return syscall.Mkfifo(dir+"/a.yaml", 0o600) }, `a.yaml" is a named pipe`},
		"link to pipe": {func(dir string) error {
			return errors.Join(syscall.Mkfifo(dir+"/p", 0o600), os.Symlink("p", dir+"/a.yaml"))
		}, `a.yaml" is a named pipe`},
		"device": {func(dir string) error { return os.Symlink("/dev/zero", dir+"/a.yaml") }, `a.yaml" is a device`},
		"loop":   {func(dir string) error { return os.Symlink("a.yaml", dir+"/a.yaml") }, "too many levels of symbolic links"},
		"loop of directories": {func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/sub", 0o700), os.Symlink("..", dir+"/sub/up"), os.Symlink(".", dir+"/here.yaml"))
		}, "has no manifests"},
		"two of 200 MiB": {func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/a.yaml", nil, 0o600), os.Truncate(dir+"/a.yaml", 200<<20),
				os.WriteFile(dir+"/b.yaml", nil, 0o600), os.Truncate(dir+"/b.yaml", 200<<20))
		}, "no more than 256 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			checkBounded(t, nil, c.want, "-R", "-f", dir)
		})
	}
}

// Everything that svcctl writes is in the state directory: it works where all else is read-only.
func TestWritesNothingElsewhere(t *testing.T) {
	newHost(t, 0) // a network namespace
	dir := t.TempDir()
	for i, text := range []string{manifestOf(1), manifestOf(2)} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yaml", i+1)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("confined", state, "touch", filepath.Join(dir, "x")).CombinedOutput(); err == nil {
		t.Fatalf("outside the state directory something can be written: %s", out)
	}
	for _, line := range []string{
		"apply -f 1.yaml", "apply -f 1.yaml", "diff -f 2.yaml", "apply -f 2.yaml --confirm=60s", "confirm", "status", "verify",
		"get services", "describe services", "render -f 2.yaml", "validate -f 2.yaml", "allocate -f 2.yaml", "stats", "rollback",
		"apply -f 2.yaml --confirm=1s", "completion bash", "version", "delete --all",
	} {
		cmd := exec.CommandContext(t.Context(), "confined", append([]string{state, "svcctl"}, strings.Fields(line)...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SVCCTL_CONFIG=/dev/null", "SVCCTL_STATE_DIR="+state, "SVCCTL_NODE_NAME=node-a", "TMPDIR=/nowhere")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitDifferent) {
			t.Errorf("svcctl %s: %v\n%s", line, err, out)
		}
		if line == "apply -f 1.yaml" {
			checkModes(t, state)
		}
		if strings.HasSuffix(line, "=1s") {
			await(t, func() bool {
				_, err := os.Stat(filepath.Join(state, "own", "svcctl", "unconfirmed"))
				return err != nil
			})
		}
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	for range 300 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("it did not come to pass in half a minute")
}

// checkModes sees that nobody else can read the state, and that there is all that there should be.
func checkModes(t *testing.T, state string) {
	t.Helper()
	for _, file := range []string{"own/svcctl/applied", "own/svcctl/lock", "cache/decoded"} {
		if _, err := os.Stat(filepath.Join(state, file)); err != nil {
			t.Error(err)
		}
	}
	err := filepath.Walk(state, func(path string, info os.FileInfo, err error) error {
		want := os.FileMode(0o600)
		if err == nil && info.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
