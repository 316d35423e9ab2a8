package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/state"
)

// What somebody writes into a file between our reading and our writing is not lost.
func TestDraftAgainstAnotherWriter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		now, want string
		conflict  bool
	}{{"theirs", "theirs", true}, {"before", "after", false}} {
		write("before")
		var written drafts
		if err := written.add(name, []byte("before"), []byte("after")); err != nil {
			t.Fatal(err)
		}
		write(x.now)
		err := written.list[0].publish()
		if got := classify(t.Context(), err); x.conflict != (err != nil && got.code == exitConflict) {
			t.Errorf("over %q: got %v", x.now, err)
		}
		if err := written.discard(); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != x.want {
			t.Errorf("over %q there is %q (%v), want %q", x.now, got, err, x.want)
		}
		if all, err := os.ReadDir(filepath.Dir(name)); err != nil || len(all) != 1 {
			t.Errorf("%d files are left (%v)", len(all), err)
		}
	}
}

// What another svcctl applied after the record was read may be what was just chosen: then everything is read again, with the
// lock in hand. Where the record changes even then, it is a conflict for those who chose.
func TestChosenFromAnOldRecord(t *testing.T) {
	c := &cli{env: &environment{stderr: &bytes.Buffer{}, now: time.Now}, log: slog.New(slog.DiscardHandler)}
	store := state.NewStore(t.TempDir(), "", "svcctl")
	identity, err := state.Identify("")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		chosen []allocate.Assignment
		code   int
	}{{nil, exitDone}, {[]allocate.Assignment{{Field: "spec.clusterIP"}}, exitConflict}} {
		a := &application{cli: c, store: store, in: &input{allocated: &allocate.Result{Assignments: x.chosen}}}
		a.known = c.loadRecordQuietly(store)
		first, err := a.lock(t.Context(), &target{cli: c})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Save(&state.Record{Namespace: identity, Generation: uint32(len(x.chosen))},
			state.NewContent(state.NameManifests(nil), &graph.Ruleset{})); err != nil {
			t.Fatal(err)
		}
		c.release(first)
		if _, err := a.lock(t.Context(), &target{cli: c}); !errors.Is(err, errReadAgain) || c.kept == nil {
			t.Errorf("%d choices: got %v", len(x.chosen), err)
		}
		lock, err := a.lock(t.Context(), &target{cli: c})
		var coded *exitError
		if got := errors.As(err, &coded); got != (x.code == exitConflict) || got && coded.code != x.code {
			t.Errorf("%d choices: got %v", len(x.chosen), err)
		}
		if lock != nil {
			c.release(lock)
		}
	}
}
