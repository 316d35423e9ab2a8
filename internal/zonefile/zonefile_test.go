package zonefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const head = "; ours\n"

// zone gives a zone with some records as a function of its serial number.
func zone(records ...string) func(uint32) ([]byte, error) {
	return func(serial uint32) ([]byte, error) {
		text := head + "$ORIGIN cluster.local.\n$TTL 5\n"
		text += fmt.Sprintf("@ IN SOA localhost. hostmaster.cluster.local. %d 7200 1800 86400 5\n", serial)
		return []byte(text + strings.Join(records, "\n") + "\n"), nil
	}
}

func next(serial uint32) uint32 { return max(1, serial+1) }

func update(t *testing.T, dir string, first uint32, text func(uint32) ([]byte, error)) Result {
	t.Helper()
	r, err := Update(dir, "a.zone", head, first, next, text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSerial: it changes exactly when the content does, and then it increases.
func TestSerial(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.zone")
	check := func(what string, got Result, serial uint32, outcome string) {
		t.Helper()
		if got != (Result{path, serial, outcome}) {
			t.Errorf("%s: got %v, want %s, serial %d", what, got, outcome, serial)
		}
	}
	one, two := zone("a IN A 10.0.0.1", "b IN A 10.0.0.2"), zone("a IN A 10.0.0.1", "b IN A 10.0.0.3")
	check("the first time", update(t, dir, 1000, one), 1000, "created")
	before, _ := os.Stat(path)
	check("the same again", update(t, dir, 1000, one), 1000, "unchanged")
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("a file that does not change was replaced")
	}
	check("another content, of a smaller number by itself", update(t, dir, 3, two), 1001, "configured")
	check("the first content again", update(t, dir, 1000, one), 1002, "configured")
	other := zone("a IN A 10.0.0.1 ; a comment", "b   IN  A 10.0.0.2")
	check("the same content in other words", update(t, dir, 1000, other), 1002, "unchanged")
	if text, _ := os.ReadFile(path); !strings.Contains(string(text), "a comment") {
		t.Error("the other words were not written")
	}
	// Somebody changed a record by hand: the zone is put right, and secondary servers hear of it.
	text, _ := os.ReadFile(path)
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "10.0.0.2", "10.0.0.9", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	check("after a change by hand", update(t, dir, 1000, other), 1003, "configured")
	if err := os.WriteFile(path, []byte(head+"broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("after damage", update(t, dir, 1000, one), 1000, "configured")
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestForeign: somebody else's file stays.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.zone")
	const theirs = "$ORIGIN cluster.local.\n@ IN SOA a. b. 1 1 1 1 1\n"
	if err := os.WriteFile(path, []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Update(dir, "a.zone", head, 1, next, zone()); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != theirs {
		t.Errorf("now it says %s", text)
	}
}

func TestNowhere(t *testing.T) {
	if _, err := Update(filepath.Join(t.TempDir(), "none"), "a.zone", head, 1, next, zone()); err == nil {
		t.Error("a file in a directory that is not there")
	}
	failing := errors.New("no text")
	dir := t.TempDir()
	if _, err := Update(dir, "a.zone", head, 1, next, func(uint32) ([]byte, error) { return nil, failing }); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestOthers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"mine.zone": head, "old.zone": head, "theirs.zone": "; theirs\n", "old.txt": head,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Others(dir, head, []string{"mine.zone"})
	if want := []string{filepath.Join(dir, "old.zone")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
