// Package filewatch tells when files have changed, for commands that go on until they are interrupted.
//
// It takes paths and a time between two looks, and compares what stat(2) says of the files. It does not ask the kernel to
// be told: inotify(7) follows inodes, and names are what matters here. A name may be missing at first, be replaced by a
// rename, lead through symbolic links that turn to somewhere else, or lie on a file system of another host; each needs
// care with inotify and none with looking again.
package filewatch

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Tree is what to watch: files, and directories with what is in them.
type Tree struct {
	Paths     []string
	Recursive bool // look into the subdirectories of directories, too
}

// State is how files looked. Two that are equal mean that nothing was written, created, removed or replaced between them.
type State string

// Look gives the state of the trees. What is missing or may not be read has a state, too.
func Look(trees ...Tree) State {
	var b strings.Builder
	for _, t := range trees {
		for _, p := range t.Paths {
			note(&b, p)
			t.entries(&b, p)
		}
	}
	return State(b.String())
}

func (t *Tree) entries(b *strings.Builder, dir string) {
	entries, err := os.ReadDir(dir) // sorted by name; those of a file are none
	if err != nil {
		return
	}
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		note(b, p)
		// Links to directories are not followed, so that the walk ends.
		if t.Recursive && e.Type() == fs.ModeDir {
			t.entries(b, p)
		}
	}
}

// note adds what stat says of a path. The change time is there because it moves even where a modification time is put back.
func note(b *strings.Builder, path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(b, "%q %v\n", path, err)
		return
	}
	fmt.Fprintf(b, "%q %v %d %d", path, info.Mode(), info.Size(), info.ModTime().UnixNano())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		fmt.Fprintf(b, " %d %d %d", st.Dev, st.Ino, st.Ctim.Nano())
	}
	b.WriteByte('\n')
}

// maxRestless is how many looks a change that goes on is waited for.
const maxRestless = 8

// Changed waits until the trees look different from before, and then until they look the same twice, so that who writes
// them is probably done. It gives false when the context ends.
func Changed(ctx context.Context, before State, every time.Duration, trees ...Tree) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last, restless := before, 0
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		now := Look(trees...)
		if now == before {
			last, restless = now, 0 // changed and changed back: there is nothing new
			continue
		}
		if restless++; now == last || restless == maxRestless {
			return true
		}
		last = now
	}
}
