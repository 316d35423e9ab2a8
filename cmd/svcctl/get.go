package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/render"
)

const getHelp = `List services, endpoints or endpoint slices, as kubectl get does: those of -f, or, without it, those
that are recorded as applied.

The kinds are services (svc), endpoints (ep) and endpointslices; several are joined by commas. A name
that is not there leads to the exit code 2.`

const getExamples = `  svcctl get services
  svcctl get svc,endpointslices -A -o wide
  svcctl get svc web -n demo -o jsonpath='{.spec.clusterIP}' -f services/`

type getOptions struct {
	scope
	output       string
	noHeaders    bool
	showLabels   bool
	labelColumns []string
}

func newGetCommand(c *cli) *cobra.Command {
	o := &getOptions{}
	cmd := &cobra.Command{
		Use:     "get KIND[,KIND…] [NAME…]",
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
	flags.BoolVar(&o.noHeaders, "no-headers", false, "leave out the headers of tables")
	flags.BoolVar(&o.showLabels, "show-labels", false, "show all labels as the last column of tables")
	flags.StringSliceVarP(&o.labelColumns, "label-columns", "L", nil, "show these labels as columns of tables")
	completeFlag(cmd, "output", "wide", "json", "yaml", "name", "jsonpath=", "custom-columns=")
	return cmd
}

// listing is what get found of one kind.
type listing struct {
	objects []render.Object
	table   func(w *cli, opts render.TableOptions) error
	missing []string // names
}

// kind is one of the kinds that get lists.
type kind struct {
	names []string // the plural first
	find  func(o *getOptions, in *input, names []string) listing
}

// kinds are all of them.
var kinds = []kind{
	{[]string{"services", "service", "svc"}, findServices},
	{[]string{"endpoints", "ep"}, findEndpoints},
	{[]string{"endpointslices", "endpointslice"}, findEndpointSlices},
}

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.names[0])
	}
	return names
}

// parseKinds gives the kinds of a list such as "svc,ep", each once.
func parseKinds(list string) ([]kind, error) {
	var out []kind
	seen := map[string]bool{}
	for word := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(kinds, func(k kind) bool { return slices.Contains(k.names, strings.ToLower(word)) })
		if i < 0 {
			return nil, inputError("there is no kind %q: there are %s", word, joinWords(kindNames()))
		}
		if k := kinds[i]; !seen[k.names[0]] {
			seen[k.names[0]] = true
			out = append(out, k)
		}
	}
	return out, nil
}

func (c *cli) get(ctx context.Context, o *getOptions, args []string) error {
	asked, err := parseKinds(args[0])
	if err != nil {
		return err
	}
	names := args[1:]
	if len(names) > 0 && o.allNamespaces {
		return inputError("a name is looked up in one namespace: leave out -A, or the names")
	}
	printer, err := newPrinter(o.output)
	if err != nil {
		return err
	}
	in, err := c.look(ctx, &o.scope)
	if err != nil {
		return err
	}
	var found []listing
	for _, k := range asked {
		l := k.find(o, in, names)
		l.missing = missingOf(k, l.missing)
		found = append(found, l)
	}
	return c.printListings(o, found, printer, len(names) == 1 && len(asked) == 1)
}

// getFormats are the output formats of get besides its tables, and "wide", which is one of those.
var getFormats = []string{"custom-columns", "json", "jsonpath", "name", "wide", "yaml"}

// newPrinter gives the printer of an output format, nil for tables.
func newPrinter(format string) (*render.Printer, error) {
	name, _, _ := strings.Cut(format, "=")
	switch {
	case format == "" || format == "wide":
		return nil, nil
	case !slices.Contains(getFormats, name):
		return nil, inputError("unable to match a printer suitable for the output format %q, allowed formats are: %s",
			format, strings.Join(getFormats, ", "))
	}
	printer, err := render.NewPrinter(format)
	if err != nil {
		return nil, &exitError{exitInput, err}
	}
	return printer, nil
}

func missingOf(k kind, names []string) []string {
	var out []string
	for _, n := range names {
		resource := k.names[0]
		if resource == "endpointslices" {
			resource += "." + discoveryv1.GroupName
		}
		out = append(out, fmt.Sprintf("%s %q not found", resource, n))
	}
	return out
}

func (c *cli) printListings(o *getOptions, found []listing, printer *render.Printer, single bool) error {
	var (
		objects []render.Object
		missing []string
	)
	for _, l := range found {
		objects = append(objects, l.objects...)
		missing = append(missing, l.missing...)
	}
	var err error
	switch {
	case len(objects) == 0 && len(missing) > 0: // there is nothing to show
	case printer != nil:
		err = printer.Print(c.out, objects, !single)
	case len(objects) == 0:
		c.noteNothing(&o.scope)
	default:
		err = c.printTables(o, found)
	}
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return inputError("%s", strings.Join(missing, "\n"))
	}
	return nil
}

func (c *cli) printTables(o *getOptions, found []listing) error {
	opts := render.TableOptions{
		AllNamespaces: o.allNamespaces, Wide: o.output == "wide", ShowLabels: o.showLabels, LabelColumns: o.labelColumns,
		NoHeaders: o.noHeaders, WithKind: len(found) > 1, Now: c.env.now(),
	}
	first := true
	for _, l := range found {
		if len(l.objects) == 0 {
			continue
		}
		if !first {
			c.printf("\n")
		}
		first = false
		if err := l.table(c, opts); err != nil {
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

// pick gives the items with the names, in the order of the names, and the names that no item has. Without names it gives
// all items.
func pick[T any](items []T, names []string, nameOf func(T) string) (picked []T, missing []string) {
	if len(names) == 0 {
		return items, nil
	}
	byName := make(map[string]T, len(items))
	for _, item := range items {
		byName[nameOf(item)] = item
	}
	for _, n := range names {
		if item, ok := byName[n]; ok {
			picked = append(picked, item)
		} else {
			missing = append(missing, n)
		}
	}
	return picked, missing
}

func nameOfService(s *resolve.Service) string { return s.Ref.Name }

func findServices(o *getOptions, in *input, names []string) listing {
	services, missing := pick(o.services(in), names, nameOfService)
	l := listing{missing: missing, table: func(c *cli, opts render.TableOptions) error {
		return render.ServiceTable(c.out, services, opts)
	}}
	for _, s := range services {
		l.objects = append(l.objects, serviceObject(s))
	}
	return l
}

func findEndpoints(o *getOptions, in *input, names []string) listing {
	var with []*resolve.Service
	for _, s := range o.services(in) {
		if render.Endpoints(s) != nil {
			with = append(with, s)
		}
	}
	services, missing := pick(with, names, nameOfService)
	l := listing{missing: missing, table: func(c *cli, opts render.TableOptions) error {
		return render.EndpointsTable(c.out, services, opts)
	}}
	for _, s := range services {
		l.objects = append(l.objects, endpointsObject(render.Endpoints(s)))
	}
	return l
}

func findEndpointSlices(o *getOptions, in *input, names []string) listing {
	found, missing := pick(o.endpointSlices(in), names, func(e *discoveryv1.EndpointSlice) string { return e.Name })
	l := listing{missing: missing, table: func(c *cli, opts render.TableOptions) error {
		return render.EndpointSliceTable(c.out, found, opts)
	}}
	for _, e := range found {
		l.objects = append(l.objects, endpointSliceObject(e))
	}
	return l
}
