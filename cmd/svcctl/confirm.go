package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/internal/state"
)

const confirmHelp = `Confirm the change that "svcctl apply --confirm" made, so that it stays.

Without it the state before that change comes back when the time is over.`

const confirmExamples = `  svcctl apply -f services/ --confirm=60s
  svcctl confirm`

func newConfirmCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "confirm",
		Short:   "Confirm the change that waits for it",
		Long:    confirmHelp,
		Example: confirmExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.confirm(ctx) }),
	}
}

func (c *cli) confirm(ctx context.Context) error {
	store := c.store()
	pending, err := store.LoadPending()
	if err != nil {
		return systemError("%w", err)
	}
	if pending == nil {
		return c.nothingToConfirm(store)
	}
	t, lock, err := c.openLocked(ctx, store)
	if err != nil {
		return err
	}
	defer t.close()
	defer c.release(lock)
	// While the lock was taken, the time may have run out.
	pending, err = store.LoadPending()
	if err != nil {
		return systemError("%w", err)
	}
	if pending == nil {
		return c.nothingToConfirm(store)
	}
	if err := c.endWaiting(store, pending); err != nil {
		return err
	}
	c.printf("confirmed\n")
	return nil
}

// nothingToConfirm says why nothing waits, as far as that is known.
func (c *cli) nothingToConfirm(store *state.Store) error {
	if r, err := store.Load(); err == nil && r.RolledBackTo != 0 {
		return inputError("nothing waits to be confirmed: state %d came back %s: apply the change again", r.RolledBackTo, r.Time.Format(time.RFC3339))
	}
	return inputError("nothing waits to be confirmed: \"svcctl apply --confirm\" makes a change that does")
}

// endWaiting notes that nothing waits to be confirmed any more, and calls the watchdog off.
func (c *cli) endWaiting(store *state.Store, pending *state.Pending) error {
	if pending == nil {
		return nil
	}
	if err := store.RemovePending(); err != nil {
		return systemError("%w", err)
	}
	c.callOff(pending)
	return nil
}

// checkNothingWaits refuses to change what is applied while a change waits to be confirmed: going back would undo both. What
// counts is that there is somebody to go back, and not the deadline: the clock may have been set since.
func (c *cli) checkNothingWaits(store *state.Store) error {
	pending, err := store.LoadPending()
	var damaged *state.DamagedError
	switch {
	case errors.As(err, &damaged):
		c.notef("warning: %v; going on without it", err)
		return store.RemovePending()
	case err != nil || pending == nil:
		return err
	case !c.watched(pending):
		c.notef("warning: a change that was to be confirmed until %s never was, and nobody undid it; it stays",
			pending.Deadline.Format(time.RFC3339))
		return c.endWaiting(store, pending)
	default:
		return conflictError("a change waits to be confirmed until %s: \"svcctl confirm\" keeps it, \"svcctl rollback\" undoes it",
			pending.Deadline.Format(time.RFC3339))
	}
}
