package watch

import (
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks is how many symbolic links are followed one after the other, as in the kernel (path_resolution(7)).
const maxLinks = 40

// survey finds the directories to watch for paths.
type survey struct {
	recursive bool
	interests map[string]*interest
}

// interest is what matters in a directory: everything, or the entries of some names.
type interest struct {
	everything bool
	names      []string
}

func (s *survey) in(dir string) *interest {
	in := s.interests[dir]
	if in == nil {
		in = &interest{}
		s.interests[dir] = in
	}
	return in
}

// path looks at a path, its ancestors (one of them may be replaced, or made), and what is behind it.
func (s *survey) path(p string, links int) {
	for at := p; filepath.Dir(at) != at; at = filepath.Dir(at) {
		if info, err := os.Stat(filepath.Dir(at)); err == nil && info.IsDir() {
			in := s.in(filepath.Dir(at))
			in.names = append(in.names, filepath.Base(at))
		}
	}
	info, err := os.Lstat(p)
	switch {
	case err != nil:
	case info.Mode()&fs.ModeSymlink != 0:
		s.link(p, links)
	case info.IsDir():
		s.directory(p, links)
	}
}

// link looks at what a symbolic link points to.
func (s *survey) link(p string, links int) {
	target, err := os.Readlink(p)
	if err != nil || links == maxLinks {
		return
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(p), target)
	}
	s.path(target, links+1)
}

// directory looks at a directory, and at what its links and subdirectories lead to.
func (s *survey) directory(dir string, links int) {
	in := s.in(dir)
	if in.everything {
		return
	}
	in.everything = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // whoever reads it says so
	}
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			if info, err := os.Stat(p); err == nil && !info.IsDir() { // as -R, which does not follow those to directories
				s.link(p, links)
			}
		case e.IsDir() && s.recursive:
			s.directory(p, links)
		}
	}
}
