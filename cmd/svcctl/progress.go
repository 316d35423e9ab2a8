package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	patience = time.Second            // how long somebody waits before wondering
	redraw   = 200 * time.Millisecond // how often the seconds are looked at from then on
)

// eraseLine puts the cursor at the beginning of the line and makes the line empty (ECMA-48, "EL").
const eraseLine = "\r\x1b[K"

// progress tells somebody at a terminal what the program is doing, in one line of standard error, once it has taken more
// than a second. The line goes before anything else is written, and when the work is done. A nil progress says nothing:
// that of a standard error that is no terminal.
type progress struct {
	to     io.Writer
	width  func() int // of the terminal, in columns
	now    func() time.Time
	ticker func(time.Duration) (ticks <-chan time.Time, stop func())

	mu    sync.Mutex
	muted bool
	doing string // "": nothing that somebody waits for
	since time.Time
	shown string        // the line; "": there is none
	ended chan struct{} // nil: the line is not looked after
}

// withProgress gives the environment a progress, where there is somebody to see it: what is written to a terminal goes
// through it.
func (e *environment) withProgress() *environment {
	if !e.stderrTerminal || e.getenv("TERM") == "dumb" {
		return e
	}
	with := *e
	p := &progress{to: e.stderr, width: e.columns, now: e.now, ticker: e.ticker}
	with.progress, with.stderr = p, overProgress{e.stderr, p}
	if e.terminal { // mostly the same one
		with.stdout = overProgress{e.stdout, p}
	}
	return &with
}

// phase says what is being done from here on.
func (c *cli) phase(format string, args ...any) { c.env.progress.set(fmt.Sprintf(format, args...)) }

// idle says that what comes is not waited for: a watch that waits for changes.
func (c *cli) idle() { c.env.progress.set("") }

func (p *progress) set(doing string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doing == "" {
		p.since = p.now()
	}
	p.doing = doing
	switch {
	case doing == "":
		p.erase()
	case p.ended == nil && !p.muted:
		p.ended = make(chan struct{})
		go p.look(p.ended)
	}
}

// mute keeps a progress from saying anything.
func (p *progress) mute() {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.muted = true
	}
}

// end ends a progress with the work.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.muted = true
	if p.ended != nil {
		close(p.ended)
		p.ended = nil
	}
}

// look draws the line anew as time goes by.
func (p *progress) look(ended <-chan struct{}) {
	ticks, stop := p.ticker(redraw)
	defer stop()
	for {
		select {
		case <-ended:
			return
		case <-ticks:
			p.draw()
		}
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	waited := p.now().Sub(p.since)
	if p.muted || p.doing == "" || waited < patience {
		return
	}
	line := []rune(printable(fmt.Sprintf("%s … %ds", p.doing, int(waited.Seconds()))))
	// A line that the terminal breaks could not be erased.
	if most := p.width() - 1; most > 0 && len(line) > most {
		line = line[:most]
	}
	if string(line) != p.shown {
		p.shown = string(line)
		_, _ = io.WriteString(p.to, eraseLine+p.shown)
	}
}

func (p *progress) erase() {
	if p.shown != "" {
		_, _ = io.WriteString(p.to, eraseLine)
		p.shown = ""
	}
}

// overProgress writes to a terminal that shows a progress.
type overProgress struct {
	io.Writer
	progress *progress
}

// Write erases the line of the progress and writes. Where the text ends within a line there is no room for a progress, and
// there is none any more.
func (w overProgress) Write(text []byte) (int, error) {
	w.progress.mu.Lock()
	defer w.progress.mu.Unlock()
	w.progress.erase()
	if len(text) > 0 && text[len(text)-1] != '\n' {
		w.progress.muted = true
	}
	return w.Writer.Write(text)
}
