package main

import (
	"context"
	"slices"

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
	// Where Services get addresses that they do not say, what they had counts, with -f, too.
	watcher, err := watch.New(append(slices.Clone(o.input.paths), c.store().Dir()), o.input.recursive, c.log)
	if err != nil {
		return systemError("%w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(ctx) }()
	for first := true; ; first = false {
		var l listing
		in, err := c.look(ctx, &o.scope)
		if err == nil {
			l, err = find(in)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && first && len(l.missing) > 0 && !o.ignoreNotFound:
			return notFound(l.missing)
		case err == nil:
			if err := w.show(l); err != nil {
				return err
			}
			if err := c.out.Flush(); err != nil {
				return systemError("writing to standard output: %w", err)
			}
		case first:
			return err
		default:
			report(c.env, classify(ctx, err))
		}
		if first && o.sortBy != "" {
			c.notef("warning: --watch requested, --sort-by will be ignored for watch events received")
			o.sortBy = ""
		}
		select {
		case <-watcher.Changes():
		case <-ctx.Done():
			return <-ended
		}
	}
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
