package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Dir is an open directory that only the user and root can have written to. Names are of its entries, without a slash.
type Dir struct{ root *os.Root }

// ErrChanged says that a directory was replaced by another while it was opened. The next try may find a quieter moment.
var ErrChanged = errors.New("it became another directory in this moment")

// OpenDir opens a directory. Where it, or a symbolic link on the way to it, may be another's doing its error is an
// [*UnsafeError].
func OpenDir(path string) (*Dir, error) { return openDir(path, false) }

// MakeDir is OpenDir for a directory that is made where it is missing.
func MakeDir(path string) (*Dir, error) { return openDir(path, true) }

func openDir(path string, create bool) (*Dir, error) {
	want, err := resolve(path, create)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Dev != want.Dev || st.Ino != want.Ino {
			err = &fs.PathError{Op: "open", Path: path, Err: ErrChanged}
		} else {
			err = checkDir(path, info)
		}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Dir{root}, nil
}

func checkDir(path string, info fs.FileInfo) error {
	return checkOwner(path, info, "use a directory of its own, or look at what is in it, remove that and \"chmod go-w\" it")
}

// Path is the path of the directory, or of an entry, for messages.
func (d *Dir) Path(name ...string) string {
	return filepath.Join(append([]string{d.root.Name()}, name...)...)
}

// Close closes the directory.
func (d *Dir) Close() { _ = d.root.Close() } // there is nothing to be lost

// Root is the directory for [Write] and [Replace].
func (d *Dir) Root() *os.Root { return d.root }

// Open opens a directory in it.
func (d *Dir) Open(name string) (*Dir, error) {
	// What is behind a symbolic link is not in the directory.
	before, err := d.root.Lstat(name)
	if err != nil {
		return nil, d.fail(name, err)
	}
	if !before.IsDir() {
		return nil, &UnsafeError{
			d.Path(name), fmt.Sprintf("it is not a directory (%s)", before.Mode()),
			"look where it came from, and remove it",
		}
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, d.fail(name, err)
	}
	info, err := root.Stat(".")
	if err == nil && !os.SameFile(before, info) {
		err = &fs.PathError{Op: "open", Path: d.Path(name), Err: ErrChanged}
	}
	if err == nil {
		err = checkDir(d.Path(name), info)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Dir{root}, nil
}

// Make is Open for a directory that is made where it is missing. One that others may look into is closed to them: it is
// one that svcctl made.
func (d *Dir) Make(name string) (*Dir, error) {
	if err := d.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, d.fail(name, err)
	}
	sub, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := sub.root.Stat(".")
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = sub.root.Chmod(".", 0o700)
	}
	if err != nil {
		sub.Close()
		return nil, d.fail(name, err)
	}
	return sub, nil
}

// fail gives an error of the system with the whole path in it.
func (d *Dir) fail(name string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return &fs.PathError{Op: at.Op, Path: d.Path(name), Err: at.Err}
	}
	return fmt.Errorf("%s: %w", d.Path(name), unwrapped(err))
}

// Create makes a file for writing, in the place of any other.
func (d *Dir) Create(name string) (*os.File, error) {
	if err := d.Remove(name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, d.fail(name, err)
	}
	return f, nil
}

// OpenFile opens a file of ours for reading, at once: it does not wait for the writer of a pipe.
func (d *Dir) OpenFile(name string) (*os.File, fs.FileInfo, error) {
	return d.open(name, os.O_RDONLY, 0)
}

// LockFile opens a file of ours for reading and writing, and makes it where it is missing. It has no other name, under which it
// would be something else.
func (d *Dir) LockFile(name string) (*os.File, error) {
	f, info, err := d.open(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Nlink > 1 {
		return nil, errors.Join(&UnsafeError{
			d.Path(name), "the same file has another name",
			"look which (find -samefile), and remove this one",
		}, f.Close())
	}
	return f, nil
}

func (d *Dir) open(name string, flags int, mode fs.FileMode) (*os.File, fs.FileInfo, error) {
	// Where the name is a symbolic link, os.Root opens what it leads to within the directory. Comparing tells.
	f, err := d.root.OpenFile(name, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, mode)
	if err != nil {
		if info, lerr := d.root.Lstat(name); lerr == nil && !info.Mode().IsRegular() {
			return nil, nil, checkFile(d.Path(name), info)
		}
		return nil, nil, d.fail(name, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = checkFile(d.Path(name), info)
	}
	if err == nil {
		var named fs.FileInfo
		if named, err = d.root.Lstat(name); err == nil && named.Mode()&fs.ModeSymlink != 0 {
			err = checkFile(d.Path(name), named)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// Read reads a file of ours of no more than limit bytes.
func (d *Dir) Read(name string, limit int64) ([]byte, error) {
	f, info, err := d.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := readSized(f, info, limit)
	if err != nil {
		return nil, d.fail(name, err)
	}
	return data, nil
}

// Lstat describes an entry.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

// Names gives the names of the entries.
func (d *Dir) Names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, d.fail(".", err)
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// Link gives an entry a second name, in a directory below.
func (d *Dir) Link(name, second string) error { return d.root.Link(name, second) }

// Remove removes an entry. That there is none is no error.
func (d *Dir) Remove(name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.fail(name, err)
	}
	return nil
}

// RemoveAll removes an entry with all that is in it. That there is none is no error.
func (d *Dir) RemoveAll(name string) error { return d.root.RemoveAll(name) }

// Sync makes the names of the entries durable.
func (d *Dir) Sync() error { return syncDir(d.root) }
