package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/state"
	"github.com/svcctl/svcctl/render"
)

const verifyHelp = `Compare every table, set, element, chain and rule of svcctl in the kernel with what was applied, and name
each difference. Nothing is taken on trust: all elements are read.

The exit code is 0 where nothing differs, 1 where something does. --repair makes the kernel what was
applied again, in one transaction, and then the exit code is 0.`

const verifyExamples = `  svcctl verify
  svcctl verify --repair
  svcctl verify -o json`

type verifyOptions struct {
	output string
	repair bool
}

func newVerifyCommand(c *cli) *cobra.Command {
	o := &verifyOptions{}
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Check that the kernel has exactly what was applied",
		Long:    verifyHelp,
		Example: verifyExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.verify(ctx, o) }),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "text", "output format: text or json")
	flags.BoolVar(&o.repair, "repair", false, "make the kernel what was applied, where it is not")
	completeFlag(cmd, "output", "text", "json")
	return cmd
}

func (c *cli) verify(ctx context.Context, o *verifyOptions) error {
	if err := checkFormat(o.output, "text", "json"); err != nil {
		return err
	}
	store := c.store()
	record, desired, err := c.appliedRuleset(store)
	if err != nil {
		return err
	}
	t, err := c.openTarget(false)
	if err != nil {
		return err
	}
	defer t.close()
	t.thorough = true
	if o.repair {
		lock, _, err := c.lock(ctx, store)
		if err != nil {
			return c.lockError(ctx, t, err)
		}
		defer c.release(lock)
		if !store.Current(record) { // somebody else changed what is applied while the lock was waited for
			if record, desired, err = c.appliedRuleset(store); err != nil {
				return err
			}
		}
	}
	ch, err := t.converge(ctx, desired, !o.repair, nil)
	if ch == nil {
		return err
	}
	// The plan may be to make a table anew; what is wrong with it is still worth naming.
	found := render.Differences(plan.Diff(ch.observed, desired), ch.observed, ch.survey.Foreign)
	repaired := o.repair && len(found) > 0
	if o.output == "json" {
		err = errors.Join(err, render.VerifyJSON(c.out, found, repaired))
	} else {
		err = errors.Join(err, render.VerifyText(c.out, found))
	}
	switch {
	case repaired:
		c.notef("repaired: %s", count(len(found), "difference", "differences"))
		record.Generation = ch.generation
		return errors.Join(err, store.Amend(record))
	case err == nil && len(found) > 0:
		return errDifferent
	default:
		return err
	}
}

// appliedRuleset gives the record of what was applied and the ruleset that was committed.
func (c *cli) appliedRuleset(store *state.Store) (*state.Record, *graph.Ruleset, error) {
	record, err := c.readRecord(store)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, inputError("nothing is recorded as applied in %s: \"svcctl apply\" applies something, --state-dir names another record", c.config.StateDir)
	}
	var unknown *state.UnknownError
	if errors.As(err, &unknown) {
		return nil, nil, systemError("%w", err)
	}
	if err != nil {
		return nil, nil, recordError(err, "\"svcctl apply\" makes a new one")
	}
	rs, err := store.Applied(record)
	if err != nil {
		return nil, nil, recordError(err, "\"svcctl apply\" makes a new one")
	}
	return record, rs, nil
}
