package manifest

import (
	"slices"
	"testing"
)

// CheckParts sees that a file cut in parts gives the documents of the file.
func CheckParts(t *testing.T, text string) {
	t.Helper()
	parts := appendParts(nil, document{"x", text, 1, 1})
	if len(parts) < 2 {
		t.Fatal("one part")
	}
	var got []document
	for _, p := range parts {
		splitDocuments(p.file, p.text, p.line, func(d document, _ bool) { got = append(got, d) })
	}
	if want := documentsOf("x", text); !slices.Equal(got, want) {
		t.Errorf("%d documents in %d parts, want %d", len(got), len(parts), len(want))
	}
}
