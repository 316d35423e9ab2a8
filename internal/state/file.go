package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// The record's file: a line with the format and its version, a line with the SHA-256 of everything below, a line of JSON,
// and then the bytes of the manifests, one after the other, as they were read. They are not in the JSON because they need
// not be UTF-8, and because they can be large.
const (
	magic   = "svcctl-applied "
	version = 1
)

// document is the line of JSON.
type document struct {
	*Record
	SourceSizes []sourceSize `json:"sources"`
}

type sourceSize struct {
	Name      string `json:"name"`
	FirstLine int32  `json:"firstLine,omitempty"`
	Size      int    `json:"size"` // bytes
}

// DamagedError says that a record cannot be used.
type DamagedError struct {
	Path, Reason string
}

// Error names the file and what is wrong with it.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the record %s cannot be used: %s", e.Path, e.Reason)
}

// Load reads the record. Where there is none its error is [fs.ErrNotExist], and a [*DamagedError] where there is one
// that cannot be used.
func (s *Store) Load() (*Record, error) {
	path := filepath.Join(s.dir, recordFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, syscall.ENOTDIR) { // the state directory is none: whoever needs to write there will say so
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("the record of what was applied: %w", err)
	}
	r, err := decode(data)
	if err != nil {
		return nil, &DamagedError{Path: path, Reason: err.Error()}
	}
	return r, nil
}

func decode(data []byte) (*Record, error) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	number, ok := bytes.CutPrefix(head, []byte(magic))
	if !ok {
		return nil, errors.New("it is not one that svcctl wrote")
	}
	if v, err := strconv.Atoi(string(number)); err != nil || v != version {
		return nil, fmt.Errorf("it has the format %q, and this svcctl reads %d", number, version)
	}
	sum, body, _ := bytes.Cut(rest, []byte("\n"))
	if checksum(body) != string(sum) {
		return nil, errors.New("its checksum does not match: it was cut short or changed")
	}
	line, raw, _ := bytes.Cut(body, []byte("\n"))
	doc := document{Record: &Record{}}
	if err := json.Unmarshal(line, &doc); err != nil {
		return nil, err
	}
	for _, src := range doc.SourceSizes {
		if src.Size < 0 || src.Size > len(raw) {
			return nil, errors.New("its manifests are incomplete")
		}
		doc.Sources = append(doc.Sources,
			manifest.Source{Name: src.Name, FirstLine: src.FirstLine, Data: raw[:src.Size:src.Size]})
		raw = raw[src.Size:]
	}
	doc.sum = string(sum)
	return doc.Record, nil
}

// Same reports whether two records were loaded from the same file content. Two nil records are the same.
func Same(a, b *Record) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.sum == b.sum
}

func encode(r *Record) ([]byte, error) {
	doc := document{Record: r, SourceSizes: []sourceSize{}}
	size := 0
	for _, src := range r.Sources {
		doc.SourceSizes = append(doc.SourceSizes, sourceSize{src.Name, src.FirstLine, len(src.Data)})
		size += len(src.Data)
	}
	line, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	body := bytes.NewBuffer(make([]byte, 0, len(line)+1+size))
	body.Write(line)
	body.WriteByte('\n')
	for _, src := range r.Sources {
		body.Write(src.Data)
	}
	head := magic + strconv.Itoa(version) + "\n" + checksum(body.Bytes()) + "\n"
	return append([]byte(head), body.Bytes()...), nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Save writes the record in place of the one that is there. After a crash at any moment there is either the one or the
// other. Only the holder of the lock may call it.
func (s *Store) Save(r *Record) error {
	data, err := encode(r)
	if err == nil {
		err = s.replace(data)
	}
	if err != nil {
		return fmt.Errorf("writing the record of what was applied: %w", err)
	}
	return nil
}

// replace writes the file under another name, makes sure that it is on the disk, and only then gives it its name.
func (s *Store) replace(data []byte) error {
	draft := filepath.Join(s.dir, draftFile)
	if err := writeSynced(draft, data); err != nil {
		return errors.Join(err, removeIfThere(draft))
	}
	if err := os.Rename(draft, filepath.Join(s.dir, recordFile)); err != nil {
		return errors.Join(err, removeIfThere(draft))
	}
	return syncDirectory(s.dir)
}

func writeSynced(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// syncDirectory makes a renaming durable.
func syncDirectory(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
