package safefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// LimitError says that there is more to read than is read.
type LimitError struct{ Limit int64 }

// Error names the limit.
func (e *LimitError) Error() string { return fmt.Sprintf("larger than %s", Bytes(e.Limit)) }

// Bytes writes a number of bytes for people.
func Bytes(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// What does not tell its size is read in pieces that grow from the one to the other.
const (
	firstChunk = 4 << 10
	lastChunk  = 1 << 20
)

// ReadAll reads all there is, or gives a [*LimitError] as soon as it has seen more than limit bytes. It never holds more than that.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	var chunks [][]byte
	size, total := int64(firstChunk), int64(0)
	for ; ; size = min(2*size, lastChunk) {
		buf := make([]byte, min(size, limit+1-total))
		n, err := io.ReadFull(r, buf)
		if total += int64(n); total > limit {
			return nil, &LimitError{limit}
		}
		chunks = append(chunks, buf[:n])
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			if len(chunks) == 1 {
				return chunks[0], nil
			}
			return bytes.Join(chunks, nil), nil
		case err != nil:
			return nil, err
		}
	}
}

// ReadFile reads a file that a user named, whatever and whosever it is, up to a limit: /dev/null is a way to say nothing, and
// the shell's <(command) is a pipe, for whose writer it waits.
func ReadFile(path string, limit int64) ([]byte, error) { return readFile(path, 0, limit) }

// ReadRegular is ReadFile for a name that nobody wrote: it takes regular files only, and waits for nobody.
func ReadRegular(path string, limit int64) ([]byte, error) {
	return readFile(path, syscall.O_NONBLOCK, limit)
}

func readFile(path string, flag int, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|flag, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && flag != 0 && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil {
		var data []byte
		if data, err = readSized(f, info, limit); err == nil {
			return data, nil
		}
	}
	return nil, &fs.PathError{Op: "read", Path: path, Err: unwrapped(err)}
}

// readSized reads a file that says how large it is, if it does.
func readSized(f *os.File, info fs.FileInfo, limit int64) ([]byte, error) {
	if !info.Mode().IsRegular() || info.Size() == 0 { // as files of /proc say
		return ReadAll(f, limit)
	}
	if info.Size() > limit {
		return nil, &LimitError{limit}
	}
	buf := make([]byte, info.Size()+1) // one more tells that it has grown
	n, err := io.ReadFull(f, buf)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return buf[:n], nil
	case err != nil:
		return nil, err
	}
	rest, err := ReadAll(f, max(limit-int64(n), 0))
	var over *LimitError
	if errors.As(err, &over) {
		return nil, &LimitError{limit}
	}
	return append(buf, rest...), err
}
