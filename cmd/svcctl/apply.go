package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/state"
)

const applyHelp = `Make the tables of svcctl exactly what the manifests say, in one transaction.

The kernel has either all of the old rules or all of the new ones, whatever happens. Where nothing
differs nothing is sent. Services that were applied before and are not in the input any more are
removed ("pruned"), unless --prune=false is given. An input without any Service is refused: "svcctl
delete --all" is the way to remove everything.

A table of the same name that svcctl did not write is left alone (exit code 4), unless --force is
given.`

const applyExamples = `  svcctl apply -f /etc/svcctl/services
  kubectl get svc,endpointslices,pods -A -o yaml | svcctl apply -f -
  svcctl apply -f services/ --dry-run
  svcctl apply -f one.yaml --prune=false`

type applyOptions struct {
	input            inputFlags
	output           string
	dryRun           bool
	detailedExitCode bool
	prune            bool
	force            bool
}

func newApplyCommand(c *cli) *cobra.Command {
	o := &applyOptions{}
	cmd := &cobra.Command{
		Use:     "apply -f PATH…",
		Short:   "Make the kernel's rules what the manifests say",
		Long:    applyHelp,
		Example: applyExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.apply(ctx, o) }),
	}
	o.input.addTo(cmd)
	o.input.addChecksTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "text", "output format: text, json or name")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would happen, and change nothing")
	flags.BoolVar(&o.detailedExitCode, "detailed-exitcode", false, "exit with 1 instead of 0 if something changed")
	flags.BoolVar(&o.prune, "prune", true, "remove applied services that are not in the input")
	flags.BoolVar(&o.force, "force", false, "take over a table of the same name that svcctl did not write")
	completeFlag(cmd, "output", "text", "json", "name")
	return cmd
}

func (c *cli) apply(ctx context.Context, o *applyOptions) error {
	if err := checkFormat(o.output, "text", "json", "name"); err != nil {
		return err
	}
	store := c.store()
	known, err := c.knownFor(store, o)
	if err != nil {
		return err
	}
	o.input.held = heldBy(known)
	applied := c.recall(store, known)
	in, err := c.load(ctx, &o.input, func(b *manifest.Bundle) (*manifest.Bundle, error) {
		switch {
		case len(b.Services) == 0:
			return nil, inputError("no services in the input: \"svcctl delete --all\" removes everything")
		case o.prune:
			return b, nil
		default:
			return c.mergeApplied(store, known, b)
		}
	})
	if err != nil {
		return err
	}
	a := &application{
		cli: c, store: store, known: known, applied: applied, in: in, files: o.input.paths, dryRun: o.dryRun, force: o.force,
		merged: !o.prune,
	}
	out, err := a.carryOut(ctx)
	if out != nil {
		err = errors.Join(c.printOutcome(out, o.output), err)
	}
	if err == nil && o.detailedExitCode && out.changed() {
		return errDifferent
	}
	return err
}

// knownFor gives what is recorded as applied. Without pruning the record is half of the input, so there it must be usable.
func (c *cli) knownFor(store *state.Store, o *applyOptions) (*state.Record, error) {
	if o.prune {
		return c.loadRecord(store), nil
	}
	known, err := c.readRecord(store)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, systemError("--prune=false needs the record of what was applied: %w", err)
	}
	return known, nil
}

// application is one change of what is applied: by apply, or by delete -f.
type application struct {
	cli    *cli
	store  *state.Store
	known  *state.Record // what was applied before; nil: not known
	// applied gives the ruleset of known, or nil.
	applied func() *graph.Ruleset
	in      *input
	files   []string
	dryRun  bool
	force   bool
	merged  bool // the input is made from the record, so the record must not change meanwhile
}

// carryOut compiles the input, commits it and records it. Where the commit was made but something after it failed, there
// is both an outcome and an error.
func (a *application) carryOut(ctx context.Context) (*outcome, error) {
	c := a.cli
	desired, err := c.compile(a.in.model)
	if err != nil {
		return nil, err
	}
	t, err := c.openTarget(a.force)
	if err != nil {
		return nil, err
	}
	defer t.close()
	t.expect(a.known, a.applied())
	t.expect(nil, desired)
	if !a.dryRun {
		lock, err := a.lock(ctx, t)
		if err != nil {
			return nil, err
		}
		defer c.release(lock)
	}
	if a.merged && a.known == nil {
		if err := a.checkNothingApplied(ctx, t); err != nil {
			return nil, err
		}
	}
	ch, err := t.apply(ctx, func(observed *graph.Ruleset) *plan.Plan { return plan.Diff(observed, desired) }, a.dryRun)
	if err != nil {
		return nil, err
	}
	out := &outcome{
		change: ch, dryRun: a.dryRun, table: c.config.Table, netns: c.config.Netns,
		results: results(a.in.model, a.known, ch),
	}
	if a.dryRun {
		return out, nil
	}
	after := context.WithoutCancel(ctx) // the commit is made: what follows only keeps the books
	var problems []error
	if !ch.plan.Empty() {
		problems = append(problems, t.conn.VerifyCounts(after, desired), t.forgetGone(after, ch, desired))
	}
	return out, errors.Join(append(problems, a.record(ch, desired))...)
}

// checkNothingApplied makes sure that a missing record means that nothing is applied: what is, would be lost.
func (a *application) checkNothingApplied(ctx context.Context, t *target) error {
	st, err := t.read(ctx)
	if err != nil {
		return err
	}
	if len(st.Ruleset.Tables) > 0 && !a.force {
		return systemError("--prune=false needs the record of what was applied, and there is none in %s: "+
			"apply all manifests once without it", a.cli.config.StateDir)
	}
	return nil
}

// lock takes the lock. What was known before it was taken may be old by now.
func (a *application) lock(ctx context.Context, t *target) (*state.Lock, error) {
	lock, err := a.store.Lock(a.cli.command)
	if err != nil {
		return nil, a.cli.lockError(ctx, t, err)
	}
	if a.store.Current(a.known) {
		return lock, nil
	}
	// What Services keep was read from the record, too.
	if a.merged || len(a.in.allocated.Assignments) > 0 {
		a.cli.release(lock)
		return nil, conflictError("another svcctl changed what is applied in the meantime: run the command again")
	}
	a.known = a.cli.loadRecordQuietly(a.store)
	t.expected = nil
	t.expect(a.known, a.cli.recall(a.store, a.known)())
	return lock, nil
}
