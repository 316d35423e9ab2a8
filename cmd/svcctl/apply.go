package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

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

With --confirm the change is live at once and undone by itself, unless "svcctl confirm" comes in time:
for changes that may cut off whoever makes them. What undoes it does not depend on this process or its
session.

UDP and SCTP flows that lose their endpoint with the change are cut after it, so that their next
packet goes where a new flow would; TCP connections are left to end. --dry-run says how many.

After a change, what keeps this host from serving it is told in warnings: "svcctl check" has the rest, and
"checkHost: false" in the configuration keeps them away.

A table of the same name that svcctl did not write is left alone (exit code 4), unless --force is
given.`

const applyExamples = `  svcctl apply -f /etc/svcctl/services
  kubectl get svc,endpointslices,pods -A -o yaml | svcctl apply -f -
  svcctl apply -f services/ --dry-run
  svcctl apply -f services/ --confirm=60s
  svcctl apply -f one.yaml --prune=false`

type applyOptions struct {
	input            inputFlags
	output           string
	dryRun           bool
	detailedExitCode bool
	prune            bool
	force            bool
	confirm          time.Duration
}

func newApplyCommand(c *cli) *cobra.Command {
	o := &applyOptions{}
	cmd := &cobra.Command{
		Use:     "apply -f PATH…",
		Short:   "Make the kernel's rules what the manifests say",
		Long:    applyHelp,
		Example: applyExamples,
		Args:    noArguments,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			return c.readingAgain(func() error { return c.apply(ctx, o) })
		}),
	}
	o.input.addTo(cmd)
	o.input.addChecksTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "text", "output format: text, changes (text without what is unchanged), json or name")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would happen, and change nothing")
	flags.BoolVar(&o.detailedExitCode, "detailed-exitcode", false, "exit with 1 instead of 0 if something changed")
	flags.BoolVar(&o.prune, "prune", true, "remove applied services that are not in the input")
	flags.DurationVar(&o.confirm, "confirm", 0,
		"undo the change after this time, unless \"svcctl confirm\" comes before (default without a value: 60s)")
	flags.Lookup("confirm").NoOptDefVal = "60s"
	flags.BoolVar(&o.force, "force", false, "take over a table of the same name that svcctl did not write")
	completeFlag(cmd, "output", "text", "changes", "json", "name")
	return cmd
}

// maxConfirm is how long a change may wait to be confirmed.
const maxConfirm = 24 * time.Hour

func (c *cli) apply(ctx context.Context, o *applyOptions) error {
	if err := checkFormat(o.output, "text", "changes", "json", "name"); err != nil {
		return err
	}
	if o.confirm != 0 && (o.confirm < time.Second || o.confirm > maxConfirm) {
		return inputError("--confirm=%s: the time must be between 1s and 24h", o.confirm)
	}
	// From beginning to end: between two phases it would mark at once what it had never seen.
	defer pauseCollector(pausedMemory)()
	store := c.store()
	known, err := c.knownFor(store, o)
	if err != nil {
		return err
	}
	o.input.held, o.input.keepDecoded = heldBy(known), !o.dryRun
	sources, err := c.readSources(ctx, &o.input)
	if err != nil {
		return err
	}
	if out, err := c.applyAsBefore(ctx, o, store, known, sources); out != nil || err != nil {
		return c.concludeApply(o, out, err)
	}
	applied := c.recall(store, known)
	whole := func() (*input, error) {
		return c.understand(sources, &o.input, func(b *manifest.Bundle) (*manifest.Bundle, error) {
			switch {
			case len(b.Services) == 0:
				return nil, inputError("no services in the input: \"svcctl delete --all\" removes everything")
			case o.prune:
				return b, nil
			default:
				return c.mergeApplied(store, known, b)
			}
		})
	}
	in, err := c.understandIncrement(o, store, known, applied, sources)
	if in == nil && err == nil {
		in, err = whole()
	}
	if err != nil {
		return err
	}
	a := &application{
		cli: c, store: store, known: known, applied: applied, in: in, whole: whole, files: o.input.paths,
		dryRun: o.dryRun, force: o.force, confirm: o.confirm, merged: !o.prune,
	}
	out, err := a.carryOut(ctx)
	c.warnOfHost(ctx, out, in)
	err = c.concludeApply(o, out, err)
	done := err == nil || errors.Is(err, errDifferent)
	if a.pending != nil && done {
		c.notef("the change is undone at %s, unless \"svcctl confirm\" comes before", a.pending.Deadline.Format(time.RFC3339))
	}
	if done && !o.dryRun && a.in.incremental == nil { // else nothing was looked up there
		c.saveDecoded(&o.input)
	}
	return err
}

// concludeApply tells what came of an apply.
func (c *cli) concludeApply(o *applyOptions, out *outcome, err error) error {
	if out != nil {
		err = errors.Join(c.printOutcome(out, o.output), err)
	}
	if err == nil && !o.dryRun {
		c.env.notify("applied %s at generation %d", count(out.served(), "service", "services"), out.generation)
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
		return nil, systemError("--prune=false needs the record of what was applied: %w: apply all manifests once without it", err)
	}
	return known, nil
}

// application is one change of what is applied: by apply, or by delete -f.
type application struct {
	cli   *cli
	store *state.Store
	known *state.Record // what was applied before; nil: not known
	// applied gives the ruleset of known, or nil.
	applied func() *graph.Ruleset
	// digests are those of the Services of the input, manifests what will be recorded of it.
	digests   func() map[string]string
	manifests func() *state.Manifests
	in        *input
	// whole understands the input as a whole, where in is incremental.
	whole  func() (*input, error)
	files  []string
	dryRun bool
	force  bool
	// confirm is how long the change waits to be confirmed; 0: it stays without.
	confirm time.Duration
	pending *state.Pending // the change waits
	merged  bool           // the input is made from the record, so the record must not change meanwhile
}

// carryOut compiles the input, commits it and records it. Where the commit was made but something after it failed, there
// is both an outcome and an error.
func (a *application) carryOut(ctx context.Context) (*outcome, error) {
	c := a.cli
	desired, err := a.desired()
	if err != nil {
		return nil, err
	}
	// The kernel is waited for now, and more than one processor has nothing to do.
	a.digests = inBackground(a.in.allDigests)
	a.manifests = inBackground(func() *state.Manifests { return state.NameManifests(a.sources()) })
	t, err := c.openTarget(a.force)
	if err != nil {
		return nil, err
	}
	defer t.close()
	t.expect(a.known, a.applied())
	t.expect(nil, desired)
	var failed error
	t.complete = func(p *plan.Plan) bool {
		if failed != nil || a.in.incremental == nil || !a.in.concernsOthers(p) {
			return false
		}
		failed = a.takeWhole()
		return failed == nil
	}
	if !a.dryRun {
		lock, err := a.lock(ctx, t)
		if err != nil {
			return nil, err
		}
		defer c.release(lock)
		if err := c.checkNothingWaits(a.store); err != nil {
			return nil, err
		}
	}
	if a.merged && a.known == nil {
		if err := a.checkNothingApplied(ctx, t); err != nil {
			return nil, err
		}
	}
	if err := a.armFor(ctx, t, desired); err != nil {
		return nil, err
	}
	var told []result
	ch, followUp := t.converge(ctx, desired, a.dryRun, func(ch *change) []result {
		told = a.results(ch)
		return told
	})
	if ch == nil {
		return nil, errors.Join(followUp, a.disarm())
	}
	followUp = errors.Join(failed, followUp)
	out := &outcome{
		change: ch, dryRun: a.dryRun, table: c.config.Table, netns: c.config.Netns,
		results: told,
	}
	if a.dryRun {
		ch.flowsCut, err = t.countFlows(ctx, ch, desired, told)
		return out, errors.Join(failed, err)
	}
	return out, errors.Join(followUp, a.record(ch, desired))
}

// desired gives the ruleset for the input.
func (a *application) desired() (*graph.Ruleset, error) {
	if a.in.incremental != nil {
		return a.in.incremental.desired, nil
	}
	return a.cli.compile(a.in.model)
}

// armFor sets the watchdog, if the change is to be confirmed and there is one.
func (a *application) armFor(ctx context.Context, t *target, desired *graph.Ruleset) error {
	if a.confirm == 0 || a.dryRun {
		return nil
	}
	ch, err := t.apply(ctx, t.towards(desired), true)
	if err != nil {
		return err
	}
	if ch.plan.Empty() {
		a.cli.notef("nothing changes in the kernel, so there is nothing to confirm")
		return nil
	}
	before, err := a.returnPoint(ch)
	if err != nil {
		return err
	}
	a.pending, err = a.cli.arm(ctx, a.store, before, a.confirm)
	return err
}

// returnPoint gives the serial number of the state to go back to. Where the kernel has something that nobody recorded, it is
// recorded first.
func (a *application) returnPoint(ch *change) (uint64, error) {
	if a.known != nil {
		return a.known.Serial, nil
	}
	if len(ch.observed.Tables) == 0 {
		return 0, nil
	}
	r := &state.Record{Files: []string{"the kernel"}}
	if err := a.cli.stamp(r, ch); err != nil {
		return 0, err
	}
	found := &graph.Ruleset{}
	for _, t := range ch.observed.Tables {
		table := *t
		table.Sets = nil
		for _, s := range t.Sets {
			set := *s
			if s.Dynamic {
				set.Elements = graph.Elements{} // the packet path learns them again
			}
			table.Sets = append(table.Sets, &set)
		}
		found.Tables = append(found.Tables, &table)
	}
	if err := a.store.Save(r, state.NewContent(state.NameManifests(nil), found)); err != nil {
		return 0, systemError("%w", err)
	}
	return r.Serial, nil
}

// disarm calls the watchdog off: the change was not made.
func (a *application) disarm() error { return a.cli.endWaiting(a.store, a.pending) }

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
	if err := a.cli.checkRecordable(); err != nil {
		return nil, err
	}
	again := a.cli.kept != nil
	lock, waited, err := a.cli.lock(ctx, a.store)
	if err != nil {
		return nil, a.cli.lockError(ctx, t, err)
	}
	if err := lock.Full(); err != nil {
		a.cli.release(lock)
		return nil, a.cli.lockError(ctx, t, fmt.Errorf("nothing was changed, for it could not be recorded: %w", err))
	}
	switch current := a.store.Current(a.known); {
	case !again && (waited || !current):
		a.cli.kept = lock
		return nil, errReadAgain
	case current:
		return lock, nil
	}
	// The lock is ours, and all the same the record is another one: somebody meddles with the state directory.
	if a.in.incremental != nil {
		if err := a.takeWhole(); err != nil {
			a.cli.release(lock)
			return nil, err
		}
	}
	// What Services keep was read from the record, too.
	if a.merged || len(a.in.allocated.Assignments) > 0 {
		a.cli.release(lock)
		return nil, errReadAgain
	}
	a.known = a.cli.loadRecordQuietly(a.store)
	t.expected = nil
	t.expect(a.known, a.cli.recall(a.store, a.known)())
	return lock, nil
}
