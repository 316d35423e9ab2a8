package main

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/svcctl/svcctl/internal/watch"
	"github.com/svcctl/svcctl/render"
)

// What happened to an object, in the words of the API.
const (
	added    = "ADDED"
	modified = "MODIFIED"
	deleted  = "DELETED"
)

// watchListing shows a listing, and then the objects of it that change, until the context ends.
func (c *cli) watchListing(
	ctx context.Context, o *getOptions, printer *render.Printer, find func(*input) (listing, error),
) error {
	w := &watched{cli: c, options: o, printer: printer, table: o.table(c)}
	w.table.Widths = &render.Widths{}
	paths := o.input.paths
	if len(paths) == 0 {
		paths = []string{c.store().Dir()}
	}
	// From before the first reading on, so that no change is missed.
	watcher, err := watch.New(paths, o.input.recursive, c.log)
	if err != nil {
		return systemError("%w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			c.log.Debug("the end of watching files", "error", err)
		}
	}()
	for first := true; ; first = false {
		if err := c.watchOnce(ctx, o, w, find, first); err != nil || ctx.Err() != nil {
			return err
		}
		c.idle()
		select {
		case <-watcher.Changes():
		case <-ctx.Done():
			return nil
		}
	}
}

// watchOnce shows what there is to show now. What cannot be understood the first time is an error, as it is without
// watching, and later reported.
func (c *cli) watchOnce(
	ctx context.Context, o *getOptions, w *watched, find func(*input) (listing, error), first bool,
) error {
	var l listing
	in, err := c.look(ctx, &o.scope)
	if err == nil {
		l, err = find(in)
	}
	switch {
	case ctx.Err() != nil:
		return nil // interrupted, which is how watching ends
	case err != nil && first:
		return err
	case err != nil:
		report(c.env, classify(ctx, err))
		return nil
	case first && !o.ignoreNotFound && len(l.missing) > 0:
		return notFound(l.missing)
	}
	if err := w.show(l); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return systemError("writing to standard output: %w", err)
	}
	if first && o.sortBy != "" {
		c.notef("warning: --watch requested, --sort-by will be ignored for watch events received")
		o.sortBy = ""
	}
	return nil
}

// watched is what was shown so far.
type watched struct {
	cli     *cli
	options *getOptions
	printer *render.Printer
	table   render.TableOptions

	last listing
}

type objectKey struct{ namespace, name string }

// positions gives the index of each object of a listing that is shown.
func positions(l *listing) map[objectKey]int {
	at := make(map[objectKey]int, len(l.order))
	for _, i := range l.order {
		at[objectKey{l.objects[i].GetNamespace(), l.objects[i].GetName()}] = i
	}
	return at
}

// show shows what of a listing differs from the last one: what is new or otherwise in its order, then what is gone.
func (w *watched) show(l listing) error {
	before, after := positions(&w.last), positions(&l)
	var fresh []int
	for _, i := range l.order {
		at, known := before[objectKey{l.objects[i].GetNamespace(), l.objects[i].GetName()}]
		switch {
		case !known:
			fresh = append(fresh, i)
			continue
		case equality.Semantic.DeepEqual(w.last.objects[at], l.objects[i]):
			continue
		}
		// Rows of one kind are written together, so that a first listing is one table.
		if err := w.write(&l, fresh, added); err != nil {
			return err
		}
		fresh = nil
		if err := w.write(&l, []int{i}, modified); err != nil {
			return err
		}
	}
	if err := w.write(&l, fresh, added); err != nil {
		return err
	}
	for _, i := range w.last.order {
		o := w.last.objects[i]
		if _, there := after[objectKey{o.GetNamespace(), o.GetName()}]; !there {
			if err := w.write(&w.last, []int{i}, deleted); err != nil {
				return err
			}
		}
	}
	w.last = l
	return nil
}

func (w *watched) write(l *listing, which []int, event string) error {
	if len(which) == 0 {
		return nil
	}
	if !w.options.events {
		event = ""
	}
	if w.printer != nil {
		for _, i := range which {
			if err := w.printer.PrintNext(w.cli.shown(w.options.output), event, l.objects[i]); err != nil {
				return err
			}
		}
		return nil
	}
	w.table.Now, w.table.Event = w.cli.env.now(), event
	if err := l.table(w.cli.out, which, w.table); err != nil {
		return err
	}
	w.table.NoHeaders = true
	return nil
}
