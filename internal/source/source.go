// Package source reads what -f names: files, directories and standard input.
//
// It takes paths as the user wrote them and gives the bytes behind them as [manifest.Source], in an order that depends
// on the paths alone: the arguments as given, the entries of a directory by name. It knows nothing of what the bytes
// mean; that is the business of compiler/manifest.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/internal/safefile"
)

// The limits. They are far above what one host can have, and low enough that a wrong path or an endless stream is
// refused before it takes the memory of whoever else is on the host.
const (
	// MaxBytes is how much is read, of all paths together: some 200,000 Services of ten endpoints.
	MaxBytes = 256 << 20
	// MaxFiles is how many files are read. Whoever keeps a file for each object of 100,000 Services has 200,000.
	MaxFiles = 300_000
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
	r := &reader{ctx: ctx, opts: opts}
	for _, p := range paths {
		r.path(p)
	}
	if len(r.inputs) > MaxFiles {
		return nil, fmt.Errorf("more than %d files to read: svcctl takes no more at once", MaxFiles)
	}
	r.left.Store(MaxBytes)
	r.readAll()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var (
		sources []manifest.Source
		errs    []error
		tooMuch bool // which is said once
	)
	for i := range r.inputs {
		in := &r.inputs[i]
		if in.err != nil {
			if again := tooMuch && errors.Is(in.err, errTooMuch); !again {
				errs = append(errs, in.err)
			}
			tooMuch = tooMuch || errors.Is(in.err, errTooMuch)
			continue
		}
		sources = append(sources, manifest.Source{Name: in.name, Data: in.data})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return sources, nil
}

// reader finds what there is to read, in order, and then reads it.
type reader struct {
	ctx       context.Context
	opts      Options
	stdinRead bool
	inputs    []input
	left      atomic.Int64 // how many bytes may still be read
}

// input is a file to read, or what is wrong with a path.
type input struct {
	name  string
	stdin bool
	found bool // in a directory: nobody named it
	data  []byte
	err   error
}

func (r *reader) fail(format string, args ...any) {
	r.inputs = append(r.inputs, input{err: fmt.Errorf(format, args...)})
}

// readers is how many files are read at a time. Ten thousand small files are mostly waiting for the kernel, and for the
// disk where they are not in memory.
const readers = 8

// readAll reads the inputs. It does so beside the caller because a read from a pipe cannot be interrupted: when the context
// ends first, the read is left behind, and ends with the process.
func (r *reader) readAll() {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	inputs := r.inputs
	for range min(readers, len(inputs)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(inputs) && r.ctx.Err() == nil; i = next.Add(1) - 1 {
				r.read(&inputs[i])
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-r.ctx.Done():
	case <-done:
	}
}

func (r *reader) read(in *input) {
	if in.err != nil {
		return
	}
	var err error
	switch left := max(r.left.Load(), 0); {
	case in.stdin:
		in.data, err = safefile.ReadAll(r.opts.Stdin, left)
	case in.found: // it may have become something else since
		in.data, err = safefile.ReadRegular(in.name, left)
	default:
		in.data, err = safefile.ReadFile(in.name, left)
	}
	var over *safefile.LimitError
	if errors.As(err, &over) || err == nil && r.left.Add(-int64(len(in.data))) < 0 {
		in.data, err = nil, errTooMuch
	}
	if err != nil {
		in.err = fmt.Errorf("the path %q cannot be read: %w%s", in.name, cause(err), permissionHint(err))
	}
}

var errTooMuch = fmt.Errorf("svcctl reads no more than %s at once, of all files together", safefile.Bytes(MaxBytes))

// path reads one argument.
func (r *reader) path(p string) {
	if p == "-" {
		r.stdin()
		return
	}
	info, err := os.Stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fail("the path %q does not exist%s", p, Nearby(p))
	case err != nil:
		r.fail("the path %q cannot be read: %w%s", p, cause(err), permissionHint(err))
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
		r.fail("standard input cannot be used for multiple arguments: give - once")
		return
	}
	r.stdinRead = true
	r.inputs = append(r.inputs, input{name: StdinName, stdin: true})
}

// file adds a file to what is to be read.
func (r *reader) file(p string) { r.inputs = append(r.inputs, input{name: p}) }

// directory reads the manifests of a directory that was named as an argument. One without any is an error: it is far
// more often a wrong path or an empty mount than a wish to apply nothing.
func (r *reader) directory(dir string) {
	inputs := len(r.inputs)
	subdirectories := r.entries(dir)
	if len(r.inputs) > inputs || r.ctx.Err() != nil {
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
		r.fail("the directory %q cannot be read: %w%s", dir, cause(err), permissionHint(err))
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
			if e.Type().IsRegular() {
				r.inputs = append(r.inputs, input{name: p, found: true})
			} else {
				r.entry(p)
			}
		}
	}
	return subdirectories
}

// entry reads one entry of a directory that may not be a plain file. Nobody named it, so what is not one is refused unopened: opening a named
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
		r.inputs = append(r.inputs, input{name: p, found: true})
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

func permissionHint(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return ": only its owner, or root, can change that (\"ls -ld\" names the owner)"
	}
	return ""
}

// Nearby gives "; did you mean …?" where the directory of a path that does not exist has something that is called
// nearly so, or "".
func Nearby(p string) string {
	dir, name := filepath.Split(filepath.Clean(p))
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if near := diag.Nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", dir+near)
	}
	return ""
}
