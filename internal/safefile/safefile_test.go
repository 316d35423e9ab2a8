package safefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// needRoot skips what needs another user's files.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

const stranger = 4711

// secret is a file that svcctl must neither show, nor change, nor give away.
func secret(t *testing.T, dir string) (path string, check func()) {
	t.Helper()
	path = filepath.Join(dir, "secret")
	must(t, os.WriteFile(path, []byte("secret"), 0o644), os.Chmod(path, 0o644))
	return path, func() {
		t.Helper()
		data, err := os.ReadFile(path)
		info, serr := os.Stat(path)
		if err != nil || serr != nil || string(data) != "secret" || info.Mode() != 0o644 {
			t.Errorf("the file that is none of our business: %q, %v, %v", data, info.Mode(), errors.Join(err, serr))
		}
	}
}

// What somebody else prepared in place of the directory is refused, with its path and a way out, and nothing is written
// through it.
func TestDirectoriesOfOthers(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		prepare func(at, elsewhere string) error
		want    string // "": it is used
	}{
		"nothing there":        {func(string, string) error { return nil }, ""},
		"ours":                 {func(at, _ string) error { return os.Mkdir(at, 0o755) }, ""},
		"behind our link":      {func(at, e string) error { return os.Symlink(e, at) }, ""},
		"behind our relative":  {func(at, e string) error { return os.Symlink("../"+filepath.Base(e), at) }, ""},
		"another's":            {func(at, _ string) error { return errors.Join(os.Mkdir(at, 0o700), os.Chown(at, stranger, 0)) }, "belongs to user 4711"},
		"group may write":      {func(at, _ string) error { return errors.Join(os.Mkdir(at, 0o700), os.Chmod(at, 0o770)) }, "others than its owner"},
		"all may write":        {func(at, _ string) error { return errors.Join(os.Mkdir(at, 0o700), os.Chmod(at, 0o1777)) }, "others than its owner"},
		"another's link":       {func(at, e string) error { return errors.Join(os.Symlink(e, at), os.Lchown(at, stranger, 0)) }, "a symbolic link that user 4711 made"},
		"another's into ours":  {func(at, _ string) error { return errors.Join(os.Symlink("/etc", at), os.Lchown(at, stranger, 0)) }, "a symbolic link that user 4711 made"},
		"link to nothing":      {func(at, e string) error { return os.Symlink(e+"/none", at) }, "no such file"},
		"link to itself":       {func(at, _ string) error { return os.Symlink(at, at) }, "too many levels"},
		"link to another's":    {func(at, e string) error { return errors.Join(os.Symlink(e, at), os.Chown(e, stranger, 0)) }, "belongs to user 4711"},
		"a file":               {func(at, _ string) error { return os.WriteFile(at, nil, 0o600) }, "not a directory"},
		"a pipe":               {func(at, _ string) error { return syscall.Mkfifo(at, 0o600) }, "not a directory"},
		"a link to a file":     {func(at, e string) error { return errors.Join(os.WriteFile(e+"/f", nil, 0o600), os.Symlink(e+"/f", at)) }, "not a directory"},
		"another's link above": {func(at, e string) error { return replaceParent(at, e) }, "a symbolic link that user 4711 made"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			at, elsewhere := filepath.Join(base, "up", "state"), filepath.Join(base, "elsewhere")
			must(t, os.MkdirAll(filepath.Dir(at), 0o755), os.Mkdir(elsewhere, 0o755), c.prepare(at, elsewhere))
			before := entries(t, elsewhere)
			d, err := MakeDir(at)
			if err == nil {
				_, err = d.Make("own")
			}
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), base)):
				t.Errorf("got %v; want an error with a path and %q", err, c.want)
			case c.want != "" && entries(t, elsewhere) != before:
				t.Errorf("something was written behind the link: %s", entries(t, elsewhere))
			}
		})
	}
}

// replaceParent makes the directory above a link of somebody else's.
func replaceParent(at, elsewhere string) error {
	up := filepath.Dir(at)
	return errors.Join(os.Remove(up), os.Symlink(elsewhere, up), os.Lchown(up, stranger, 0))
}

func entries(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A directory that svcctl made and others may look into is closed; one that was given is left as it is, for it may be
// anybody's home.
func TestModes(t *testing.T) {
	base := filepath.Join(t.TempDir(), "given")
	must(t, os.Mkdir(base, 0o755), os.Mkdir(base+"/own", 0o755), os.Chmod(base, 0o755), os.Chmod(base+"/own", 0o755))
	d, err := MakeDir(base)
	must(t, err)
	defer d.Close()
	sub, err := d.Make("own")
	must(t, err)
	defer sub.Close()
	must(t, Replace(sub.Root(), "file", []byte("x"), Options{Mode: 0o600}))
	for path, want := range map[string]fs.FileMode{"": 0o755, "own": 0o700, "own/file": 0o600} {
		if info, err := os.Stat(filepath.Join(base, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: mode %v (%v), want %v", path, info.Mode(), err, want)
		}
	}
	deep, err := MakeDir(filepath.Join(base, "a", "b"))
	must(t, err)
	defer deep.Close()
	if info, err := os.Stat(filepath.Join(base, "a")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a directory on the way: %v, %v", info.Mode(), err)
	}
}

// What is in place of a file is neither read, nor waited for, nor written through. Each way that a file is opened is tried.
func TestFilesOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(at, secret string) error
		want    string
		root    bool
	}{
		"link": {prepare: func(at, s string) error { return os.Symlink(s, at) }, want: "not a regular file"},
		"link inside": {prepare: func(at, _ string) error {
			return errors.Join(os.WriteFile(at+"2", []byte("x"), 0o600), os.Symlink("file2", at))
		}, want: "not a regular file"},
		"link to none":   {prepare: func(at, _ string) error { return os.Symlink("none", at) }, want: "not a regular file"},
		"pipe":           {prepare: func(at, _ string) error { return syscall.Mkfifo(at, 0o600) }, want: "not a regular file"},
		"socket":         {prepare: mksock, want: "not a regular file"},
		"directory":      {prepare: func(at, _ string) error { return os.Mkdir(at, 0o700) }, want: "not a regular file"},
		"device":         {prepare: func(at, _ string) error { return syscall.Mknod(at, syscall.S_IFCHR|0o600, 1<<8|5) }, want: "not a regular file", root: true},
		"all may write":  {prepare: func(at, _ string) error { return errors.Join(os.WriteFile(at, nil, 0o600), os.Chmod(at, 0o666)) }, want: "others than its owner"},
		"another's":      {prepare: func(at, _ string) error { return errors.Join(os.WriteFile(at, nil, 0o600), os.Chown(at, stranger, 0)) }, want: "belongs to user 4711", root: true},
		"hard link":      {prepare: func(at, s string) error { return os.Link(s, at) }},
		"sparse monster": {prepare: func(at, _ string) error { return errors.Join(os.WriteFile(at, nil, 0o600), os.Truncate(at, 1<<40)) }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			base := t.TempDir()
			s, unharmed := secret(t, base)
			dir := filepath.Join(base, "state")
			d, err := MakeDir(dir)
			must(t, err)
			defer d.Close()
			at := filepath.Join(dir, "file")
			must(t, c.prepare(at, s))
			if _, err := d.Read("file", 1<<20); name != "hard link" && (err == nil || !strings.Contains(err.Error(), at)) {
				t.Errorf("reading: got %v; want an error with the path", err)
			} else if c.want != "" && !strings.Contains(err.Error(), c.want) {
				t.Errorf("reading: got %v; want %q", err, c.want)
			}
			f, err := d.LockFile("file")
			if err == nil {
				must(t, f.Close())
			}
			if (c.want != "" || name == "hard link") && err == nil {
				t.Error("it was taken for a lock")
			}
			if name != "directory" {
				must(t, Replace(d.Root(), "file", []byte("new"), Options{Mode: 0o600}))
				if got, err := d.Read("file", 3); err != nil || string(got) != "new" {
					t.Errorf("after it was replaced: %q, %v", got, err)
				}
				// The same, in place of the draft.
				must(t, os.Rename(at, at+".old"), c.prepare(at+".new", s))
				if _, err := Write(d.Root(), "file", []byte("new"), Options{Draft: "file.new"}); !errors.Is(err, fs.ErrExist) {
					t.Errorf("a draft in the place of something else: got %v", err)
				}
				log, err := d.Create("file.new")
				must(t, err)
				must(t, log.Close())
			}
			unharmed()
		})
	}
}

func mksock(at, _ string) error { return syscall.Mknod(at, syscall.S_IFSOCK|0o600, 0) }

// While another process swaps the directory, and one in it, for a link and back, every write lands in the directory or fails.
func TestSwappedWhileInUse(t *testing.T) {
	base := t.TempDir()
	state, elsewhere := filepath.Join(base, "state"), filepath.Join(base, "elsewhere")
	must(t, os.MkdirAll(filepath.Join(state, "own"), 0o700), os.MkdirAll(filepath.Join(elsewhere, "own"), 0o700))
	if os.Geteuid() == 0 { // then it is not ours to begin with
		must(t, os.Chown(elsewhere, stranger, 0), os.Chown(filepath.Join(elsewhere, "own"), stranger, 0))
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	swap := func(path string) {
		for !stop.Load() {
			_ = os.Rename(path, path+".kept")
			_ = os.Symlink(elsewhere, path)
			_ = os.Remove(path)
			_ = os.Rename(path+".kept", path)
			runtime.Gosched() // all is in place for a moment, also where there are no more processors than swappers
		}
	}
	// By its descriptor, or this one would move about in what the other one puts in place of the directory above.
	above, err := os.Open(state)
	must(t, err)
	defer above.Close()
	wg.Go(func() { swap(fmt.Sprintf("/proc/self/fd/%d/own", above.Fd())) })
	if os.Geteuid() == 0 {
		wg.Go(func() { swap(state) })
	}
	written := 0
	deadline := time.Now().Add(time.Minute) // only a failure takes as long
	for tries := 0; tries < 3000 || written < 10 && time.Now().Before(deadline); tries++ {
		d, err := OpenDir(state)
		if err != nil {
			continue
		}
		if own, err := d.Open("own"); err == nil {
			if Replace(own.Root(), "file", []byte("x"), Options{Mode: 0o600, Volatile: true}) == nil {
				written++
			}
			own.Close()
		}
		d.Close()
	}
	stop.Store(true)
	wg.Wait()
	for _, dir := range []string{elsewhere, filepath.Join(elsewhere, "own")} {
		if got := entries(t, dir); strings.Contains(got, "file") || strings.Contains(got, ".svcctl") {
			t.Errorf("%s has %s", dir, got)
		}
	}
	if written == 0 {
		t.Error("nothing could ever be written")
	}
}

// endless never ends.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	return len(p), nil
}

func TestReadAll(t *testing.T) {
	for _, size := range []int{0, 1, firstChunk - 1, firstChunk, firstChunk + 1, 3*lastChunk + 5} {
		want := bytes.Repeat([]byte("ab"), (size+1)/2)[:size]
		got, err := ReadAll(bytes.NewReader(want), int64(size))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d came, %v", size, len(got), err)
		}
		var over *LimitError
		if _, err := ReadAll(bytes.NewReader(want), int64(size)-1); size > 0 && !errors.As(err, &over) {
			t.Errorf("%d bytes where one less is allowed: %v", size, err)
		}
	}
	e := &endless{}
	if _, err := ReadAll(e, 10<<20); err == nil || e.read > 10<<20+1 {
		t.Errorf("of what never ends %d bytes were read: %v", e.read, err)
	}
	broken := errors.New("broken")
	if _, err := ReadAll(io.MultiReader(strings.NewReader("x"), &failing{broken}), 10); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	small, large, pipe := filepath.Join(dir, "small"), filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	must(t, os.WriteFile(small, []byte("content"), 0o600), os.WriteFile(large, nil, 0o600), os.Truncate(large, 1<<40),
		syscall.Mkfifo(pipe, 0o600))
	for _, read := range []func(string, int64) ([]byte, error){ReadFile, ReadRegular} {
		if got, err := read(small, 7); err != nil || string(got) != "content" {
			t.Errorf("got %q, %v", got, err)
		}
		var over *LimitError
		for path, limit := range map[string]int64{small: 6, large: 1 << 20} {
			if _, err := read(path, limit); !errors.As(err, &over) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v", path, err)
			}
		}
		if _, err := read("/dev/zero", 10); err == nil {
			t.Error("an endless device was read")
		}
		if _, err := read(dir, 10); err == nil {
			t.Error("a directory was read")
		}
		// What says that it is empty and is not.
		if got, err := read("/proc/self/stat", 1<<20); err != nil || len(got) == 0 {
			t.Errorf("%q, %v", got, err)
		}
	}
	if got, err := ReadFile(os.DevNull, 10); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ReadRegular(pipe, 10); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: got %v", err)
	}
}
