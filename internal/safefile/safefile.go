// Package safefile opens, reads and replaces files where others may have been before: in a directory that somebody made in
// advance, at a name where a symbolic link, a pipe or somebody else's file now is, or that changes while one looks.
//
// It knows nothing of what the files are for. A [Dir] is a directory that only its owner can have written to, and
// everything in it goes through its descriptor, never through its path again. [Write] and [Replace] put a whole new content in
// the place of a file of any directory, and [ReadAll] ends where a limit does.
//
// Whom it trusts is the user it runs as, and root. Whoever is one of them needs no trick.
package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// UnsafeError says that something in the file system may be another user's doing.
type UnsafeError struct {
	Path, Reason, Hint string
}

// Error names the place, what is wrong with it, and what to do.
func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s is not safe to use: %s; %s", e.Path, e.Reason, e.Hint)
}

// checkOwner refuses what others than the user and root could have written.
func checkOwner(path string, info fs.FileInfo, hint string) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: the system does not tell its owner", path)
	}
	if !trusted(st.Uid) {
		return &UnsafeError{path, fmt.Sprintf("it belongs to user %d, and svcctl runs as user %d", st.Uid, os.Geteuid()), hint}
	}
	if info.Mode().Perm()&0o022 != 0 {
		return &UnsafeError{path, fmt.Sprintf("others than its owner may write to it (%s)", info.Mode()), hint}
	}
	return nil
}

func trusted(uid uint32) bool { return uid == 0 || int64(uid) == int64(os.Geteuid()) }

// checkFile refuses what is no file of ours.
func checkFile(path string, info fs.FileInfo) error {
	const hint = "look where it came from, and remove it"
	if !info.Mode().IsRegular() {
		return &UnsafeError{path, fmt.Sprintf("it is not a regular file (%s)", info.Mode()), hint}
	}
	return checkOwner(path, info, hint)
}

// unwrapped gives the error under the operation and the path that the system call was about: whoever reports it names both in
// better words.
func unwrapped(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
