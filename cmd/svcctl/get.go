package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svcctl/svcctl/render"
)

const getHelp = `List services, endpoints or endpoint slices, as kubectl get does: those of -f, or, without it, those
that are recorded as applied.

The kinds are services (svc), endpoints (ep) and endpointslices; several are joined by commas, and
KIND/NAME names one object. A name that is not there leads to the exit code 2.

--watch lists, and then what changes in the files of -f, or in what is applied, until it is
interrupted. A change that cannot be understood is reported, and the next one waited for.`

const getExamples = `  svcctl get services
  svcctl get svc,endpointslices -A -o wide
  svcctl get svc web -n demo -o jsonpath='{.spec.clusterIP}' -f services/
  svcctl get svc -l app=web --sort-by=.spec.clusterIP
  svcctl get ep -A --watch --output-watch-events`

type getOptions struct {
	scope
	output         string
	selector       string
	sortBy         string
	noHeaders      bool
	showLabels     bool
	labelColumns   []string
	ignoreNotFound bool
	watch          bool
	events         bool
}

func newGetCommand(c *cli) *cobra.Command {
	o := &getOptions{}
	cmd := &cobra.Command{
		Use:     "get (KIND[,KIND…] [NAME…] | KIND/NAME…)",
		Short:   "List services, endpoints or endpoint slices",
		Long:    getHelp,
		Example: getExamples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return inputError("must say what to list: %s", joinWords(kindNames()))
			}
			return nil
		},
		RunE:              c.run(func(ctx context.Context, args []string) error { return c.get(ctx, o, args) }),
		ValidArgsFunction: c.completeGet(o),
	}
	o.addTo(c, cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "",
		"output format: wide, json, yaml, name, jsonpath=TEMPLATE or custom-columns=HEADER:PATH,…")
	flags.StringVarP(&o.selector, "selector", "l", "",
		"list only what has these labels: key=value, key!=value, key in (a,b), key, !key, joined by commas")
	flags.StringVar(&o.sortBy, "sort-by", "", "sort by what this JSONPath finds in each object, such as .spec.clusterIP")
	flags.BoolVar(&o.noHeaders, "no-headers", false, "leave out the headers of tables")
	flags.BoolVar(&o.showLabels, "show-labels", false, "show all labels as the last column of tables")
	flags.StringSliceVarP(&o.labelColumns, "label-columns", "L", nil, "show these labels as columns of tables")
	flags.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "say nothing of names that are not there, with exit code 0")
	flags.BoolVarP(&o.watch, "watch", "w", false, "after listing, go on with what changes")
	flags.BoolVar(&o.events, "output-watch-events", false, "with --watch, say what happened: ADDED, MODIFIED, DELETED")
	completeFlag(cmd, "output", "wide", "json", "yaml", "name", "jsonpath=", "custom-columns=")
	return cmd
}

func (c *cli) get(ctx context.Context, o *getOptions, args []string) error {
	asked, err := parseRequests(args)
	if err != nil {
		return err
	}
	if err := o.check(asked); err != nil {
		return err
	}
	selector, err := labels.Parse(o.selector)
	if err != nil {
		return inputError("--selector: %w", err)
	}
	printer, err := newPrinter(o)
	if err != nil {
		return err
	}
	find := func(in *input, r *request) (listing, error) {
		l := r.kind.find(&o.scope, in)
		l.pick(r, o.namespace, serviceKeys(in.model))
		l.selectLabels(selector)
		return l, l.sortBy(o.sortBy)
	}
	if o.watch {
		return c.watchListing(ctx, o, printer, func(in *input) (listing, error) { return find(in, asked[0]) })
	}
	in, err := c.look(ctx, &o.scope)
	if err != nil {
		return err
	}
	found := make([]listing, len(asked))
	for i, r := range asked {
		if found[i], err = find(in, r); err != nil {
			return err
		}
	}
	return c.printListings(o, found, printer, len(asked) == 1 && len(asked[0].names) == 1)
}

// check refuses what does not go together.
func (o *getOptions) check(asked []*request) error {
	named := slices.ContainsFunc(asked, func(r *request) bool { return len(r.names) > 0 })
	switch {
	case named && o.allNamespaces:
		return inputError("a name is looked up in one namespace: leave out -A, or the names")
	case named && o.selector != "":
		return inputError("name cannot be provided when a selector is specified: leave one out")
	case o.watch && len(asked) > 1:
		return inputError("you may only specify a single resource type with --watch: leave the others out")
	case o.watch && slices.Contains(o.input.paths, "-"):
		return inputError("--watch reads again, and standard input can be read only once: name files or directories with -f")
	case o.events && !o.watch:
		return inputError("--output-watch-events says how to --watch, and there is none: add --watch, or leave it out")
	default:
		return nil
	}
}

// getFormats are the output formats of get besides its tables, and "wide", which is one of those.
var getFormats = []string{"custom-columns", "json", "jsonpath", "name", "wide", "yaml"}

// newPrinter gives the printer of an output format, nil for tables.
func newPrinter(o *getOptions) (*render.Printer, error) {
	format := o.output
	name, _, _ := strings.Cut(format, "=")
	switch {
	case format == "" || format == "wide":
		return nil, nil
	case !slices.Contains(getFormats, name):
		return nil, inputError("unable to match a printer suitable for the output format %q, allowed formats are: %s",
			format, strings.Join(getFormats, ", "))
	}
	printer, err := render.NewPrinter(format, render.PrinterOptions{NoHeaders: o.noHeaders})
	if err != nil {
		return nil, &exitError{exitInput, err}
	}
	return printer, nil
}

func (c *cli) printListings(o *getOptions, found []listing, printer *render.Printer, single bool) error {
	var (
		objects []render.Object
		missing []string
	)
	for i := range found {
		objects = append(objects, found[i].shown()...)
		missing = append(missing, found[i].missing...)
	}
	if o.ignoreNotFound {
		missing = nil
	}
	var err error
	switch {
	case len(objects) == 0 && (len(missing) > 0 || o.ignoreNotFound): // there is nothing to show
	case printer != nil:
		err = printer.Print(c.shown(o.output), objects, !single)
	case len(objects) == 0:
		c.noteNothing(&o.scope)
	default:
		err = c.printTables(o, found)
	}
	if err != nil {
		return err
	}
	return notFound(missing)
}

// notFound is the error of names that are not there, or nil.
func notFound(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return inputError("%s", strings.Join(missing, "\n"))
}

// shown is standard output for a format. What a template picks is written as it is, for other programs; on a terminal it
// may not control that.
func (c *cli) shown(format string) io.Writer {
	if c.env.terminal && strings.HasPrefix(format, "jsonpath=") {
		return printableWriter{c.out}
	}
	return c.out
}

// printableWriter writes what printable makes of the lines.
type printableWriter struct{ to io.Writer }

// Write writes text. Templates are written in whole values, so that no character is cut in two.
func (w printableWriter) Write(text []byte) (int, error) {
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	if _, err := io.WriteString(w.to, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(text), nil
}

func (o *getOptions) table(c *cli) render.TableOptions {
	return render.TableOptions{
		AllNamespaces: o.allNamespaces, Wide: o.output == "wide", ShowLabels: o.showLabels, LabelColumns: o.labelColumns,
		NoHeaders: o.noHeaders, Now: c.env.now(),
	}
}

func (c *cli) printTables(o *getOptions, found []listing) error {
	opts := o.table(c)
	opts.WithKind = len(found) > 1
	first := true
	for i := range found {
		l := &found[i]
		if len(l.order) == 0 {
			continue
		}
		if !first {
			c.printf("\n")
		}
		first = false
		if err := l.table(c.out, l.order, opts); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) noteNothing(s *scope) {
	if s.allNamespaces {
		c.notef("No resources found")
		return
	}
	c.notef("No resources found in %s namespace.", s.namespace)
}
