package state

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
)

var sameRecord = cmp.Options{
	cmpopts.IgnoreUnexported(Record{}), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(),
}

func record() *Record {
	return &Record{
		Namespace:  "boot 4:5",
		Generation: 7,
		Time:       time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		UID:        1000,
		SudoUser:   "someone",
		Files:      []string{"services", "-"},
		Config:     "c0",
		Services:   map[string]string{"demo/web": "d0", "demo/db": "d1"},
		Allocations: allocate.Held{"demo/web": {
			ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")},
			NodePorts:  map[int32]uint16{80: 30000},
		}},
	}
}

// content is what the record is of: some of the manifests are alike, and none needs to be text.
func content() *Content {
	return NewContent(
		NameManifests([]manifest.Source{
			{Name: "services/a.yaml", Data: []byte("kind: Service\n")},
			{Name: "services/b.yaml", Data: []byte("kind: Service\n")},
			{Name: "empty.yaml", Data: []byte{}},
			{Name: "<stdin>", FirstLine: 7, Data: []byte("not UTF-8: \xff\xfe, no newline at the end")},
		}),
		&graph.Ruleset{Tables: []*graph.Table{{Name: "svcctl", Chains: []*graph.Chain{{Name: "c"}}}}})
}

// locked gives a store whose lock is held until the test ends.
func locked(t *testing.T, root, netns, table string) *Store {
	t.Helper()
	s := NewStore(root, netns, table)
	l, err := s.Lock("svcctl test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Release(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func TestSaveAndLoad(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	if _, err := s.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before the first save: got %v, want fs.ErrNotExist", err)
	}
	for _, want := range []*Record{record(), {Services: map[string]string{}, Files: []string{}}} {
		if err := s.Save(want, content()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameRecord); diff != "" {
			t.Errorf("the record (-saved +loaded):\n%s", diff)
		}
		manifests, err := s.Manifests(got)
		if diff := cmp.Diff(content().sources, manifests); err != nil || diff != "" {
			t.Errorf("%v, the manifests (-saved +loaded):\n%s", err, diff)
		}
		rs, err := s.Applied(got)
		if diff := cmp.Diff(content().ruleset, rs); err != nil || diff != "" {
			t.Errorf("%v, the ruleset (-saved +loaded):\n%s", err, diff)
		}
	}
	info, err := os.Stat(filepath.Join(s.Dir(), recordFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the record has mode %v; manifests are nobody else's business", info.Mode())
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), recordFile+draftSuffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a draft was left behind: %v", err)
	}
}

// Whatever happens to a single byte of the file, it is noticed, and so is every way to cut it short.
func TestLoadDamaged(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	if err := s.Save(record(), content()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir(), recordFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, i int, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if _, err := s.Load(); !errors.As(err, &damaged) {
			t.Errorf("%s byte %d: got %v, want a *DamagedError", what, i, err)
		} else if damaged.Path != path {
			t.Errorf("%s byte %d: the error names %q, not the file", what, i, damaged.Path)
		}
	}
	for i := range whole {
		refused("cut before", i, whole[:i])
		flipped := append([]byte(nil), whole...)
		flipped[i] ^= 0x40
		refused("flipped", i, flipped)
	}
	refused("appended after", len(whole), append(append([]byte(nil), whole...), 'x'))
}

func TestLoadNewerVersion(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	if err := os.WriteFile(filepath.Join(s.Dir(), recordFile), []byte(magic+"3\nsum\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); err == nil || !strings.Contains(err.Error(), `format "3", and this svcctl reads 2`) {
		t.Errorf("got %v; want the error to name both formats", err)
	}
}

func FuzzDecode(f *testing.F) {
	whole, err := encode(record())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	body := "{\"sources\":[{\"name\":\"a\",\"sha256\":\"../x\"}]}\na b\nb"
	f.Add([]byte(magic + "2\n" + checksum([]byte(body)) + "\n" + body))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if err != nil {
			return
		}
		again, err := encode(r)
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		second, err := decode(again)
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		if diff := cmp.Diff(r, second, sameRecord); diff != "" {
			t.Errorf("a record changed on its way:\n%s", diff)
		}
	})
}

func TestStoresAreApart(t *testing.T) {
	long := "/" + strings.Repeat("x", 300)
	dirs := map[string]string{}
	for _, netns := range []string{
		"", "own", "a", "..", "/proc/1/ns/net", "path-%2Fproc%2F1%2Fns%2Fnet", long, long + "y",
	} {
		for _, table := range []string{"svcctl", "other"} {
			s := locked(t, t.TempDir(), netns, table)
			rel := filepath.Base(filepath.Dir(s.Dir())) + "/" + filepath.Base(s.Dir())
			if other, ok := dirs[rel]; ok {
				t.Errorf("%s and %s/%s share %s", other, netns, table, rel)
			}
			dirs[rel] = netns + "/" + table
		}
	}
	same := NewStore("r", "blue", "t").Dir()
	for _, netns := range []string{"/run/netns/blue", "/var/run/netns/blue", "/var/run/netns/../netns/blue"} {
		if got := NewStore("r", netns, "t").Dir(); got != same {
			t.Errorf("%s is kept in %s, and blue in %s", netns, got, same)
		}
	}
}

func TestNamespaceIdentity(t *testing.T) {
	own, err := Identify("")
	if err != nil {
		t.Fatal(err)
	}
	byPath, err := Identify("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if own != byPath {
		t.Errorf("one namespace has two identities, %q and %q", own, byPath)
	}
	// It must not be taken for a record that is missing.
	var unknown *UnknownError
	if _, err := Identify("/nowhere"); !errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a namespace that is not there: got %v", err)
	}
	s := NewStore(t.TempDir(), "", "svcctl")
	var foreign *ForeignError
	for identity, wantForeign := range map[string]bool{"boot 4:5": false, "boot 4:6": true, "later 4:6": false} {
		if err := s.CheckNamespace(record(), identity); errors.As(err, &foreign) != wantForeign {
			t.Errorf("identity %q against a record of %q: got %v", identity, record().Namespace, err)
		}
	}
}
