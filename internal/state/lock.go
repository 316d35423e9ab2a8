package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/svcctl/svcctl/internal/safefile"
)

// Lock is the right to change one table in one network namespace. It is a lock of the kernel on a file (flock(2)), so it
// ends with its process, however that ends.
type Lock struct {
	store *Store
	file  *os.File
	full  error
}

// Full gives why nothing can be written beside the lock: there is no room for even the name of its holder. nil: there is.
// The lock is there all the same, for those who bring something back.
func (l *Lock) Full() error { return l.full }

// HeldError says that another process has the lock.
type HeldError struct {
	Path    string
	PID     int    // 0: it had not written its id yet
	Command string // what the holder does: "svcctl apply"; "" for not known
}

// Error names the holder.
func (e *HeldError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
		if e.Command != "" {
			holder += " (" + e.Command + ")"
		}
	}
	return fmt.Sprintf("%s is changing the same table (it holds the lock %s)", holder, e.Path)
}

// Lock takes the lock, making the store's directory where it is missing, or gives a [*HeldError] at once where another
// process has it. command is what others are told about the holder: "svcctl apply".
func (s *Store) Lock(command string) (*Lock, error) {
	for try := 1; ; try++ {
		l, err := s.tryLock(command)
		// A holder that removes the store makes a directory or file vanish between two steps of ours. There is an end to
		// the tries because a dangling symbolic link in place of the directory looks the same.
		vanished := errors.Is(err, errRemoved) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) ||
			errors.Is(err, safefile.ErrChanged)
		if !vanished || try == 1000 {
			return l, err
		}
	}
}

func (s *Store) tryLock(command string) (*Lock, error) {
	d, err := s.make("")
	if err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	defer d.Close()
	f, err := d.LockFile(lockFile)
	if err != nil {
		return nil, fmt.Errorf("opening the lock in the state directory: %w", err)
	}
	l := &Lock{store: s, file: f}
	if err := l.acquire(command); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// errRemoved says that the file was removed by the lock's last holder before it was locked: it locks nothing any more.
var errRemoved = errors.New("the lock was removed")

func (l *Lock) acquire(command string) error {
	f := l.file
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		pid, theirs := holder(f)
		return &HeldError{Path: f.Name(), PID: pid, Command: theirs}
	case err != nil:
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	opened, err := f.Stat()
	if err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	if named, err := os.Stat(f.Name()); err != nil || !os.SameFile(opened, named) {
		return errRemoved
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("writing the lock %s: %w", f.Name(), err)
	}
	_, err = fmt.Fprintf(f, "%d %s\n", os.Getpid(), command)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("writing the lock %s: %w", f.Name(), err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		l.full = err
		return nil
	}
	return err
}

// holder reads the process id and the command in a lock file, 0 where there is none.
func holder(f *os.File) (pid int, command string) {
	buf := make([]byte, 128)
	n, _ := f.ReadAt(buf, 0) // what cannot be read is not known, which the message can say
	id, command, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return 0, ""
	}
	return pid, command
}

// Release gives the lock back. The file stays, without the process id, which is nobody's from now on.
func (l *Lock) Release() error { return errors.Join(l.file.Truncate(0), l.file.Close()) }

// ReleaseAndRemove gives the lock back and removes all that is left of the store, its record included: nothing of ours
// stays behind. Directories that others put something into stay.
func (l *Lock) ReleaseAndRemove() error {
	s := l.store
	err := s.in(func(d *safefile.Dir) error {
		var errs []error
		for _, file := range [...]string{
			recordFile, recordFile + draftSuffix, pendingFile, pendingFile + draftSuffix, logFile,
		} {
			errs = append(errs, d.Remove(file))
		}
		for _, dir := range [...]string{historyDir, blobDir} {
			errs = append(errs, d.RemoveAll(dir))
		}
		return errors.Join(append(errs, d.Remove(lockFile))...)
	})
	return errors.Join(err, l.file.Close(), s.removeEmpty())
}

// removeEmpty removes the directories of the store, if there is nothing in them.
func (s *Store) removeEmpty() error {
	root, err := safefile.OpenDir(s.root)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, dir := range [...]string{filepath.Join(s.namespace, s.table), s.namespace} {
		switch err := root.Remove(dir); {
		case errors.Is(err, syscall.ENOTEMPTY):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}
