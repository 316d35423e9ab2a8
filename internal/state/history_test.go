package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/internal/safefile"
)

// numbered is the content of the n-th of a row of records: one manifest is its own, one is everybody's.
func numbered(n int) *Content {
	return NewContent(
		NameManifests([]manifest.Source{{Name: "own", Data: fmt.Append(nil, n)}, {Name: "shared", Data: []byte("the same")}}),
		&graph.Ruleset{Tables: []*graph.Table{{Name: fmt.Sprint("t", n)}}})
}

func saveNumbered(t *testing.T, s *Store, n int) {
	t.Helper()
	if err := s.Save(record(), numbered(n)); err != nil {
		t.Fatal(err)
	}
}

func serials(t *testing.T, s *Store) []uint64 {
	t.Helper()
	records, err := s.History()
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for _, r := range records {
		out = append(out, r.Serial)
		manifests, err := s.Manifests(r)
		if err != nil || string(manifests[0].Data) != fmt.Sprint(r.Serial) || string(manifests[1].Data) != "the same" {
			t.Errorf("the manifests of %d: %v, %q", r.Serial, err, manifests)
		}
		if rs, err := s.Applied(r); err != nil || rs.Tables[0].Name != fmt.Sprint("t", r.Serial) {
			t.Errorf("the ruleset of %d: %v, %+v", r.Serial, err, rs)
		}
	}
	return out
}

func TestHistory(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	for n := 1; n <= 8; n++ {
		saveNumbered(t, s, n)
		var want []uint64
		for i := n; i > 0 && i > n-Kept; i-- {
			want = append(want, uint64(i))
		}
		if got := serials(t, s); !slices.Equal(got, want) {
			t.Fatalf("after %d: the history is %v, want %v", n, got, want)
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.Dir(), blobDir))
	if err != nil || len(entries) != 2*Kept+1 {
		t.Errorf("%d blobs are left (%v); want two of each of %d records and a shared one", len(entries), err, Kept)
	}
	// Without the present record, the numbers go on all the same.
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	saveNumbered(t, s, 8)
	if got := serials(t, s); got[0] != 8 {
		t.Errorf("after the record was lost: the history is %v", got)
	}
}

// A crash between two steps of Save leaves the present record in force, and the next Save as if nothing had happened.
func TestCrashWhileSaving(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	saveNumbered(t, s, 1)
	saveNumbered(t, s, 2)
	last, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.in(func(d *safefile.Dir) error { return remember(d, last) }); err != nil { // and then the power fails
		t.Fatal(err)
	}
	for _, file := range []string{recordFile + draftSuffix, filepath.Join(blobDir, blobName([]byte("x"))+draftSuffix)} {
		if err := os.WriteFile(filepath.Join(s.Dir(), file), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := serials(t, s); !slices.Equal(got, []uint64{2, 1}) {
		t.Errorf("the history is %v", got)
	}
	saveNumbered(t, s, 3)
	if got := serials(t, s); !slices.Equal(got, []uint64{3, 2, 1}) {
		t.Errorf("after the next save the history is %v", got)
	}
	if names, err := filepath.Glob(filepath.Join(s.Dir(), "*", "*"+draftSuffix)); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestDamagedBlob(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"changed": func(path string) error { return os.WriteFile(path, []byte("other"), 0o600) },
		"cut":     func(path string) error { return os.Truncate(path, 1) },
		"gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			s := locked(t, t.TempDir(), "", "svcctl")
			saveNumbered(t, s, 1)
			r, err := s.Load()
			if err != nil {
				t.Fatal(err)
			}
			if !s.Complete(r) {
				t.Error("a record that was just saved is not complete")
			}
			for _, blob := range []string{r.Ruleset, r.Sources[1].SHA256} {
				if err := damage(blobPath(s, blob)); err != nil {
					t.Fatal(err)
				}
			}
			var damaged *DamagedError
			if _, err := s.Applied(r); !errors.As(err, &damaged) {
				t.Errorf("the ruleset: got %v, want a *DamagedError", err)
			}
			if _, err := s.Manifests(r); !errors.As(err, &damaged) {
				t.Errorf("the manifests: got %v, want a *DamagedError", err)
			}
			if err := os.WriteFile(blobPath(s, r.Ruleset), make([]byte, len(graph.Marshal(numbered(1).ruleset))), 0o600); err != nil {
				t.Fatal(err)
			}
			saveNumbered(t, s, 1)
			if _, err := s.Applied(r); err != nil {
				t.Errorf("a ruleset of the right size and the wrong content: after the next record: %v", err)
			}
			if err := os.Remove(blobPath(s, r.Ruleset)); err != nil {
				t.Fatal(err)
			}
			// What was found damaged is gone, so that the next record has it again.
			if s.Complete(r) {
				t.Error("the record is complete")
			}
			saveNumbered(t, s, 1)
			if _, err := s.Applied(r); err != nil {
				t.Errorf("after the next record: %v", err)
			}
		})
	}
	s := locked(t, t.TempDir(), "", "svcctl")
	var damaged *DamagedError
	if _, err := s.Applied(&Record{Ruleset: "../../etc/passwd"}); !errors.As(err, &damaged) {
		t.Errorf("a name that is a path: got %v", err)
	}
}

// A record that is amended stays the same state, with the same parts.
func TestAmend(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	saveNumbered(t, s, 1)
	saveNumbered(t, s, 2)
	r, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	r.Generation = 99
	if err := s.Amend(r); err != nil {
		t.Fatal(err)
	}
	if got := serials(t, s); !slices.Equal(got, []uint64{2, 1}) {
		t.Errorf("the history is %v", got)
	}
	if again, err := s.Load(); err != nil || again.Generation != 99 || !s.Current(r) {
		t.Errorf("%v: the generation is %d", err, again.Generation)
	}
}

// A state of the history that becomes the present one again keeps its content, under a new number.
func TestSaveAgain(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	saveNumbered(t, s, 1)
	saveNumbered(t, s, 2)
	records, err := s.History()
	if err != nil {
		t.Fatal(err)
	}
	first := *records[1]
	if err := s.SaveAgain(&first); err != nil || first.Serial != 3 {
		t.Fatalf("%v: the number is %d", err, first.Serial)
	}
	r, err := s.Load()
	if err != nil || r.Serial != 3 {
		t.Fatal(err)
	}
	if rs, err := s.Applied(r); err != nil || rs.Tables[0].Name != "t1" {
		t.Errorf("%v: the ruleset is %+v", err, rs)
	}
}

func TestPending(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	if p, err := s.LoadPending(); p != nil || err != nil {
		t.Fatalf("before anything waits: %+v, %v", p, err)
	}
	want := &Pending{Token: "t", Before: 3, Deadline: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), PID: 7}
	if err := s.SavePending(want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadPending(); err != nil || *got != *want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, text := range []string{"", "{", "{}", "[]"} {
		if err := os.WriteFile(s.pendingPath(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if _, err := s.LoadPending(); !errors.As(err, &damaged) {
			t.Errorf("%q: got %v, want a *DamagedError", text, err)
		}
	}
	for range 2 {
		if err := s.RemovePending(); err != nil {
			t.Error(err)
		}
	}
}

func TestCurrent(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	if !s.Current(nil) || s.Current(record()) {
		t.Error("without a record, none is current")
	}
	saveNumbered(t, s, 1)
	first, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !s.Current(first) || s.Current(nil) {
		t.Error("the record that was just loaded is current")
	}
	saveNumbered(t, s, 2)
	if s.Current(first) || s.Current(nil) {
		t.Error("the record that was replaced is not current")
	}
	if err := os.WriteFile(s.recordPath(), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.Current(first) || !s.Current(nil) {
		t.Error("a record that cannot be used is none")
	}
}

func blobPath(s *Store, name string) string { return filepath.Join(s.Dir(), blobDir, name) }
