package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/svcctl/svcctl/internal/state"
)

const (
	// lockPoll is how often somebody who waits for the lock tries again. flock(2) can wait itself, but neither for a time
	// nor until a signal comes.
	lockPoll = 20 * time.Millisecond
	// lockSilence is how long it waits before it says so: most waits are over by then.
	lockSilence = 500 * time.Millisecond
)

// lock takes the lock of a store, and waits for another svcctl that has it as long as the configuration says. waited tells
// that it had to. The error names who has the lock when the time is over.
func (c *cli) lock(ctx context.Context, store *state.Store) (lock *state.Lock, waited bool, err error) {
	if lock = c.kept; lock != nil {
		c.kept = nil
		return lock, false, nil
	}
	start, told := time.Now(), false // of the monotonic clock: whoever sets the other one changes nothing
	for {
		lock, err = store.Lock(c.command)
		var held *state.HeldError
		if !errors.As(err, &held) {
			return lock, waited, err
		}
		since := time.Since(start)
		switch {
		case since >= c.config.LockWait && !waited:
			return nil, false, err
		case since >= c.config.LockWait:
			return nil, true, fmt.Errorf("%w: gave up after %s", err, c.config.LockWait)
		case since >= lockSilence && !told:
			told = true
			c.notef("%v: waiting up to %s for it", err, c.config.LockWait)
		}
		waited = true
		select {
		case <-ctx.Done():
			return nil, true, context.Cause(ctx)
		case <-time.After(min(lockPoll, c.config.LockWait-since)):
		}
	}
}

// checkRecordable makes sure, before anything is changed, that what will be recorded can say which network namespace it is of.
func (c *cli) checkRecordable() error {
	if _, err := state.Identify(c.config.Netns); err != nil {
		return systemError("nothing was changed, for it could not be recorded: %w", err)
	}
	return nil
}

// errReadAgain says that somebody else may have changed what is applied since it was read, or the manifests may have changed
// while the lock was waited for: all of it is to be read again by whoever has the lock now.
var errReadAgain = conflictError("another svcctl changed what is applied in the meantime: run the command again")

// readingAgain does work that reads before it takes the lock, and if need be once more from the beginning, with the lock in
// hand: whoever comes later then decides on what those before it left, and with the manifests as they are by then.
func (c *cli) readingAgain(work func() error) error {
	err := work()
	if !errors.Is(err, errReadAgain) || c.kept == nil {
		return err
	}
	kept := c.kept
	c.said = c.saying
	err = work()
	if c.kept != nil { // the work failed before it needed the lock
		c.kept = nil
		c.release(kept)
	}
	return err
}

// canReadAgain reports whether what -f names is still there after it was read: neither standard input nor a pipe is.
func canReadAgain(paths []string) bool {
	for _, p := range paths {
		info, err := os.Stat(p)
		if p == "-" || err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			return false
		}
	}
	return true
}
