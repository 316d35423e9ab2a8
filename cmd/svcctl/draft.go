package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// draft is a new content of a file, beside it until it takes its place.
type draft struct {
	name, path string // as the user named it, and where it is, behind symbolic links
	before     []byte
	file       string // of the draft; empty: it has taken its place
}

// newDraft writes a draft with the mode and the owner of the file.
func newDraft(name string, before, after []byte) (*draft, error) {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, systemError("writing %s: %w", name, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, systemError("writing %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, inputError("--write changes files, and %s is none", name)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".svcctl-*")
	if err != nil {
		return nil, systemError("writing %s: %w", name, err)
	}
	d := &draft{name: name, path: path, before: before, file: f.Name()}
	if err := errors.Join(fillDraft(f, info, after), f.Close()); err != nil {
		return nil, errors.Join(systemError("writing %s: %w", name, err), d.discard())
	}
	return d, nil
}

func fillDraft(f *os.File, like os.FileInfo, content []byte) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	if st, ok := like.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if err := f.Chmod(like.Mode().Perm()); err != nil { // after the owner: chown(2) clears bits
		return err
	}
	return f.Sync()
}

// publish puts the draft in the place of the file, unless somebody changed that since it was read.
func (d *draft) publish() error {
	now, err := os.ReadFile(d.path)
	if err != nil {
		return systemError("writing %s: %w", d.name, err)
	}
	if !bytes.Equal(now, d.before) {
		return conflictError("%s was changed in the meantime: run the command again", d.name)
	}
	if err := os.Rename(d.file, d.path); err != nil {
		return systemError("writing %s: %w", d.name, err)
	}
	d.file = ""
	return nil
}

// discard removes a draft that did not take its place.
func (d *draft) discard() error {
	if d.file == "" {
		return nil
	}
	return os.Remove(d.file)
}
