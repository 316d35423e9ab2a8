package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/internal/state"
	"github.com/svcctl/svcctl/nft"
)

// The exit codes. They are promises: scripts and units depend on them.
const (
	exitDone      = 0
	exitDifferent = 1 // differences found
	exitInput     = 2 // bad input or usage
	exitSystem    = 3 // the kernel or the system refused
	exitConflict  = 4 // another writer, or a table that is not ours
)

// exitCodes says what each means.
var exitCodes = []exitMeaning{
	{exitDone, "done, and nothing differs"},
	{exitDifferent, "differences found (diff, verify, apply --detailed-exitcode), or a host that cannot do it (check)"},
	{exitInput, "bad input or usage, also a name that get or describe does not find"},
	{exitSystem, "the kernel or the system refused"},
	{exitConflict, "conflict: another writer, or a table that svcctl did not write"},
}

// exitError is an error with the exit code it leads to. Without an error there is nothing left to say.
type exitError struct {
	code int
	err  error
}

// Error gives the words of the error.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap gives the error itself.
func (e *exitError) Unwrap() error { return e.err }

// inputError makes an error of bad input or usage.
func inputError(format string, args ...any) error {
	return &exitError{exitInput, fmt.Errorf(format, args...)}
}

// systemError makes an error of a kernel or system that refused.
func systemError(format string, args ...any) error {
	return &exitError{exitSystem, fmt.Errorf(format, args...)}
}

// conflictError makes an error of somebody or something else being in the way.
func conflictError(format string, args ...any) error {
	return &exitError{exitConflict, fmt.Errorf(format, args...)}
}

// errDifferent is the end of a command that found differences: no failure, and nothing left to say.
var errDifferent = &exitError{code: exitDifferent}

// classify gives an error of a command its exit code, and the words of those errors that a phase cannot know the remedy
// of.
func classify(ctx context.Context, err error) *exitError {
	var (
		coded *exitError
		held  *state.HeldError
		input *diag.InputError
	)
	switch {
	case ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())):
		return &exitError{exitSystem, fmt.Errorf("interrupted (%w): nothing was changed", context.Cause(ctx))}
	case errors.As(err, &coded):
		if coded.code == exitSystem {
			return &exitError{exitSystem, withRemedy(coded.err)}
		}
		return coded
	case errors.As(err, &input):
		return &exitError{exitInput, err}
	case errors.As(err, &held):
		return &exitError{exitConflict, fmt.Errorf("%w: run the command again when it is done", err)}
	case errors.Is(err, nft.ErrConflict):
		return &exitError{exitConflict, err}
	case errors.Is(err, nft.ErrPermission):
		return &exitError{exitSystem, fmt.Errorf("%w: run svcctl as root, or as an ordinary user "+
			"in a namespace of your own (unshare -rn svcctl …)", nft.ErrPermission)}
	default:
		return &exitError{exitSystem, withRemedy(err)}
	}
}

// report writes an error to standard error, a line for each thing that is wrong.
func report(env *environment, err *exitError) {
	if err.err == nil {
		return
	}
	env.notify("error: %v", err.err)
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		_, _ = fmt.Fprintf(env.stderr, "error: %s\n", printable(line))
	}
}

// printable keeps what came from the input from controlling the terminal it is shown on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
