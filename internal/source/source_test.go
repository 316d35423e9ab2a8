package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree writes files (or, for names ending in "/", directories) into a new directory, makes it the working directory and
// gives its path.
func tree(t *testing.T, files ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, f := range files {
		dir := filepath.Dir(f)
		if strings.HasSuffix(f, "/") {
			dir = f
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == f {
			continue
		}
		if err := os.WriteFile(f, []byte("content of "+f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func names(t *testing.T, opts Options, paths ...string) []string {
	t.Helper()
	got, err := Read(t.Context(), paths, opts)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range got {
		names = append(names, s.Name)
		if want := "content of " + s.Name; s.Name != StdinName && string(s.Data) != want {
			t.Errorf("%s: got the bytes %q, want %q", s.Name, s.Data, want)
		}
	}
	return names
}

func TestReadOrder(t *testing.T) {
	tree(t, "d/b.yaml", "d/a.yml", "d/c.json", "d/upper.YAML", "d/notes.txt", "d/.hidden.yaml", "d/sub/x.yaml",
		"d/sub/deep/y.yaml", "d/.git/z.yaml", "plain", "a,b.yaml")
	stdin := Options{Stdin: strings.NewReader("in")}
	for _, tc := range []struct {
		name  string
		opts  Options
		paths []string
		want  []string
	}{
		{"directory", Options{}, []string{"d"}, []string{"d/a.yml", "d/b.yaml", "d/c.json", "d/upper.YAML"}},
		{
			"recursive",
			Options{Recursive: true},
			[]string{"d"},
			[]string{"d/a.yml", "d/b.yaml", "d/c.json", "d/sub/deep/y.yaml", "d/sub/x.yaml", "d/upper.YAML"},
		},
		{"named file, any extension", Options{}, []string{"plain", "d/notes.txt"}, []string{"plain", "d/notes.txt"}},
		{"named hidden file", Options{}, []string{"d/.hidden.yaml"}, []string{"d/.hidden.yaml"}},
		{"comma in a name", Options{}, []string{"a,b.yaml"}, []string{"a,b.yaml"}},
		{"arguments keep their order", stdin, []string{"plain", "-", "d/c.json"}, []string{"plain", StdinName, "d/c.json"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, names(t, tc.opts, tc.paths...)); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadSymbolicLinks(t *testing.T) {
	tree(t, "d/a.yaml", "other/b.yaml")
	for link, target := range map[string]string{
		"d/z.yaml": "../other/b.yaml", "d/loop": ".", "d/dir.yaml": "../other", "linked": "d",
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(t.Context(), []string{"linked"}, Options{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "linked/a.yaml" || got[1].Name != "linked/z.yaml" ||
		string(got[1].Data) != "content of other/b.yaml" {
		t.Errorf("got %q; want linked/a.yaml and the file behind linked/z.yaml", got)
	}
}

func TestReadRefuses(t *testing.T) {
	tree(t, "empty/", "outer/inner/a.yaml", "piped/a.yaml", "dangling/")
	if err := syscall.Mkfifo("piped/fifo.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", "dangling/x.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		paths []string
		want  []string
	}{
		{"missing", []string{"no", "nor"}, []string{`the path "no" does not exist`, `the path "nor" does not exist`}},
		{"empty name", []string{""}, []string{`the path "" does not exist`}},
		{
			"file as directory",
			[]string{"piped/a.yaml/x"},
			[]string{`the path "piped/a.yaml/x" cannot be read: not a directory`},
		},
		{"empty directory", []string{"empty"}, []string{`the directory "empty" has no manifests (.json, .yaml, .yml)`}},
		{"only subdirectories", []string{"outer"}, []string{"-R looks into its subdirectories"}},
		{"pipe in a directory", []string{"piped"}, []string{`the path "piped/fifo.yaml" is a named pipe`}},
		{"dangling link", []string{"dangling"}, []string{`the path "dangling/x.yaml" is a symbolic link to nothing`}},
		{"device", []string{"/dev/zero"}, []string{`the path "/dev/zero" is a device`}},
		{"standard input twice", []string{"-", "-"}, []string{"standard input cannot be used for multiple arguments"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Read(t.Context(), tc.paths, Options{Stdin: strings.NewReader("")})
			if err == nil {
				t.Fatalf("read %d sources; want an error", len(got))
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error is %q; want it to say %q", err, w)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(tc.want) {
				t.Errorf("the error has %d lines, want %d:\n%v", lines, len(tc.want), err)
			}
		})
	}
}

func TestReadUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	tree(t, "a.yaml")
	if err := os.Chmod("a.yaml", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(t.Context(), []string{"a.yaml"}, Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v; want a permission error", err)
	}
}

// An explicit named pipe is read: the shell's <(command) is one.
func TestReadNamedPipe(t *testing.T) {
	tree(t)
	if err := syscall.Mkfifo("fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile("fifo", []byte("content of fifo"), 0) }()
	if diff := cmp.Diff([]string{"fifo"}, names(t, Options{}, "fifo")); diff != "" {
		t.Error(diff)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// A cancelled context ends the wait for standard input, which nobody may ever write.
func TestReadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	in, out := io.Pipe()
	defer out.Close()
	reason := errors.New("the reason")
	go cancel(reason)
	if _, err := Read(ctx, []string{"-"}, Options{Stdin: in}); !errors.Is(err, reason) {
		t.Errorf("got %v; want the reason of the cancellation", err)
	}
}
