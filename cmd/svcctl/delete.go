package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/source"
	"github.com/svcctl/svcctl/internal/state"
)

const deleteHelp = `Remove services from what is applied.

--all removes the tables of svcctl, in one transaction, and the record of what was applied; nothing
else on the host is touched. -f removes the Services that the manifests name, with their endpoints;
that needs the record.`

const deleteExamples = `  svcctl delete --all
  svcctl delete -f old.yaml`

type deleteOptions struct {
	input          inputFlags
	all            bool
	force          bool
	ignoreNotFound bool
}

func newDeleteCommand(c *cli) *cobra.Command {
	o := &deleteOptions{input: inputFlags{quiet: true}}
	cmd := &cobra.Command{
		Use:     "delete (--all | -f PATH…)",
		Short:   "Remove services from what is applied",
		Long:    deleteHelp,
		Example: deleteExamples,
		Args:    noArguments,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			switch {
			case o.all && len(o.input.paths) > 0:
				return inputError("--all and -f exclude each other: leave one out")
			case o.all:
				return c.deleteAll(ctx, o.force)
			case len(o.input.paths) == 0:
				return inputError("must specify what to delete: -f or --all")
			default:
				return c.deleteServices(ctx, o)
			}
		}),
	}
	o.input.addTo(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.all, "all", false, "remove everything that svcctl ever applied to the tables")
	flags.BoolVar(&o.force, "force", false, "with --all: remove tables of the same name that svcctl did not write, too")
	flags.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "with -f: no error for a service that is not applied")
	return cmd
}

func (c *cli) deleteAll(ctx context.Context, force bool) error {
	t, err := c.openTarget(force)
	if err != nil {
		return err
	}
	defer t.close()
	store := c.store()
	lock, _, err := c.lock(ctx, store)
	if err != nil {
		return c.lockError(ctx, t, err)
	}
	known := c.loadRecordQuietly(store)
	t.expect(known, c.recall(store, known)())
	ch, err := t.apply(ctx, plan.DeleteAll, false)
	if err != nil {
		return errors.Join(err, c.abandon(lock, known))
	}
	c.printDeleted(known, ch)
	err = t.cutFlows(ctx, ch, &graph.Ruleset{}, nil)
	c.noteFlows(ch.flowsCut)
	if err := lock.ReleaseAndRemove(); err != nil {
		return systemError("the tables are gone, but not the record of them: %w: run the command again", err)
	}
	return err
}

// abandon gives the lock back after a failure. Where nothing was ever recorded, what the lock needed goes, too.
func (c *cli) abandon(lock *state.Lock, known *state.Record) error {
	if known == nil {
		return lock.ReleaseAndRemove()
	}
	return lock.Release()
}

func (c *cli) printDeleted(known *state.Record, ch *change) {
	if ch.plan.Empty() && known == nil {
		c.printf("No resources found\n")
		return
	}
	if known != nil && len(known.Services) > 0 {
		keys := make([]string, 0, len(known.Services))
		for key := range known.Services {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			_, name, _ := strings.Cut(key, "/")
			c.printf("service %q deleted\n", name)
		}
		return
	}
	for _, t := range ch.observed.Tables {
		c.printf("table \"%s %s\" deleted\n", t.Family, t.Name)
	}
}

func (c *cli) deleteServices(ctx context.Context, o *deleteOptions) error {
	named, err := c.namedServices(ctx, &o.input)
	if err != nil {
		return err
	}
	return c.readingAgain(func() error { return c.deleteNamed(ctx, o, named) })
}

// deleteNamed deletes the Services of these names.
func (c *cli) deleteNamed(ctx context.Context, o *deleteOptions, named []diag.Object) error {
	store := c.store()
	known, err := c.readRecord(store)
	if err != nil {
		return systemError("delete -f needs the record of what was applied: %w: \"svcctl apply\" makes a new one", err)
	}
	gone, err := applied(known, named, o.ignoreNotFound)
	if err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	manifests, err := store.Manifests(known)
	if err != nil {
		return systemError("delete -f needs what was applied: %w: \"svcctl apply\" records it again", err)
	}
	f := &inputFlags{quiet: true, noCache: o.input.noCache, held: heldBy(known)}
	in, err := c.understand(manifests, f, func(b *manifest.Bundle) (*manifest.Bundle, error) {
		return b.Without(gone), nil
	})
	if err != nil {
		return err
	}
	a := &application{
		cli: c, store: store, known: known, applied: c.recall(store, known), in: in, files: known.Files, merged: true,
	}
	out, err := a.carryOut(ctx)
	if out != nil {
		for _, s := range gone {
			c.printf("service %q deleted\n", s.Name)
		}
		c.noteFlows(out.flowsCut)
	}
	return err
}

// namedServices gives the Services that manifests name. They need not be valid: what is to go may be broken.
func (c *cli) namedServices(ctx context.Context, f *inputFlags) ([]diag.Object, error) {
	sources, err := source.Read(ctx, f.paths, source.Options{Stdin: c.env.stdin, Recursive: f.recursive})
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &exitError{exitInput, err}
	}
	b, found := manifest.Decode(sources, manifest.Options{})
	if err := c.judge(found, f); err != nil {
		return nil, err
	}
	if len(b.Services) == 0 {
		return nil, inputError("no services in the input: -f takes the manifests of those to remove, --all removes everything")
	}
	var refs []diag.Object
	for _, s := range b.Services {
		refs = append(refs, s.Ref)
	}
	return refs, nil
}

// applied gives those of the Services that are applied. That one is not is an error, unless it is to be ignored.
func applied(known *state.Record, named []diag.Object, ignoreNotFound bool) ([]diag.Object, error) {
	var (
		found   []diag.Object
		missing []string
	)
	for _, s := range named {
		if _, ok := known.Services[serviceKey(s)]; ok {
			found = append(found, s)
		} else {
			missing = append(missing,
				fmt.Sprintf("services %q not found in namespace %q: it is not applied%s", s.Name, s.Namespace,
					otherPlace(s.Namespace, s.Name, keysOf(known.Services))))
		}
	}
	if len(missing) > 0 && !ignoreNotFound {
		return nil, inputError("%s", strings.Join(missing, "\n"))
	}
	return found, nil
}
