package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/svcctl/svcctl/internal/safefile"
)

// Blobs are the large parts of records, manifests and rulesets, each in a file that has the SHA-256 of its content for a
// name. Records that share a part share the file, and a part that did not change is not written again.

// blobName gives the name of the blob with a content.
func blobName(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// openBlobs opens the directory of the blobs of a record.
func (s *Store) openBlobs() (*safefile.Dir, error) {
	d, err := s.open(blobDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamagedError{s.recordPath(), "its parts, " + filepath.Join(s.Dir(), blobDir) + ", are missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("the record of what was applied: %w", err)
	}
	return d, nil
}

// readBlob reads a blob and makes sure that it is what its name says.
func (s *Store) readBlob(d *safefile.Dir, name string) ([]byte, error) {
	// The name is part of a path, and comes from a file.
	if b, err := hex.DecodeString(name); err != nil || len(b) != sha256.Size {
		return nil, &DamagedError{s.recordPath(), fmt.Sprintf("it names the part %q", name)}
	}
	data, err := d.Read(name, maxBlob)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamagedError{s.recordPath(), "a part of it, " + d.Path(name) + ", is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("the record of what was applied: %w", err)
	}
	if blobName(data) != name {
		// The next record that has this part writes it anew only where it is missing.
		_ = d.Remove(name) // whoever may not, need not
		return nil, &DamagedError{d.Path(name), "its content is not what its name says"}
	}
	return data, nil
}

// writeBlobs writes those blobs that are not there, at the same time, and makes sure that they are on the disk. A blob of
// another size than it should have is written again. The ruleset is compared to the last byte: the next apply begins with it.
func (s *Store) writeBlobs(blobs map[string][]byte, ruleset string) error {
	d, err := s.make(blobDir)
	if err != nil {
		return err
	}
	defer d.Close()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		some bool
	)
	slots := make(chan struct{}, maxWriters)
	for name, data := range blobs {
		if has(d, name, data, name == ruleset) {
			continue
		}
		some = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := replaceFile(d, name, data); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if some && len(errs) == 0 {
		errs = append(errs, d.Sync())
	}
	return errors.Join(errs...)
}

// has reports whether a blob is there, by its size or, with compare, by its content.
func has(d *safefile.Dir, name string, data []byte, compare bool) bool {
	if compare {
		there, err := d.Read(name, int64(len(data)))
		return err == nil && bytes.Equal(there, data)
	}
	info, err := d.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() == int64(len(data))
}

// maxWriters bounds how many blobs are written, and so how many files are open, at once: there may be thousands.
const maxWriters = 8

// Complete reports whether all parts of a record are there, but for the documents, which only spare work. What is in them is found out when they are read: one that is
// damaged is removed then.
func (s *Store) Complete(r *Record) bool {
	d, err := s.open(blobDir)
	if err != nil {
		return false
	}
	defer d.Close()
	names := []string{r.Ruleset}
	for _, src := range r.Sources {
		names = append(names, src.SHA256)
	}
	for _, name := range names {
		if info, err := d.Lstat(name); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// removeUnused removes the blobs that none of the records names. What a crash left half written goes with them.
func (s *Store) removeUnused(records []*Record) error {
	used := map[string]bool{}
	for _, r := range records {
		used[r.Ruleset], used[r.Documents] = true, true
		for _, src := range r.Sources {
			used[src.SHA256] = true
		}
	}
	d, err := s.open(blobDir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if !used[name] {
			errs = append(errs, d.Remove(name))
		}
	}
	return errors.Join(errs...)
}
