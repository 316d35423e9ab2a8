package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLook changes one thing after the other: each must show, and nothing else may.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, in("file"), "a")
	write(t, in("watched/x"), "a")
	write(t, in("watched/sub/y"), "a")
	write(t, in("target/z"), "a")
	write(t, in("other/z"), "a")
	check(os.Symlink("target", in("link")))
	check(os.Symlink(".", in("watched/loop")))
	flat := Tree{Paths: []string{in("file"), in("watched"), in("link"), in("later")}}
	deep := Tree{Paths: []string{in("watched")}, Recursive: true}
	was := Look(flat, deep)
	stamp := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, step := range []struct {
		name string
		do   func()
		seen bool
	}{
		{"nothing", func() {}, false},
		{"a file was written", func() { write(t, in("file"), "bb") }, true},
		{"its time was put to another", func() { check(os.Chtimes(in("file"), stamp, stamp)) }, true},
		{"it was written, with the same size and time", func() {
			write(t, in("file"), "cc")
			check(os.Chtimes(in("file"), stamp, stamp))
		}, true},
		{"it was replaced by a file of the same size and time", func() {
			write(t, in("new"), "dd")
			check(os.Chtimes(in("new"), stamp, stamp))
			check(os.Rename(in("new"), in("file")))
		}, true},
		{"it went", func() { check(os.Remove(in("file"))) }, true},
		{"a missing one came", func() { write(t, in("later"), "") }, true},
		{"a file came into the directory", func() { write(t, in("watched/w"), "a") }, true},
		{"one below a subdirectory was written", func() { write(t, in("watched/sub/y"), "bb") }, true},
		{"a link turned elsewhere", func() {
			check(os.Remove(in("link")))
			check(os.Symlink("other", in("link")))
		}, true},
		{"something else was written", func() { write(t, in("unwatched"), "a") }, false},
	} {
		// The times of files are as coarse as the kernel's tick.
		time.Sleep(10 * time.Millisecond)
		step.do()
		now := Look(flat, deep)
		if seen := now != was; seen != step.seen {
			t.Errorf("%s: seen %v, want %v\n%s\n%s", step.name, seen, step.seen, was, now)
		}
		was = now
	}
}

// TestChanged waits for a change, and comes back without one when it is told to.
func TestChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	tree := Tree{Paths: []string{file}}
	before := Look(tree)
	changed := make(chan bool)
	go func() { changed <- Changed(t.Context(), before, time.Millisecond, tree) }()
	select {
	case <-changed:
		t.Fatal("a change without one")
	case <-time.After(30 * time.Millisecond):
	}
	write(t, file, "a")
	if !<-changed {
		t.Error("the change was not seen")
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { changed <- Changed(ctx, Look(tree), time.Millisecond, tree) }()
	cancel()
	if <-changed {
		t.Error("a change where there was none")
	}
}
