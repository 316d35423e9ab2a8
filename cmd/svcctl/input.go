package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/cache"
	"github.com/svcctl/svcctl/internal/source"
)

// inputFlags are the flags of the commands that read manifests.
type inputFlags struct {
	paths            []string
	recursive        bool
	strict           bool
	warningsAsErrors bool
	quiet            bool // warnings are not this command's business
	// held is what Services keep of what was allocated to them before; nil: the input alone decides.
	held allocate.Held

	// read is what was read, where it cannot be read once more.
	read []manifest.Source

	noCache bool
	// keepDecoded says that the command writes the cache of decoded documents, and not only reads it.
	keepDecoded bool
	// decoded opens the cache, once. It gives nil where there is none to be used.
	decoded func() *cache.Cache
}

// addTo defines the flags that say what to read.
func (f *inputFlags) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	// An array and not a slice: a comma is a character of file names.
	flags.StringArrayVarP(&f.paths, "filename", "f", nil,
		"file or directory to read, or - for standard input; can be given several times")
	flags.BoolVarP(&f.recursive, "recursive", "R", false, "read the subdirectories of directories, too")
	flags.BoolVar(&f.noCache, "no-cache", false, "decode everything, whatever the state directory remembers of earlier runs")
}

// addChecksTo defines the flags that say how much to forgive.
func (f *inputFlags) addChecksTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.strict, "strict", false, "refuse documents of kinds svcctl does not read, instead of skipping them")
	flags.BoolVar(&f.warningsAsErrors, "warnings-as-errors", false, "refuse an input that has warnings")
}

// input is what was read and what it means.
type input struct {
	sources []manifest.Source
	bundle  *manifest.Bundle // as it was written
	// allocated has what the Services do not say themselves.
	allocated *allocate.Result
	model     *resolve.Model
	clean     bool // there was nothing to say about it
	// documents are those of the sources; nil: they are not to be recorded.
	documents []manifest.Document
	// incremental, if not nil, says that bundle, allocated and model are of some Services only.
	incremental *incremental
}

// changer changes a bundle, or refuses it.
type changer func(*manifest.Bundle) (*manifest.Bundle, error)

// load reads, decodes, completes and resolves what -f names. Whatever is wrong with the input is written to standard error, all of
// it, and gives one error. change, if not nil, changes the bundle before it is completed.
func (c *cli) load(ctx context.Context, f *inputFlags, change changer) (*input, error) {
	c.useDecoded(f)
	go f.decoded() // which takes as long as reading the sources
	sources, err := c.readSources(ctx, f)
	if err != nil {
		return nil, err
	}
	return c.understand(sources, f, change)
}

// readSources reads what -f names.
func (c *cli) readSources(ctx context.Context, f *inputFlags) ([]manifest.Source, error) {
	if len(f.paths) == 0 {
		return nil, inputError("must specify what to read with -f: a file, a directory, or - for standard input")
	}
	if f.read != nil {
		return f.read, nil
	}
	names := slices.Clone(f.paths)
	if i := slices.Index(names, "-"); i >= 0 {
		names[i] = "standard input"
	}
	c.phase("reading %s", joinWords(names))
	sources, err := source.Read(ctx, f.paths, source.Options{Stdin: c.env.stdin, Recursive: f.recursive})
	if err != nil && ctx.Err() == nil {
		err = &exitError{exitInput, err}
	}
	if !canReadAgain(f.paths) {
		f.read = sources
	}
	return sources, err
}

// understand decodes sources, gives the Services the addresses they lack, and resolves the result.
func (c *cli) understand(sources []manifest.Source, f *inputFlags, change changer) (*input, error) {
	in := &input{sources: sources}
	c.phase("decoding %s", count(len(sources), "file", "files"))
	var found diag.List
	defer pauseCollector(pausedFor(sources))()
	c.useDecoded(f)
	in.bundle, found = c.decode(sources, f)
	broken := found.HasErrors()
	in.documents = in.bundle.Documents
	if change != nil && !broken {
		var err error
		if in.bundle, err = change(in.bundle); err != nil {
			return nil, err
		}
	}
	// What was decoded is checked even when something else was not, so that all problems are seen at once. Its warnings
	// are not: they may be about what is missing only because it could not be decoded.
	var lacking, meant diag.List
	in.allocated, lacking = allocate.Allocate(in.bundle, c.config.Allocate(), f.held)
	in.model, meant = resolve.Resolve(in.allocated.Bundle, c.config.Resolve())
	if broken {
		meant, _ = meant.Split()
	}
	found = append(append(found, lacking...), meant...)
	in.clean = len(found) == 0 && len(in.bundle.Skipped) == 0
	if !f.quiet && !f.strict {
		c.noteSkipped(in.bundle.Skipped)
	}
	return in, c.judge(found, f)
}

// pauseCollector keeps the garbage collector from running until the function it gives is called. Nearly all that decoding,
// resolving and compiling make stays until the end of the process, and marking it over and over would cost more than making it.
func pauseCollector(memory int64) (resume func()) {
	percent := debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(memory)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// pausedMemory is how much memory may be in use before the collector runs all the same, in bytes: some 300,000 Services of
// ten endpoints.
const pausedMemory = 3 << 30

// pausedFor is pausedMemory for manifests: what they make takes about twelve times as much memory as their text. If it takes
// twice that, they are nothing like manifests, and most of it is garbage.
func pausedFor(sources []manifest.Source) int64 {
	size := int64(0)
	for i := range sources {
		size += int64(len(sources[i].Data))
	}
	return min(128<<20+24*size, pausedMemory)
}

// compile compiles the model.
func (c *cli) compile(m *resolve.Model, opts ...compiler.Option) (*graph.Ruleset, error) {
	defer pauseCollector(pausedMemory)()
	c.phase("compiling %s", count(len(m.Services), "service", "services"))
	rs, err := compiler.Compile(m, c.config.Compiler(), opts...)
	if err != nil {
		return nil, defect(err)
	}
	return rs, nil
}

func defect(err error) error { return systemError("a defect of svcctl, please report it: %w", err) }

// maxShown is how many findings are shown. Beyond that they are one mistake repeated.
const maxShown = 50

// judge shows findings, errors first, and decides whether the input is good enough.
func (c *cli) judge(found diag.List, f *inputFlags) error {
	found.Sort()
	errs, warnings := found.Split()
	shown := errs
	if !f.quiet || f.warningsAsErrors {
		shown = append(shown, warnings...)
	}
	for i, d := range shown {
		if i == maxShown {
			c.notef("and %d more", len(shown)-maxShown)
			break
		}
		c.notef("%s", d)
	}
	switch {
	case len(errs) > 0:
		return &exitError{code: exitInput}
	case len(warnings) > 0 && f.warningsAsErrors:
		return inputError("%s, and --warnings-as-errors is given: mend what they name, or leave it out", count(len(warnings), "warning", "warnings"))
	default:
		return nil
	}
}

// noteSkipped tells in one line which documents were passed over.
func (c *cli) noteSkipped(skipped map[string]int) {
	if len(skipped) == 0 {
		return
	}
	total := 0
	var kinds []string
	for kind, n := range skipped {
		total += n
		if i := strings.LastIndexByte(kind, '/'); i >= 0 {
			kind = kind[:i] + " " + kind[i+1:]
		}
		kinds = append(kinds, fmt.Sprintf("%s (%d)", kind, n))
	}
	slices.Sort(kinds)
	c.notef("skipped %s of kinds svcctl does not read: %s",
		count(total, "document", "documents"), strings.Join(kinds, ", "))
}

// checkNotEmpty refuses a bundle without any object: it is a mistake whatever the command.
func checkNotEmpty(b *manifest.Bundle) error {
	if len(b.Services)+len(b.EndpointSlices)+len(b.Endpoints)+len(b.Pods)+len(b.Nodes) == 0 {
		return inputError("no objects in the input: of a directory the files *.yaml, *.yml and *.json are read, with -R those of its subdirectories")
	}
	return nil
}
