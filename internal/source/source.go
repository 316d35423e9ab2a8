// Package source reads what -f names: files, directories and standard input.
//
// It takes paths as the user wrote them and gives the bytes behind them as [manifest.Source], in an order that depends
// on the paths alone: the arguments as given, the entries of a directory by name. It knows nothing of what the bytes
// mean; that is the business of compiler/manifest.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// StdinName is what messages call standard input.
const StdinName = "<stdin>"

// Extensions are the file name extensions that make a directory's entry a manifest. A file that is named itself may
// have any.
var Extensions = []string{".json", ".yaml", ".yml"}

// Options say how to read.
type Options struct {
	Stdin     io.Reader // what "-" means
	Recursive bool      // look into the subdirectories of directories, too
}

// Read reads everything that the paths name. It goes on after a failure, so that its error, made by [errors.Join], names
// every path that could not be read; no sources are given then.
//
// Reading from a pipe or a terminal may block: Read returns with the context's error when the context is cancelled.
func Read(ctx context.Context, paths []string, opts Options) ([]manifest.Source, error) {
	r := reader{ctx: ctx, opts: opts}
	for _, p := range paths {
		r.path(p)
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return r.sources, nil
}

type reader struct {
	ctx       context.Context
	opts      Options
	stdinRead bool
	sources   []manifest.Source
	errs      []error
}

func (r *reader) fail(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

// path reads one argument.
func (r *reader) path(p string) {
	if p == "-" {
		r.stdin()
		return
	}
	info, err := os.Stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fail("the path %q does not exist", p)
	case err != nil:
		r.fail("the path %q cannot be read: %w", p, cause(err))
	case info.IsDir():
		r.directory(p)
	case info.Mode()&(fs.ModeDevice|fs.ModeSocket) != 0:
		r.fail("the path %q is a %s, not a file of manifests", p, kind(info.Mode()))
	default:
		// A named pipe is welcome here: it is what the shell's <(command) gives.
		r.file(p)
	}
}

func (r *reader) stdin() {
	if r.stdinRead {
		r.fail("standard input cannot be used for multiple arguments")
		return
	}
	r.stdinRead = true
	r.add(StdinName, func() ([]byte, error) { return io.ReadAll(r.opts.Stdin) })
}

func (r *reader) file(p string) { r.add(p, func() ([]byte, error) { return os.ReadFile(p) }) }

// add reads one source. The read runs beside the caller because a read from a pipe cannot be interrupted: when the
// context ends first, the read is left behind, and ends with the process.
func (r *reader) add(name string, read func() ([]byte, error)) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case <-r.ctx.Done():
	case res := <-done:
		if res.err != nil {
			r.fail("the path %q cannot be read: %w", name, cause(res.err))
			return
		}
		r.sources = append(r.sources, manifest.Source{Name: name, Data: res.data})
	}
}

// directory reads the manifests of a directory that was named as an argument. One without any is an error: it is far
// more often a wrong path or an empty mount than a wish to apply nothing.
func (r *reader) directory(dir string) {
	sources, errs := len(r.sources), len(r.errs)
	subdirectories := r.entries(dir)
	if len(r.sources) > sources || len(r.errs) > errs || r.ctx.Err() != nil {
		return
	}
	hint := ""
	if subdirectories && !r.opts.Recursive {
		hint = "; -R looks into its subdirectories"
	}
	r.fail("the directory %q has no manifests (%s)%s", dir, strings.Join(Extensions, ", "), hint)
}

// entries reads the manifests among a directory's entries, by name, and reports whether it has subdirectories. Entries
// that start with a dot are passed over: editors keep their locks and copies there, and mounted ConfigMaps their history.
// Symbolic links to files are followed; those to directories are not, so that a walk ends.
func (r *reader) entries(dir string) (subdirectories bool) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		r.fail("the directory %q cannot be read: %w", dir, cause(err))
		return false
	}
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			subdirectories = true
			if r.opts.Recursive {
				r.entries(p)
			}
		case slices.Contains(Extensions, strings.ToLower(filepath.Ext(p))):
			r.entry(p)
		}
	}
	return subdirectories
}

// entry reads one entry of a directory. Nobody named it, so what is not a plain file is refused unopened: opening a named
// pipe would wait for its writer.
func (r *reader) entry(p string) {
	info, err := os.Stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fail("the path %q is a symbolic link to nothing", p)
	case err != nil:
		r.fail("the path %q cannot be read: %w", p, cause(err))
	case info.IsDir(): // behind a symbolic link
	case !info.Mode().IsRegular():
		r.fail("the path %q is a %s, not a file of manifests", p, kind(info.Mode()))
	default:
		r.file(p)
	}
}

// kind names the type of a special file.
func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	default:
		return "special file"
	}
}

// cause takes the operation and path off a file error: the message around it has them in better words.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
