package cache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/manifest"
)

var day0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func key(i int) manifest.Key { return sha256.Sum256([]byte(fmt.Sprint("key ", i))) }

func value(i int) string { return fmt.Sprint("value ", i, strings.Repeat(".", i%100)) }

func open(t *testing.T, dir, build string) *Cache {
	t.Helper()
	c, err := Open(dir, Options{Build: build, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(c *Cache, from, to int) {
	for i := from; i < to; i++ {
		c.Put(key(i), func() []byte { return []byte(value(i)) })
	}
}

// get gives how many of the values there are, and sees that they are right.
func get(t *testing.T, c *Cache, from, to int) int {
	t.Helper()
	n := 0
	for i := from; i < to; i++ {
		v, ok := c.Get(key(i))
		if !ok {
			continue
		}
		n++
		if v != value(i) {
			t.Errorf("the value of %d is %q", i, v)
		}
	}
	return n
}

func save(t *testing.T, c *Cache, now time.Time) {
	t.Helper()
	if err := c.Save(now); err != nil {
		t.Fatal(err)
	}
}

// filled makes a file of n values, and gives its path.
func filled(t *testing.T, dir string, n int) string {
	t.Helper()
	c := open(t, dir, "b")
	put(c, 0, n)
	save(t, c, day0)
	return pathOf(c.stateDir)
}

func TestCache(t *testing.T) {
	for _, n := range []int{0, 1, 2, 1000} {
		dir := t.TempDir()
		filled(t, dir, n)
		c := open(t, dir, "b")
		if got := get(t, c, 0, n+10); got != n {
			t.Errorf("%d of %d values", got, n)
		}
	}
}

func TestModes(t *testing.T) {
	path := filled(t, t.TempDir(), 3)
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		if info, err := os.Stat(p); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", p, info.Mode(), err, want)
		}
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Without Keep nothing is encoded, and nothing written.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, Options{Build: "b"})
	if err != nil {
		t.Fatal(err)
	}
	c.Put(key(1), func() []byte { t.Error("encoded"); return nil })
	save(t, c, day0)
	if _, err := os.Stat(pathOf(c.stateDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written: %v", err)
	}
}

// What is not to be believed is not used, and says why.
func TestNotUsed(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(path string) error
		build string
		want  string
	}{
		"another build":    {build: "c", want: "of another build"},
		"another version":  {spoil: flip(15), want: "not a cache of this version"},
		"flipped build":    {spoil: flip(20), want: "of another build"},
		"flipped checksum": {spoil: flip(50), want: "checksum"},
		"flipped count":    {spoil: flip(80), want: "checksum"},
		"flipped key":      {spoil: flip(90), want: "checksum"},
		"flipped value":    {spoil: flip(-1), want: "checksum"},
		"cut short":        {spoil: resize(500), want: "checksum"},
		"cut in header":    {spoil: resize(70), want: "too short"},
		"empty":            {spoil: resize(0), want: "too short"},
		"longer":           {spoil: resize(100_000), want: "checksum"},
		"too large":        {spoil: resize(maxFile + 1), want: "larger than"},
		"others may write": {spoil: func(path string) error { return os.Chmod(path, 0o620) }, want: "others than its owner"},
		"open directory":   {spoil: func(path string) error { return os.Chmod(filepath.Dir(path), 0o777) }, want: "others than its owner"},
		"symbolic link":    {spoil: func(path string) error { return replaceByLink(path) }, want: "not a regular file"},
		"linked directory": {spoil: func(path string) error { return replaceByLink(filepath.Dir(path)) }, want: "not a directory"},
		"pipe": {spoil: func(path string) error {
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600))
		}, want: "not a regular file"},
		"directory": {spoil: func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}, want: "not a regular file"},
		"somebody else's": {spoil: func(path string) error { return os.Chown(path, 1, -1) }, want: "belongs to user 1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filled(t, dir, 100)
			if c.spoil != nil {
				err := c.spoil(path)
				if errors.Is(err, fs.ErrPermission) && os.Getuid() != 0 {
					t.Skip("only root can give files away")
				}
				must(t, err)
			}
			if c.build == "" {
				c.build = "b"
			}
			opened, err := Open(dir, Options{Build: c.build, Keep: true})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if n := get(t, opened, 0, 100); n > 0 {
				t.Errorf("%d values used", n)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// flip changes a bit of a file; a negative offset counts from the end.
func flip(at int) func(path string) error {
	return func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[(at+len(data))%len(data)] ^= 4
		return os.WriteFile(path, data, 0o600)
	}
}

func resize(size int64) func(path string) error {
	return func(path string) error { return os.Truncate(path, size) }
}

func replaceByLink(path string) error {
	return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
}

// A build that has no name has no cache: its values could be another's.
func TestNameless(t *testing.T) {
	dir := t.TempDir()
	c, _ := Open(dir, Options{Keep: true})
	put(c, 0, 3)
	save(t, c, day0)
	c, _ = Open(dir, Options{Keep: true})
	if get(t, c, 0, 3) > 0 {
		t.Error("a nameless build has a cache")
	}
}

// A little that is new is not worth writing everything again; a lot is, and little after little becomes a lot.
func TestWorthwhile(t *testing.T) {
	dir := t.TempDir()
	path := filled(t, dir, 1000)
	before, _ := os.ReadFile(path)
	c := open(t, dir, "b")
	get(t, c, 0, 999)
	put(c, 1000, 1001)
	save(t, c, day0)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("written for one value in a thousand")
	}
	c = open(t, dir, "b")
	get(t, c, 0, 900)
	put(c, 1000, 1100)
	save(t, c, day0)
	if got := get(t, open(t, dir, "b"), 0, 1100); got != 1100 {
		t.Errorf("%d values after a tenth was new", got)
	}
}

// What nobody used for a month goes, when the file is written; what is used does not look old.
func TestAge(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 100)
	at := day0
	for range 7 { // fifty days
		at = at.Add(refresh * 24 * time.Hour)
		c := open(t, dir, "b")
		get(t, c, 0, 50)
		save(t, c, at)
	}
	c := open(t, dir, "b")
	if used, unused := get(t, c, 0, 50), get(t, c, 50, 100); used != 50 || unused != 0 {
		t.Errorf("%d used and %d unused values are left", used, unused)
	}
}

// What is not used takes no more room than what is, or little.
func TestSize(t *testing.T) {
	dir := t.TempDir()
	large := strings.Repeat("x", 1<<20)
	for round := range 4 {
		c := open(t, dir, "b")
		for i := range 5 {
			c.Put(key(round*5+i), func() []byte { return []byte(large) })
		}
		save(t, c, day0.Add(time.Duration(round)*24*time.Hour))
	}
	c := open(t, dir, "b")
	n := 0
	for i := range 20 {
		if _, ok := c.Get(key(i)); ok {
			n++
		}
	}
	if n != 5+spare>>20 {
		t.Errorf("%d values are left, want five and the spare ones", n)
	}
	if _, ok := c.Get(key(19)); !ok {
		t.Error("the youngest is gone")
	}
	c.Put(key(100), func() []byte { return make([]byte, maxValue+1) })
	c.Put(key(101), func() []byte { return nil })
	if len(c.added) > 0 {
		t.Error("a value too large, or none, was taken")
	}
}

// A value that was of no use is replaced.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 3)
	c := open(t, dir, "b")
	get(t, c, 0, 3)
	c.Put(key(1), func() []byte { return []byte("better") })
	save(t, c, day0)
	c = open(t, dir, "b")
	if v, _ := c.Get(key(1)); v != "better" {
		t.Errorf("the value is %q", v)
	}
}

// Two processes do not write at a time; one that died while it did so is not waited for.
func TestDraft(t *testing.T) {
	dir := t.TempDir()
	path := filled(t, dir, 3)
	draft := path + ".new"
	must(t, os.WriteFile(draft, nil, 0o600))
	c := open(t, dir, "b")
	put(c, 3, 100)
	save(t, c, day0)
	if _, err := os.Stat(draft); err != nil || get(t, open(t, dir, "b"), 3, 100) > 0 {
		t.Error("the draft of another process was taken away")
	}
	old := day0.Add(-2 * abandoned)
	must(t, os.Chtimes(draft, old, old))
	save(t, c, day0)
	if n := get(t, open(t, dir, "b"), 3, 100); n != 97 {
		t.Errorf("%d values after an abandoned draft", n)
	}
}

// That it cannot be written is an error, and nothing else.
func TestNotWritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	c, _ := Open(file, Options{Build: "b", Keep: true})
	put(c, 0, 3)
	if err := c.Save(day0); err == nil {
		t.Error("no error")
	}
}

// FuzzLoad sees that no file makes reading it panic or allocate more than in proportion to its length.
func FuzzLoad(f *testing.F) {
	f.Add(format("b", nil), true)
	var entries []entry
	for i := range 5 {
		entries = append(entries, entry{key(i), value(i), uint32(i)})
	}
	f.Add(format("b", fitting(entries)), true)
	f.Add(format("b", fitting(entries)), false)
	f.Fuzz(func(_ *testing.T, data []byte, sealed bool) {
		if len(data) >= headerSize && sealed { // as by somebody who knows how
			copy(data[16:], digest("b"))
			copy(data, magic)
			sum := sha256.Sum256(data[80:])
			copy(data[48:], sum[:])
		}
		p, err := load(bytes.NewReader(data), int64(len(data)), "b")
		if err != nil {
			return
		}
		for i := range p.count {
			p.entry(i)
			k := manifest.Key([]byte(p.index[i*indexSize:][:32]))
			p.find(&k)
		}
		for i := range 10 {
			k := key(i)
			p.find(&k)
		}
	})
}
