package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// read reads the file, if it is to be believed.
func read(path, build string) (*pack, error) {
	p, err := readFile(path, build)
	if err != nil {
		return nil, fmt.Errorf("the cache %s: %w", path, err)
	}
	return p, nil
}

func readFile(path, build string) (*pack, error) {
	if build == "" {
		return nil, errors.New("this build of svcctl has no name to tell it from others")
	}
	dir, err := os.Lstat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if !dir.IsDir() {
		return nil, errors.New("not in a directory of its own")
	}
	if err := checkOwner(dir); err != nil {
		return nil, fmt.Errorf("its directory: %w", err)
	}
	// Neither through a symbolic link, which would read what somebody else chose, nor waiting for the writer of a pipe.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxFile:
		return nil, errors.New("too large")
	}
	if err := checkOwner(info); err != nil {
		return nil, err
	}
	return load(f, info.Size(), build)
}

// checkOwner refuses what others than the user could have written.
func checkOwner(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return errors.New("the system does not tell its owner")
	case int64(st.Uid) != int64(os.Geteuid()):
		return fmt.Errorf("it belongs to user %d", st.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others than its owner may write to it (%s)", info.Mode().Perm())
	}
	return nil
}

// abandoned is after how long a draft is of a process that has ended.
const abandoned = time.Minute

// write writes the file. If another process is doing so at the moment it is left to that.
func write(path, build string, entries []entry, now time.Time) error {
	if build == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	draft := path + ".new"
	f, err := create(draft, now)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	_, err = f.Write(format(build, entries))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		return fmt.Errorf("writing the cache: %w", errors.Join(err, os.Remove(draft)))
	}
	return nil
}

// create creates a draft. One name is enough: it also keeps two processes from writing at a time.
func create(draft string, now time.Time) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(draft, flags, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	info, statErr := os.Lstat(draft)
	if statErr != nil || now.Sub(info.ModTime()) < abandoned {
		return nil, err
	}
	if err := os.Remove(draft); err != nil {
		return nil, err
	}
	return os.OpenFile(draft, flags, 0o600)
}
