package safefile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Draft is a new content of a file, beside it until it takes its place.
type Draft struct {
	root        *os.Root
	name, draft string // draft is empty once it has taken the place
}

// Options say how to write a draft.
type Options struct {
	// Draft is its name. It must not be there. Empty: one that nobody else has.
	Draft string
	Mode  fs.FileMode
	// Like, if not nil, is a file whose owner and mode it gets, in place of Mode.
	Like fs.FileInfo
	// Volatile leaves it to the system when the content reaches the disk: after a power cut there may be anything in the file.
	Volatile bool
}

// Write writes a draft of a file of a directory. It is a file that was not there before: no link leads it elsewhere.
func Write(root *os.Root, name string, content []byte, o Options) (*Draft, error) {
	d := &Draft{root: root, name: name, draft: o.Draft}
	if d.draft == "" {
		// No pattern for zone files matches it: CoreDNS's "auto" takes every "db.*" anywhere in a name.
		d.draft = ".svcctl-" + strings.ToLower(rand.Text())
	}
	f, err := root.OpenFile(d.draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(fill(f, content, o), f.Close()); err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d, nil
}

func fill(f *os.File, content []byte, o Options) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	mode := o.Mode
	if o.Like != nil {
		mode = o.Like.Mode().Perm()
		if err := giveTo(f, o.Like); err != nil {
			return err
		}
	}
	if mode != 0o600 {
		if err := f.Chmod(mode); err != nil { // after the owner: chown(2) clears bits
			return err
		}
	}
	if o.Volatile {
		return nil
	}
	return f.Sync()
}

func giveTo(f *os.File, like fs.FileInfo) error {
	st, ok := like.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid() {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}

// Publish puts the draft in the place of the file. After a crash at any moment there is the old content or the new one.
func (d *Draft) Publish() error {
	if err := d.root.Rename(d.draft, d.name); err != nil {
		return err
	}
	d.draft = ""
	return nil
}

// Discard removes a draft that did not take the place of its file.
func (d *Draft) Discard() error {
	if d.draft == "" {
		return nil
	}
	if err := d.root.Remove(d.draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Replace gives a file a new content. Unless it is to be volatile, the content is on the disk before the file has its name; that
// the name is, is for [Dir.Sync] or [SyncDir] to say.
func Replace(root *os.Root, name string, content []byte, o Options) error {
	d, err := Write(root, name, content, o)
	if err != nil {
		return err
	}
	if err := d.Publish(); err != nil {
		return errors.Join(err, d.Discard())
	}
	return nil
}

// SyncDir makes the names in a directory durable.
func SyncDir(root *os.Root) error { return syncDir(root) }

func syncDir(root *os.Root) (err error) {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
