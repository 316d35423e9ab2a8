package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links are followed: as many as the kernel does (path_resolution(7)).
const maxLinks = 40

// resolution walks along a path as the kernel does, a component at a time, each relative to the descriptor of the one before: what
// has been passed cannot be swapped any more.
type resolution struct {
	path   string // as given
	create bool   // make what is missing
	fd     int    // where it is
	at     string // the same, for messages
	rest   []string
	linked int // how many of rest come from a symbolic link
	links  int
}

// resolve gives the identity of a directory. A symbolic link on the way to it is followed if root or the user made it;
// another's would send whatever is written to a directory of the other's choice. What is missing is made, if so wanted, for the
// user alone.
func resolve(path string, create bool) (unix.Stat_t, error) {
	var st unix.Stat_t
	abs, err := filepath.Abs(path)
	if err != nil {
		return st, err
	}
	r := resolution{path: path, create: create, rest: components(abs), fd: -1}
	if err := r.restart(); err != nil {
		return st, err
	}
	defer func() { _ = unix.Close(r.fd) }()
	for len(r.rest) > 0 {
		if err := r.step(); err != nil {
			return st, err
		}
	}
	return st, r.fail(unix.Fstat(r.fd, &st))
}

func components(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

func (r *resolution) fail(err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "open", Path: r.at, Err: err}
}

// restart goes to the root.
func (r *resolution) restart() error {
	fd, err := retry(func() (int, error) { return unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	r.at = "/"
	if err != nil {
		return r.fail(err)
	}
	r.move(fd, "/")
	return nil
}

func (r *resolution) move(fd int, at string) {
	if r.fd >= 0 {
		_ = unix.Close(r.fd)
	}
	r.fd, r.at = fd, at
}

// step goes to the next component, or puts what a symbolic link says in its place.
func (r *resolution) step() error {
	name := r.rest[0]
	made := r.linked == 0 && r.create
	r.rest = r.rest[1:]
	r.linked = max(r.linked-1, 0)
	fd, err := r.open(name)
	if errors.Is(err, unix.ENOENT) && made {
		if err := unix.Mkdirat(r.fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return &fs.PathError{Op: "mkdir", Path: filepath.Join(r.at, name), Err: err}
		}
		fd, err = r.open(name)
	}
	at := filepath.Join(r.at, name)
	if err != nil {
		return &fs.PathError{Op: "open", Path: at, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return &fs.PathError{Op: "stat", Path: at, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		r.move(fd, at)
		return nil
	case unix.S_IFLNK:
		defer func() { _ = unix.Close(fd) }()
		return r.follow(fd, at, &st)
	default:
		_ = unix.Close(fd)
		return &fs.PathError{Op: "open", Path: at, Err: unix.ENOTDIR}
	}
}

func (r *resolution) open(name string) (int, error) {
	return retry(func() (int, error) { return unix.Openat(r.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0) })
}

// follow puts the target of a symbolic link in front of what is left of the path.
func (r *resolution) follow(fd int, at string, st *unix.Stat_t) error {
	if !trusted(st.Uid) && !r.unmapped(st.Uid) {
		return &UnsafeError{
			at, fmt.Sprintf("it is a symbolic link that user %d made", st.Uid),
			"name the directory itself, if it is the right one",
		}
	}
	if r.links++; r.links > maxLinks {
		return &fs.PathError{Op: "open", Path: r.path, Err: unix.ELOOP}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return &fs.PathError{Op: "readlink", Path: at, Err: err}
	}
	target := string(buf[:n])
	if strings.HasPrefix(target, "/") {
		if err := r.restart(); err != nil {
			return err
		}
	}
	parts := components(target)
	r.rest = append(parts, r.rest...)
	r.linked += len(parts)
	return nil
}

// unmapped reports whether an owner is one that a user namespace has no number for (user_namespaces(7)), of a link in a directory
// of such an owner in which nobody else may write: so looks the host's /var/run after `unshare -r`.
func (r *resolution) unmapped(uid uint32) bool {
	const overflow = 65534 // /proc/sys/kernel/overflowuid, unless somebody changed it
	var dir unix.Stat_t
	if uid != overflow || unix.Fstat(r.fd, &dir) != nil || dir.Uid != overflow || dir.Mode&0o022 != 0 {
		return false
	}
	all, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(all))
	return err == nil && (len(fields) != 3 || fields[0] != "0" || fields[2] != "4294967295")
}

func retry(open func() (int, error)) (int, error) {
	for {
		fd, err := open()
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
