package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestLockIsExclusive(t *testing.T) {
	s := NewStore(t.TempDir(), "", "svcctl")
	first, err := s.Lock("svcctl test")
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := s.Lock("svcctl test"); !errors.As(err, &held) {
		t.Fatalf("a second lock: got %v, want a *HeldError", err)
	}
	if want := fmt.Sprintf("process %d (svcctl test) is changing", os.Getpid()); !strings.HasPrefix(held.Error(), want) {
		t.Errorf("got %q; want %q …", held, want)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := s.Lock("svcctl test")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestReleaseAndRemove(t *testing.T) {
	root := t.TempDir()
	kept := locked(t, root, "", "other")
	s := NewStore(root, "", "svcctl")
	for _, others := range []bool{true, false} {
		l, err := s.Lock("svcctl test")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Save(record(), content()); err != nil {
			t.Fatal(err)
		}
		if err := l.ReleaseAndRemove(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(s.Dir()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the store's directory is still there: %v", err)
		}
		if _, err := os.Stat(kept.Dir()); (err == nil) != others {
			t.Errorf("the other store: %v", err)
		}
		if others {
			l, err := kept.Lock("svcctl test")
			var held *HeldError
			if !errors.As(err, &held) {
				t.Fatalf("the other store's lock was disturbed: %v, %v", l, err)
			}
			if err := os.RemoveAll(filepath.Dir(kept.Dir())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := os.Stat(root); err != nil {
		t.Errorf("the state directory itself is not ours to remove: %v", err)
	}
}

// Lock files are removed and made again while others want them: there must never be two holders.
func TestLockAgainstRemoval(t *testing.T) {
	s := NewStore(t.TempDir(), "", "svcctl")
	var holders, taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				l, err := s.Lock("svcctl test")
				var held *HeldError
				if errors.As(err, &held) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				taken.Add(1)
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				holders.Add(-1)
				if err := l.ReleaseAndRemove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got the lock")
	}
}

func TestLockBehindADanglingLink(t *testing.T) {
	root := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("nowhere", root); err != nil {
		t.Fatal(err)
	}
	if l, err := NewStore(root, "", "svcctl").Lock("svcctl test"); err == nil {
		t.Errorf("got %v; want an error", l)
	}
}

func TestLockWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := NewStore(root, "", "svcctl").Lock("svcctl test"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v; want a permission error", err)
	}
}
