package watch

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// start watches paths and gives a function that says whether a signal comes.
func start(t *testing.T, recursive bool, paths ...string) (changed func() bool) {
	t.Helper()
	w, err := New(paths, recursive, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() bool {
		select {
		case <-w.Changes():
			return true
		case <-time.After(20 * time.Second):
			return false
		}
	}
}

// place is a directory to change things in.
type place struct {
	t   *testing.T
	dir string
}

func (p place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p place) write(path, text string) {
	p.t.Helper()
	p.must(os.MkdirAll(filepath.Dir(p.dir+path), 0o755))
	p.must(os.WriteFile(p.dir+path, []byte(text), 0o600))
}

func (p place) rename(from, to string) { p.must(os.Rename(p.dir+from, p.dir+to)) }

func (p place) link(target, path string) { p.must(os.Symlink(target, p.dir+path)) }

func (p place) remove(path string) { p.must(os.RemoveAll(p.dir + path)) }

// TestChanges: every way in which what is behind a path changes is noticed, and noticed again afterwards.
func TestChanges(t *testing.T) {
	for _, x := range []struct {
		name      string
		recursive bool
		prepare   func(p place) (path string)
		changes   []func(p place)
	}{
		{
			"a file is written, replaced, removed and made again", false,
			func(p place) string { p.write("/a.yaml", "1"); return p.dir + "/a.yaml" },
			[]func(place){
				func(p place) { p.write("/a.yaml", "2") },
				func(p place) { p.write("/.b", "3"); p.rename("/.b", "/a.yaml") },
				func(p place) { p.write("/a.yaml", "4") },
				func(p place) { p.remove("/a.yaml") },
				func(p place) { p.write("/a.yaml", "5") },
			},
		},
		{
			"a file comes into a directory, changes and goes", false,
			func(p place) string { p.write("/d/a.yaml", "1"); return p.dir + "/d" },
			[]func(place){
				func(p place) { p.write("/d/b.yaml", "2") },
				func(p place) { p.write("/d/b.yaml", "3") },
				func(p place) { p.remove("/d/b.yaml") },
			},
		},
		{
			"a directory is replaced, and what is in the new one changes", false,
			func(p place) string { p.write("/d/a.yaml", "1"); return p.dir + "/d" },
			[]func(place){
				func(p place) {
					p.write("/new/a.yaml", "2")
					p.rename("/d", "/old")
					p.rename("/new", "/d")
				},
				func(p place) { p.write("/d/a.yaml", "3") },
				func(p place) { p.remove("/d") },
				func(p place) { p.write("/d/a.yaml", "4") },
				func(p place) { p.write("/d/a.yaml", "5") },
			},
		},
		{
			"an ancestor is replaced", false,
			func(p place) string { p.write("/x/y/d/a.yaml", "1"); return p.dir + "/x/y/d" },
			[]func(place){
				func(p place) { p.rename("/x", "/old"); p.write("/x/y/d/a.yaml", "2") },
				func(p place) { p.write("/x/y/d/a.yaml", "3") },
			},
		},
		{
			"a path that is not there comes to be", false,
			func(p place) string { return p.dir + "/x/y/a.yaml" },
			[]func(place){
				func(p place) { p.write("/x/y/a.yaml", "1") },
				func(p place) { p.write("/x/y/a.yaml", "2") },
			},
		},
		{
			"a subdirectory is made, and a file in it changes", true,
			func(p place) string { p.write("/d/a.yaml", "1"); return p.dir + "/d" },
			[]func(place){
				func(p place) { p.write("/d/sub/deep/a.yaml", "2") },
				func(p place) { p.write("/d/sub/deep/a.yaml", "3") },
			},
		},
		{
			"a symbolic link leads elsewhere, and what it leads to changes", false,
			func(p place) string {
				p.write("/one/a.yaml", "1")
				p.write("/two/a.yaml", "2")
				p.link("one/a.yaml", "/a.yaml")
				return p.dir + "/a.yaml"
			},
			[]func(place){
				func(p place) { p.write("/one/a.yaml", "3") },
				func(p place) {
					p.link("two/a.yaml", "/new")
					p.rename("/new", "/a.yaml")
				},
				func(p place) { p.write("/two/a.yaml", "4") },
			},
		},
		{
			"the kubelet changes a mounted ConfigMap", false,
			func(p place) string {
				p.write("/d/..1/a.yaml", "1")
				p.link("..1", "/d/..data")
				p.link("..data/a.yaml", "/d/a.yaml")
				return p.dir + "/d"
			},
			[]func(place){
				func(p place) {
					p.write("/d/..2/a.yaml", "2")
					p.link("..2", "/d/..data_tmp")
					p.rename("/d/..data_tmp", "/d/..data")
					p.remove("/d/..1")
				},
			},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := place{t, t.TempDir()}
			changed := start(t, x.recursive, x.prepare(p))
			for i, change := range x.changes {
				change(p)
				if !changed() {
					t.Fatalf("change %d was not noticed", i)
				}
				// The signal comes after the burst is over: nothing of it may be left to be mistaken for the next one.
				time.Sleep(2 * quiet)
			}
		})
	}
}

// TestNoise: what happens beside the paths is nobody's business.
func TestNoise(t *testing.T) {
	p := place{t, t.TempDir()}
	p.write("/a.yaml", "1")
	w, err := New([]string{p.dir + "/a.yaml"}, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.Run(t.Context()) }()
	for range 20 {
		p.write("/b.yaml", "2")
		p.write("/c/a.yaml", "2")
	}
	select {
	case <-w.Changes():
		t.Error("a signal about another file")
	case <-time.After(5 * quiet):
	}
}

// TestBurst: many changes are a few signals, and a burst that does not end is told of all the same.
func TestBurst(t *testing.T) {
	p := place{t, t.TempDir()}
	w, err := New([]string{p.dir}, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.Run(t.Context()) }()
	start := time.Now()
	signals, changes := 0, 0
	for ; signals < 3; changes++ {
		p.write("/a.yaml", "1")
		select {
		case <-w.Changes():
			signals++
		case <-time.After(quiet / 50):
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("%d signals in a minute", signals)
		}
	}
	// Between two signals it has been quiet for a while, or more than that has passed.
	if most := int(time.Since(start)/quiet) + 1; signals > most || changes < signals {
		t.Errorf("%d signals of %d changes in %s", signals, changes, time.Since(start))
	}
}
