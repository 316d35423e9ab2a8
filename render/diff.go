package render

import (
	"bytes"
	"io"

	"github.com/rogpeppe/go-internal/diff"
)

// UnifiedDiff writes the line differences between two texts in unified format, under the given names, and nothing where
// the texts are equal.
func UnifiedDiff(w io.Writer, oldName, newName string, before, after []byte) error {
	text := diff.Diff(oldName, before, newName, after)
	// The first line names a command, "diff old new", that nobody ran.
	_, text, _ = bytes.Cut(text, []byte("\n"))
	_, err := w.Write(text)
	return err
}
