package state

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/svcctl/svcctl/internal/safefile"
)

// A store is used through descriptors of its directories, which nobody but the user and root may have written to, each opened
// from the one above it. Files have mode 0600 and directories 0700: manifests are nobody else's business.

// The largest files that are read. A record has some sixty bytes for each Service, and two hundred for each manifest;
// a blob is a manifest, or a ruleset.
const (
	maxRecord  = 256 << 20
	maxBlob    = 1 << 30
	maxPending = 64 << 10
)

// open opens the store's directory, or the one of that name in it. Its error is [fs.ErrNotExist] where it is not there.
func (s *Store) open(name string) (*safefile.Dir, error) {
	return s.descend(safefile.OpenDir, (*safefile.Dir).Open, name)
}

// make is open for a directory that is made where it is missing, and closed to others.
func (s *Store) make(name string) (*safefile.Dir, error) {
	return s.descend(safefile.MakeDir, (*safefile.Dir).Make, name)
}

func (s *Store) descend(
	first func(string) (*safefile.Dir, error), next func(*safefile.Dir, string) (*safefile.Dir, error), name string,
) (*safefile.Dir, error) {
	d, err := first(s.root)
	for _, part := range [...]string{s.namespace, s.table, name} {
		if err != nil {
			break
		}
		if part != "" {
			d, err = stepInto(d, part, next)
		}
	}
	if errors.Is(err, syscall.ENOTDIR) { // the state directory is none: whoever needs to write there will say so
		err = fs.ErrNotExist
	}
	return d, err
}

// stepInto goes from a directory to one in it.
func stepInto(
	d *safefile.Dir, name string, next func(*safefile.Dir, string) (*safefile.Dir, error),
) (*safefile.Dir, error) {
	defer d.Close()
	return next(d, name)
}

// in does something in the store's directory. Where there is none there is nothing to do.
func (s *Store) in(do func(*safefile.Dir) error) error {
	d, err := s.open("")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return do(d)
}

// replaceFile gives a file a new content: it writes a file of another name, makes sure that it is on the disk, and only
// then gives it its name. After a crash at any moment there is either the old content or the new.
func replaceFile(d *safefile.Dir, name string, data []byte) error {
	draft := name + draftSuffix
	if err := d.Remove(draft); err != nil { // of a process that was ended
		return err
	}
	return safefile.Replace(d.Root(), name, data, safefile.Options{Draft: draft, Mode: 0o600})
}

// replace gives a file of the store a new content that is there for good when it returns.
func (s *Store) replace(name string, data []byte) error {
	d, err := s.open("")
	if err != nil {
		return err
	}
	defer d.Close()
	if err := replaceFile(d, name, data); err != nil {
		return err
	}
	return d.Sync()
}
