package render

import (
	"io"
)

// flushAt is how much text is gathered before it is handed on: large enough that a file or pipe sees few writes.
const flushAt = 64 << 10

// writer gathers text by appending to one buffer, so that hundreds of thousands of elements cost no allocation each. It
// keeps the first error and drops everything after it.
type writer struct {
	w   io.Writer
	buf []byte
	err error
}

func newWriter(w io.Writer) *writer {
	return &writer{w: w, buf: make([]byte, 0, flushAt+4096)}
}

// str appends strings.
func (w *writer) str(parts ...string) {
	for _, s := range parts {
		w.buf = append(w.buf, s...)
	}
	w.spill()
}

// spill hands the buffer on when it is full.
func (w *writer) spill() {
	if len(w.buf) >= flushAt {
		w.flush()
	}
}

func (w *writer) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// fail keeps an error that is not about writing.
func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// close hands the rest on and gives the first error. The underlying writer stays open: it belongs to the caller.
func (w *writer) close() error {
	w.flush()
	return w.err
}
