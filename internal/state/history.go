package state

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/internal/safefile"
)

// Kept is how many applied states are kept, the present one included.
const Kept = 5

// Manifests are manifests to be recorded, and how a record names them.
type Manifests struct {
	sources []manifest.Source
	refs    []SourceRef
}

// NameManifests names manifests, which takes as long as reading all of them.
func NameManifests(sources []manifest.Source) *Manifests {
	m := &Manifests{sources: sources, refs: make([]SourceRef, len(sources))}
	for i, src := range sources {
		m.refs[i] = SourceRef{src.Name, src.FirstLine, blobName(src.Data)}
	}
	return m
}

// SameAs reports whether a record is of the same manifests.
func (m *Manifests) SameAs(r *Record) bool { return slices.Equal(m.refs, r.Sources) }

// Content is the large parts of a record.
type Content struct {
	*Manifests
	ruleset *graph.Ruleset
	// Documents are those of the manifests, where they are to be recorded.
	Documents []manifest.Document
}

// NewContent makes the content of a record of the manifests and of what they compiled to.
func NewContent(m *Manifests, rs *graph.Ruleset) *Content { return &Content{Manifests: m, ruleset: rs} }

// Save makes a record, with its content, the one of what is applied, and keeps the one before it in the history. It fills in
// the serial number and the names of the parts. After a crash at any moment the record is either the one or the other, and
// whole. Only the holder of the lock may call it.
func (s *Store) Save(r *Record, c *Content) error {
	blobs := map[string][]byte{}
	for i, ref := range c.refs {
		blobs[ref.SHA256] = c.sources[i].Data
	}
	r.Sources = c.refs
	data := graph.Marshal(c.ruleset)
	r.Ruleset = blobName(data)
	blobs[r.Ruleset] = data
	if r.Documents = ""; c.Documents != nil {
		documents := encodeDocuments(c.Documents)
		r.Documents = blobName(documents)
		blobs[r.Documents] = documents
	}
	return s.save(r, blobs)
}

// SaveAgain makes a record of the history, changed at will but for its content, the one of what is applied.
func (s *Store) SaveAgain(r *Record) error { return s.save(r, nil) }

// AmendDocuments is [Store.Amend] of a record that gets other documents.
func (s *Store) AmendDocuments(r *Record, documents []manifest.Document) error {
	if r.Documents = ""; documents != nil {
		data := encodeDocuments(documents)
		r.Documents = blobName(data)
		if err := s.writeBlobs(map[string][]byte{r.Documents: data}, ""); err != nil {
			return fmt.Errorf("writing the record of what was applied: %w", err)
		}
	}
	return s.Amend(r)
}

// Amend writes the present record again, with what became of it since: it stays the same state.
func (s *Store) Amend(r *Record) error {
	data, err := encode(r)
	if err == nil {
		r.sum, _, _ = parseHead(data)
		err = s.replace(recordFile, data)
	}
	if err != nil {
		return fmt.Errorf("writing the record of what was applied: %w", err)
	}
	return nil
}

func (s *Store) save(r *Record, blobs map[string][]byte) error {
	err := s.writeBlobs(blobs, r.Ruleset)
	if err == nil {
		err = s.saveRecord(r)
	}
	if err != nil {
		return fmt.Errorf("writing the record of what was applied: %w", err)
	}
	return nil
}

func (s *Store) saveRecord(r *Record) error {
	d, err := s.make("")
	if err != nil {
		return err
	}
	defer d.Close()
	earlier, err := s.historyFiles()
	if err != nil {
		return err
	}
	r.Serial = 1
	if len(earlier) > 0 {
		r.Serial = earlier[0] + 1
	}
	if last, err := load(d, recordFile, decodeParts); err == nil {
		r.Serial = max(r.Serial, last.Serial+1)
		if err := remember(d, last); err != nil {
			return err
		}
	}
	data, err := encode(r)
	if err != nil {
		return err
	}
	r.sum, _, _ = parseHead(data)
	if err := replaceFile(d, recordFile, data); err != nil {
		return err
	}
	return errors.Join(d.Sync(), s.forget())
}

// remember puts the present record into the history, by a second name for its file.
func remember(d *safefile.Dir, last *Record) error {
	history, err := d.Make(historyDir)
	if err != nil {
		return err
	}
	history.Close()
	// A crash after this step leaves the present record in the history too; linking it once more is no error.
	err = d.Link(recordFile, filepath.Join(historyDir, historyName(last.Serial)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Outdate notes that what is recorded is not what is applied any more, and that what is could not be recorded. The record
// stays in the history, to go back to, if there is any room for its second name.
func (s *Store) Outdate() error {
	err := s.in(func(d *safefile.Dir) error {
		last, err := load(d, recordFile, decodeParts)
		if err != nil {
			return nil // there is nothing to go back to
		}
		return remember(d, last)
	})
	return errors.Join(err, s.Remove())
}

// forget removes what is more than is kept.
func (s *Store) forget() error {
	files, err := s.historyFiles()
	if err != nil {
		return err
	}
	var errs []error
	if len(files) >= Kept {
		d, err := s.open(historyDir)
		if err != nil {
			return err
		}
		defer d.Close()
		for _, serial := range files[Kept-1:] {
			errs = append(errs, d.Remove(historyName(serial)))
		}
	}
	records, err := s.history(decodeParts)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, s.removeUnused(records))...)
}

func historyName(serial uint64) string { return strconv.FormatUint(serial, 10) }

// historyFiles gives the serial numbers of the history, the newest first.
func (s *Store) historyFiles() ([]uint64, error) {
	d, err := s.open(historyDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil && historyName(n) == name {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

// History gives the records that are kept, the newest first: the present one, where there is one, and those before it.
// Those that cannot be used are left out.
func (s *Store) History() ([]*Record, error) { return s.history(decode) }

func (s *Store) history(decode func([]byte) (*Record, error)) ([]*Record, error) {
	files, err := s.historyFiles()
	if err != nil {
		return nil, fmt.Errorf("the history of what was applied: %w", err)
	}
	var out []*Record
	add := func(dir, name string) {
		d, err := s.open(dir)
		if err != nil {
			return
		}
		defer d.Close()
		r, err := load(d, name, decode)
		if err == nil && (len(out) == 0 || r.Serial < out[len(out)-1].Serial) {
			out = append(out, r)
		}
	}
	add("", recordFile)
	for _, serial := range files {
		add(historyDir, historyName(serial))
	}
	return out, nil
}

// Manifests gives the manifests of a record.
func (s *Store) Manifests(r *Record) ([]manifest.Source, error) {
	blobs, err := s.openBlobs()
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	out := make([]manifest.Source, len(r.Sources))
	for i, ref := range r.Sources {
		data, err := s.readBlob(blobs, ref.SHA256)
		if err != nil {
			return nil, err
		}
		out[i] = manifest.Source{Name: ref.Name, FirstLine: ref.FirstLine, Data: data}
	}
	return out, nil
}

// Applied gives the ruleset of a record, as it was committed. Its elements have no owners.
func (s *Store) Applied(r *Record) (*graph.Ruleset, error) {
	blobs, err := s.openBlobs()
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	data, err := s.readBlob(blobs, r.Ruleset)
	if err != nil {
		return nil, err
	}
	rs, err := graph.Unmarshal(data)
	if err != nil {
		return nil, &DamagedError{blobs.Path(r.Ruleset), err.Error()}
	}
	return rs, nil
}
