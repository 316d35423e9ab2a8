package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/state"
)

const rollbackHelp = `Go back to an earlier applied state, in one transaction: to the one before the present one, or to the
one that --to names. The last five states are kept; --list shows them. What comes back is exactly what
was committed then, whatever the manifests or the configuration say now.

A change that waits to be confirmed (apply --confirm) is undone.`

const rollbackExamples = `  svcctl rollback
  svcctl rollback --list
  svcctl rollback --to 7`

type rollbackOptions struct {
	to            uint64
	list          bool
	ifUnconfirmed string
	after         time.Duration
}

func newRollbackCommand(c *cli) *cobra.Command {
	o := &rollbackOptions{}
	cmd := &cobra.Command{
		Use:     "rollback",
		Short:   "Go back to an earlier applied state",
		Long:    rollbackHelp,
		Example: rollbackExamples,
		Args:    noArguments,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			switch {
			case o.ifUnconfirmed != "":
				return c.rollBackUnconfirmed(ctx, o)
			case o.list && o.to != 0:
				return inputError("--list and --to exclude each other: leave one out")
			case o.list:
				return c.listStates()
			default:
				return c.rollback(ctx, o)
			}
		}),
	}
	flags := cmd.Flags()
	flags.Uint64Var(&o.to, "to", 0, "number of the state to go back to, as in --list")
	flags.BoolVar(&o.list, "list", false, "show the states that are kept")
	if err := cmd.RegisterFlagCompletionFunc("to", c.completeStates); err != nil {
		panic(err) // there is no such flag: a defect of the tree
	}
	// What a watchdog runs: see watchdog.go.
	flags.StringVar(&o.ifUnconfirmed, "if-unconfirmed", "", "undo this change, if it still waits to be confirmed")
	flags.DurationVar(&o.after, "after", 0, "with --if-unconfirmed: wait so long before")
	for _, name := range []string{"if-unconfirmed", "after"} {
		if err := flags.MarkHidden(name); err != nil {
			panic(err) // there is no such flag: a defect of the tree
		}
	}
	return cmd
}

func (c *cli) rollback(ctx context.Context, o *rollbackOptions) error {
	store := c.store()
	t, lock, err := c.openLocked(ctx, store)
	if err != nil {
		return err
	}
	defer t.close()
	defer c.release(lock)
	pending, err := store.LoadPending()
	if err != nil {
		c.notef("warning: %v; going on without it", err)
	}
	// While the lock was waited for, the change may have been confirmed, or undone, and another one may wait.
	if o.ifUnconfirmed != "" && (pending == nil || pending.Token != o.ifUnconfirmed) {
		return nil
	}
	records, err := store.History()
	if err != nil {
		return systemError("%w", err)
	}
	earlier := records
	if _, err := store.Load(); err == nil { // else what is applied is in no record, and all of them are earlier
		earlier = records[1:]
	}
	to := o.to
	switch {
	case to != 0:
	case pending != nil:
		to = pending.Before
	case len(earlier) == 0:
		return inputError("there is no earlier state to go back to: \"svcctl delete --all\" removes what is applied")
	default:
		to = earlier[0].Serial
	}
	return c.restore(ctx, t, store, records, to, pending)
}

// openLocked connects to the kernel and takes the lock.
func (c *cli) openLocked(ctx context.Context, store *state.Store) (*target, *state.Lock, error) {
	t, err := c.openTarget(false)
	if err != nil {
		return nil, nil, err
	}
	lock, _, err := c.lock(ctx, store)
	if err != nil {
		err = c.lockError(ctx, t, err)
		t.close()
		return nil, nil, err
	}
	return t, lock, nil
}

// restore makes an earlier state the present one, and ends the waiting of a change. State 0 is that before the first.
func (c *cli) restore(
	ctx context.Context, t *target, store *state.Store, records []*state.Record, to uint64, pending *state.Pending,
) error {
	var present *state.Record
	if r, err := c.readRecord(store); err == nil {
		present = r
	}
	t.expect(present, c.recall(store, present)())
	if to == 0 {
		return c.restoreNothing(ctx, t, store, present, pending)
	}
	i := slices.IndexFunc(records, func(r *state.Record) bool { return r.Serial == to })
	if i < 0 {
		return inputError("there is no state %d any more: \"svcctl rollback --list\" shows those that are kept", to)
	}
	if err := c.checkRecordable(); err != nil {
		return err
	}
	record := *records[i]
	rs, err := store.Applied(&record)
	if err != nil {
		return systemError("state %d: %w: \"svcctl rollback --list\" shows the others", to, err)
	}
	t.expect(nil, rs)
	ch, err := t.converge(ctx, rs, false, nil)
	if ch == nil {
		return err
	}
	results := recordResults(present, &record)
	record.RolledBackTo = to
	saveErr := c.stamp(&record, ch)
	if saveErr == nil {
		saveErr = store.SaveAgain(&record)
	}
	if saveErr != nil {
		c.notef("back to state %d, which was applied %s", to, records[i].Time.Format(time.RFC3339))
		saveErr = notRecorded(store, saveErr)
	} else {
		c.notef("back to state %d, which was applied %s and is state %d now",
			to, records[i].Time.Format(time.RFC3339), record.Serial)
	}
	err = errors.Join(err, saveErr, c.endWaiting(store, pending))
	return errors.Join(err, c.printOutcome(&outcome{change: ch, results: results}, "text"))
}

// restoreNothing removes what was applied first of all.
func (c *cli) restoreNothing(
	ctx context.Context, t *target, store *state.Store, present *state.Record, pending *state.Pending,
) error {
	ch, err := t.apply(ctx, plan.DeleteAll, false)
	if err != nil {
		return err
	}
	err = t.cutFlows(ctx, ch, &graph.Ruleset{}, nil)
	c.notef("nothing is applied, as before the first apply")
	return errors.Join(err, store.Remove(), c.endWaiting(store, pending),
		c.printOutcome(&outcome{change: ch, results: recordResults(present, &state.Record{})}, "text"))
}

// recordResults says what becomes of every Service when one recorded state takes the place of another.
func recordResults(from, to *state.Record) []result {
	if from == nil {
		from = &state.Record{}
	}
	var out []result
	add := func(key string, a action) {
		namespace, name, _ := strings.Cut(key, "/")
		out = append(out, result{namespace, name, a})
	}
	for key, digest := range to.Services {
		switch was, ok := from.Services[key]; {
		case !ok:
			add(key, created)
		case was != digest:
			add(key, configured)
		default:
			add(key, unchanged)
		}
	}
	for key := range from.Services {
		if _, ok := to.Services[key]; !ok {
			add(key, pruned)
		}
	}
	sortResults(out)
	return out
}

func (c *cli) listStates() error {
	records, err := c.store().History()
	if err != nil {
		return systemError("%w", err)
	}
	if len(records) == 0 {
		c.printf("No resources found\n")
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "STATE\tAPPLIED\tBY\tSERVICES\tFROM\n")
	for _, r := range records {
		from := strings.Join(r.Files, ",")
		if r.RolledBackTo != 0 {
			from = fmt.Sprintf("state %d", r.RolledBackTo)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\n",
			r.Serial, r.Time.Format(time.RFC3339), printable(appliedBy(r)), len(r.Services), printable(from))
	}
	return w.Flush()
}
