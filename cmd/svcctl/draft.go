package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"github.com/svcctl/svcctl/internal/safefile"
	"github.com/svcctl/svcctl/internal/source"
)

// draft is a new content of a file, beside it until it takes its place.
type draft struct {
	name, path string // as the user named it, and where it is, behind symbolic links
	before     []byte
	root       *os.Root // the directory it is in, which others may be in, too
	written    *safefile.Draft
}

// drafts are drafts of files, and the directories they are in, by path.
type drafts struct {
	list  []*draft
	roots map[string]*os.Root
}

// add writes a draft with the mode and the owner of the file.
func (l *drafts) add(name string, before, after []byte) error {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return systemError("writing %s: %w", name, err)
	}
	dir := filepath.Dir(path)
	root, ok := l.roots[dir]
	if !ok {
		if root, err = os.OpenRoot(dir); err != nil {
			return systemError("writing %s: %w", name, err)
		}
		if l.roots == nil {
			l.roots = map[string]*os.Root{}
		}
		l.roots[dir] = root
	}
	d := &draft{name: name, path: path, before: before, root: root}
	if err := d.write(after); err != nil {
		return err
	}
	l.list = append(l.list, d)
	return nil
}

// discard removes the drafts that did not take the place of their files.
func (l *drafts) discard() error {
	var errs []error
	for _, d := range l.list {
		errs = append(errs, d.written.Discard())
	}
	for _, root := range l.roots {
		errs = append(errs, root.Close())
	}
	return errors.Join(errs...)
}

func (d *draft) write(content []byte) error {
	base := filepath.Base(d.path)
	info, err := d.root.Lstat(base)
	if err != nil {
		return systemError("writing %s: %w", d.name, err)
	}
	if !info.Mode().IsRegular() {
		return inputError("--write changes files, and %s is none", d.name)
	}
	if d.written, err = safefile.Write(d.root, base, content, safefile.Options{Like: info}); err != nil {
		return systemError("writing %s: %w", d.name, err)
	}
	return nil
}

// publish puts the draft in the place of the file, unless somebody changed that since it was read.
func (d *draft) publish() error {
	now, err := safefile.ReadRegular(d.path, source.MaxBytes)
	if err != nil {
		return systemError("writing %s: %w", d.name, err)
	}
	if !bytes.Equal(now, d.before) {
		return conflictError("%s was changed in the meantime: run the command again", d.name)
	}
	if err := d.written.Publish(); err != nil {
		return systemError("writing %s: %w", d.name, err)
	}
	return nil
}
