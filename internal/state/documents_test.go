package state

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

func someDocuments() []manifest.Document {
	return []manifest.Document{
		{Key: manifest.Key{1}, Object: diag.Object{Kind: "service", Namespace: "demo", Name: "web"}},
		{Key: manifest.Key{2}, Object: diag.Object{Kind: "endpointslice", Namespace: "demo", Name: "web-1"}, Service: "web"},
		{Key: manifest.Key{3}},
		{Key: manifest.Key{4}, Object: diag.Object{Kind: "node", Name: "node-1"}},
	}
}

// The documents of a record stay with it, through the history too, and go with it.
func TestDocuments(t *testing.T) {
	s := locked(t, t.TempDir(), "", "svcctl")
	c := content()
	c.Documents = someDocuments()
	r := record()
	if err := s.Save(r, c); err != nil {
		t.Fatal(err)
	}
	first := r.Documents
	loaded, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Documents(loaded)
	if err != nil || !slices.Equal(got, c.Documents) {
		t.Errorf("got %v, %v", got, err)
	}
	for range Kept {
		if _, err := os.Stat(blobPath(s, first)); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(record(), content()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(blobPath(s, first)); err == nil {
		t.Error("the documents of a forgotten record are still there")
	}
	if loaded, err = s.Load(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Documents(loaded); got != nil || err != nil {
		t.Errorf("a record without documents has %v, %v", got, err)
	}
	if err := s.AmendDocuments(loaded, someDocuments()); err != nil {
		t.Fatal(err)
	}
	if loaded, err = s.Load(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Documents(loaded); err != nil || !slices.Equal(got, someDocuments()) {
		t.Errorf("amended: got %v, %v", got, err)
	}
}

// Whatever the bytes, they are documents or an error.
func TestDecodeDocuments(t *testing.T) {
	data := encodeDocuments(someDocuments())
	for n := range data {
		if _, err := decodeDocuments(data[:n]); err == nil {
			t.Errorf("the first %d bytes of %d are taken for all", n, len(data))
		}
	}
	if _, err := decodeDocuments(append(slices.Clone(data), 0)); err == nil {
		t.Error("a byte more is taken for nothing")
	}
	for range 20_000 {
		b := slices.Clone(data)
		for range 1 + rand.IntN(4) {
			b[rand.IntN(len(b))] = byte(rand.Uint32())
		}
		_, _ = decodeDocuments(b) // it may happen to be one
	}
	if _, err := decodeDocuments([]byte{documentsVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}); err == nil {
		t.Error("more documents than there is room for")
	}
}
