package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Blobs are the large parts of records, manifests and rulesets, each in a file that has the SHA-256 of its content for a
// name. Records that share a part share the file, and a part that did not change is not written again.

// blobName gives the name of the blob with a content.
func blobName(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (s *Store) blobPath(name string) string { return filepath.Join(s.dir, blobDir, name) }

// readBlob reads a blob and makes sure that it is what its name says.
func (s *Store) readBlob(name string) ([]byte, error) {
	// The name is part of a path, and comes from a file.
	if b, err := hex.DecodeString(name); err != nil || len(b) != sha256.Size {
		return nil, &DamagedError{s.recordPath(), fmt.Sprintf("it names the part %q", name)}
	}
	data, err := os.ReadFile(s.blobPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamagedError{s.recordPath(), "a part of it, " + s.blobPath(name) + ", is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("the record of what was applied: %w", err)
	}
	if blobName(data) != name {
		// The next record that has this part writes it anew only where it is missing.
		_ = os.Remove(s.blobPath(name)) // whoever may not, need not
		return nil, &DamagedError{s.blobPath(name), "its content is not what its name says"}
	}
	return data, nil
}

// writeBlobs writes those blobs that are not there, at the same time, and makes sure that they are on the disk. A blob of
// another size than it should have is written again. The ruleset is compared to the last byte: the next apply begins with it.
func (s *Store) writeBlobs(blobs map[string][]byte, ruleset string) error {
	if err := os.MkdirAll(filepath.Join(s.dir, blobDir), 0o700); err != nil {
		return err
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		some bool
	)
	slots := make(chan struct{}, maxWriters)
	for name, data := range blobs {
		if s.has(name, data, name == ruleset) {
			continue
		}
		some = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := replaceFile(s.blobPath(name), data); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if some && len(errs) == 0 {
		errs = append(errs, syncDirectory(filepath.Join(s.dir, blobDir)))
	}
	return errors.Join(errs...)
}

// has reports whether a blob is there, by its size or, with compare, by its content.
func (s *Store) has(name string, data []byte, compare bool) bool {
	if compare {
		there, err := os.ReadFile(s.blobPath(name))
		return err == nil && bytes.Equal(there, data)
	}
	info, err := os.Stat(s.blobPath(name))
	return err == nil && info.Mode().IsRegular() && info.Size() == int64(len(data))
}

// maxWriters bounds how many blobs are written, and so how many files are open, at once: there may be thousands.
const maxWriters = 8

// Complete reports whether all parts of a record are there. What is in them is found out when they are read: one that is
// damaged is removed then.
func (s *Store) Complete(r *Record) bool {
	names := []string{r.Ruleset}
	for _, src := range r.Sources {
		names = append(names, src.SHA256)
	}
	for _, name := range names {
		if info, err := os.Stat(s.blobPath(name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// removeUnused removes the blobs that none of the records names. What a crash left half written goes with them.
func (s *Store) removeUnused(records []*Record) error {
	used := map[string]bool{}
	for _, r := range records {
		used[r.Ruleset] = true
		for _, src := range r.Sources {
			used[src.SHA256] = true
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, blobDir))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !used[e.Name()] {
			errs = append(errs, removeIfThere(s.blobPath(e.Name())))
		}
	}
	return errors.Join(errs...)
}
