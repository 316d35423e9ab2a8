// Command svcctl compiles Kubernetes-style Service manifests to nftables, and puts the result into the kernel or prints
// it.
//
// This package is the driver: it knows arguments, environment, files, clock, terminal and exit codes, and hands
// everything else to the phases, manifest to resolve to compiler to plan to nft, or to render. There is one file per
// command.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	os.Exit(run(time.Now))
}

// run runs the command line with a clock, and gives its exit code.
func run(now func() time.Time) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end; after it the next one ends the process at once.
	context.AfterFunc(ctx, stop)
	return execute(ctx, &environment{
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: isTerminal(os.Stdout), stderrTerminal: isTerminal(os.Stderr),
		columns: func() int { return columns(os.Stderr) },
		ticker: func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(d)
			return t.C, t.Stop
		},
		getenv:   os.Getenv,
		now:      now,
		hostname: os.Hostname,
		uid:      os.Getuid(),
	}, os.Args[1:])
}

// environment is everything of the outside world that the commands use, besides files and the kernel.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // stdout is one
	stderrTerminal bool
	columns        func() int // of that of stderr
	progress       *progress  // nil: nobody sees it
	getenv         func(string) string
	now            func() time.Time
	ticker         func(time.Duration) (ticks <-chan time.Time, stop func())
	hostname       func() (string, error)
	uid            int
}

// color decides whether to colour the output. The flag is explicit and comes first; then the conventions of
// https://no-color.org and of terminals that have none.
func (e *environment) color(when string) bool {
	switch when {
	case "always":
		return true
	case "never":
		return false
	default:
		return e.terminal && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
	}
}

// nodeName is the name of this host as the kubelet makes it: lower case, without blanks around it.
func (e *environment) nodeName() (string, error) {
	name, err := e.hostname()
	return strings.ToLower(strings.TrimSpace(name)), err
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// columns gives the width of a terminal, 80 where it does not know itself.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}
