// Package zonefile keeps zone files on disk: it gives them the serial numbers that follow from what is there, and
// replaces them as a whole.
//
// It takes the text of a zone as a function of its serial number, and knows nothing of what a zone means but what two
// texts have to say to be the same zone.
package zonefile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/internal/safefile"
)

// Extension is what the names of zone files end in.
const Extension = ".zone"

// ErrForeign says that there is a file in the way that somebody else wrote.
var ErrForeign = errors.New("was not written by svcctl")

// Result is what became of a file.
type Result struct {
	Path    string
	Serial  uint32
	Outcome string // "created", "configured" or "unchanged"
}

// String gives the outcome with the serial number.
func (r Result) String() string { return fmt.Sprintf("%s, serial %d", r.Outcome, r.Serial) }

// Update writes a zone into a file of a directory. Where the file is there, it must start with head, which is how svcctl's
// own do, and its serial number counts: the zone keeps it where the records are the same, and gets the one after it where
// they are not. Where it is not there, or cannot be read as a zone any more, first is the serial number.
func Update(dir, name, head string, first uint32, next func(uint32) uint32, text func(uint32) ([]byte, error),
) (Result, error) {
	path := filepath.Join(dir, name)
	result := Result{Path: path, Serial: first, Outcome: "created"}
	before, err := safefile.ReadRegular(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		after, err := text(first)
		if err != nil {
			return result, err
		}
		return result, replace(path, after)
	case err != nil:
		return result, fmt.Errorf("reading the zone file: %w", err)
	case !bytes.HasPrefix(before, []byte(head)):
		return result, fmt.Errorf("the file %s %w", path, ErrForeign)
	}
	result.Outcome = "unchanged"
	if old, err := parse(before); err == nil {
		result.Serial = old.serial
		after, err := text(result.Serial)
		if err != nil || bytes.Equal(before, after) {
			return result, err
		}
		current, err := parse(after)
		if err != nil {
			return result, fmt.Errorf("the zone of %s: %w", path, err)
		}
		if slices.Equal(old.records, current.records) {
			return result, replace(path, after) // said in other words
		}
		result.Serial = next(old.serial)
	}
	result.Outcome = "configured"
	after, err := text(result.Serial)
	if err != nil {
		return result, err
	}
	return result, replace(path, after)
}

// content is what a zone file says.
type content struct {
	serial  uint32
	records []string // sorted; that of the start of authority without its serial number
}

func parse(text []byte) (*content, error) {
	out := &content{}
	parser := wire.NewZoneParser(bytes.NewReader(text), "", "")
	found := false
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		if soa, is := rr.(*wire.SOA); is {
			found = true
			out.serial, soa.Serial = soa.Serial, 0
		}
		out.records = append(out.records, rr.String())
	}
	if err := parser.Err(); err != nil {
		return nil, err
	}
	if !found || out.serial == 0 {
		return nil, errors.New("a zone without a serial number")
	}
	slices.Sort(out.records)
	return out, nil
}

// Others gives the zone files of a directory that svcctl wrote and that are not among the given names.
func Others(dir, head string, names []string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the directory of zone files: %w", err)
	}
	var out []string
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), Extension) || slices.Contains(names, e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := safefile.ReadRegular(path, maxFile)
		if err == nil && bytes.HasPrefix(text, []byte(head)) {
			out = append(out, path)
		}
	}
	return out, nil
}

// maxFile is the size of the largest zone file that is read: some ten million records.
const maxFile = 1 << 30

// replace puts a text in the place of a file. After a crash at any moment there is the one or the other. Name servers run as
// users of their own, so everybody may read it.
func replace(path string, text []byte) error {
	dir, name := filepath.Split(path)
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err == nil {
		err = safefile.Replace(root, name, text, safefile.Options{Mode: 0o644})
		if err == nil {
			err = safefile.SyncDir(root)
		}
		err = errors.Join(err, root.Close())
	}
	if err != nil {
		return fmt.Errorf("writing the zone file %s: %w", path, err)
	}
	return nil
}
