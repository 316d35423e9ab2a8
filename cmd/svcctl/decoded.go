package main

import (
	"debug/elf"
	"encoding/binary"
	"sync"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/internal/cache"
)

// useDecoded lets the input be decoded with the cache, unless that is not wanted. It opens nothing yet.
func (c *cli) useDecoded(f *inputFlags) {
	if f.decoded == nil {
		f.decoded = sync.OnceValue(func() *cache.Cache { return c.openDecoded(f) })
	}
}

// openDecoded opens the cache of decoded documents in the state directory. What is not usable is not worth a word: the
// documents are decoded. Only apply writes it, so that to look at something never changes anything.
func (c *cli) openDecoded(f *inputFlags) *cache.Cache {
	if f.noCache {
		return nil
	}
	build, err := buildID()
	if err != nil {
		c.log.Debug("this program cannot be told from others, so there is no cache", "error", err)
		return nil
	}
	opened, err := cache.Open(c.config.StateDir, cache.Options{Build: build, Keep: f.keepDecoded})
	if err != nil {
		c.log.Debug("nothing is cached", "error", err)
	}
	return opened
}

// decode decodes the input, with the cache where there is one.
func (c *cli) decode(sources []manifest.Source, f *inputFlags) (*manifest.Bundle, diag.List) {
	opts := manifest.Options{Strict: f.strict}
	decoded := f.decoded()
	if decoded == nil {
		return manifest.Decode(sources, opts)
	}
	opts.Cache, opts.Documents = decoded, f.keepDecoded
	b, found := manifest.Decode(sources, opts)
	hits, misses := decoded.Counts()
	c.log.Debug("decoded", "cached", hits, "anew", misses)
	return b, found
}

// saveDecoded writes the cache, if that pays. That it could not be written costs the next run some time.
func (c *cli) saveDecoded(f *inputFlags) {
	if decoded := f.decoded(); decoded != nil {
		if err := decoded.Save(c.env.now()); err != nil {
			c.log.Debug("not cached", "error", err)
		}
	}
}

// buildID gives what the linker calls this program: another one for every change of its source, its libraries or its
// compiler. It is empty where the linker was told so (-buildid=).
func buildID() (string, error) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	section := f.Section(".note.go.buildid")
	if section == nil {
		return "", nil
	}
	note, err := section.Data()
	if err != nil || len(note) < 16 {
		return "", err
	}
	// The sizes of name and text, a type, the name "Go" in four bytes, the text (elf(5), "Notes").
	size := binary.NativeEndian.Uint32(note[4:])
	return string(note[16:][:min(int(size), len(note)-16)]), nil
}
