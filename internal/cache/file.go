package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/svcctl/svcctl/internal/safefile"
)

// Where the file is, below the state directory.
const (
	directory = "cache"
	file      = "decoded"
)

// read reads the file below a state directory, if it is to be believed.
func read(stateDir, build string) (*pack, error) {
	p, err := readFile(stateDir, build)
	if err != nil {
		return nil, fmt.Errorf("the cache %s: %w", pathOf(stateDir), err)
	}
	return p, nil
}

func pathOf(stateDir string) string { return filepath.Join(stateDir, directory, file) }

func readFile(stateDir, build string) (*pack, error) {
	if build == "" {
		return nil, errors.New("this build of svcctl has no name to tell it from others")
	}
	d, err := enter(stateDir, safefile.OpenDir, (*safefile.Dir).Open)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, info, err := d.OpenFile(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info.Size() > maxFile {
		return nil, &safefile.LimitError{Limit: maxFile}
	}
	return load(f, info.Size(), build)
}

// enter opens or makes the directory of the cache.
func enter(
	stateDir string, first func(string) (*safefile.Dir, error), next func(*safefile.Dir, string) (*safefile.Dir, error),
) (*safefile.Dir, error) {
	d, err := first(stateDir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return next(d, directory)
}

// abandoned is after how long a draft is of a process that has ended.
const abandoned = time.Minute

// write writes the file. If another process is doing so at the moment it is left to that.
func write(stateDir, build string, entries []entry, now time.Time) error {
	if build == "" {
		return nil
	}
	err := replace(stateDir, format(build, entries), now)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing the cache: %w", err)
	}
	return nil
}

func replace(stateDir string, content []byte, now time.Time) error {
	d, err := enter(stateDir, safefile.MakeDir, (*safefile.Dir).Make)
	if err != nil {
		return err
	}
	defer d.Close()
	// One name is enough: it also keeps two processes from writing at a time.
	const draft = file + ".new"
	if info, err := d.Lstat(draft); err == nil && now.Sub(info.ModTime()) >= abandoned {
		if err := d.Remove(draft); err != nil {
			return err
		}
	}
	return safefile.Replace(d.Root(), file, content, safefile.Options{Draft: draft, Mode: 0o600, Volatile: true})
}
