package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svcctl/svcctl/render"
)

// kind is one of the kinds that get lists.
type kind struct {
	names    []string // the plural first; the last is what -o name writes
	resource string   // as messages name it
	find     func(s *scope, in *input) listing
}

// kinds are all of them.
var kinds = []*kind{
	{[]string{"services", "svc", "service"}, "services", findServices},
	{[]string{"endpoints", "ep"}, "endpoints", findEndpoints},
	{
		[]string{
			"endpointslices", "endpointslice", "endpointslices." + discoveryv1.GroupName,
			"endpointslice." + discoveryv1.GroupName,
		},
		"endpointslices." + discoveryv1.GroupName, findEndpointSlices,
	},
}

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.names[0])
	}
	return names
}

func parseKind(word string) (*kind, error) {
	i := slices.IndexFunc(kinds, func(k *kind) bool { return slices.Contains(k.names, strings.ToLower(word)) })
	if i < 0 {
		return nil, inputError("there is no kind %q: there are %s%s", word, joinWords(kindNames()), didYouMean(word, kindNames()))
	}
	return kinds[i], nil
}

// parseKinds gives the kinds of a list such as "svc,ep", each once.
func parseKinds(list string) ([]*kind, error) {
	var out []*kind
	for word := range strings.SplitSeq(list, ",") {
		k, err := parseKind(word)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

// request is what was asked of one kind: all, or the names.
type request struct {
	kind  *kind
	names []string
}

// parseRequests understands arguments as kubectl does: kinds and then names, which are looked up in every kind, or
// KIND/NAME each.
func parseRequests(args []string) ([]*request, error) {
	hasSlash := func(arg string) bool { return strings.Contains(arg, "/") }
	var out []*request
	if !slices.ContainsFunc(args, hasSlash) {
		asked, err := parseKinds(args[0])
		if err != nil {
			return nil, err
		}
		for _, k := range asked {
			out = append(out, &request{k, args[1:]})
		}
		return out, nil
	}
	for _, arg := range args {
		word, name, found := strings.Cut(arg, "/")
		switch {
		case !found:
			return nil, inputError("%q is not of the form KIND/NAME, as others of the arguments are", arg)
		case word == "" || name == "" || strings.ContainsAny(name, "/,") || strings.Contains(word, ","):
			return nil, inputError("arguments in resource/name form must have a single resource and name: %q", arg)
		}
		k, err := parseKind(word)
		if err != nil {
			return nil, err
		}
		if n := len(out); n > 0 && out[n-1].kind == k {
			out[n-1].names = append(out[n-1].names, name)
		} else {
			out = append(out, &request{k, []string{name}})
		}
	}
	return out, nil
}

// listing is what there is of one kind, and what of it is shown.
type listing struct {
	objects []render.Object
	order   []int    // indexes of the objects that are shown, in their order
	missing []string // what to say of names that are not there
	// table writes the objects with the indexes as a table.
	table func(w io.Writer, which []int, opts render.TableOptions) error
}

func newListing[T any](
	items []T, object func(T) render.Object, table func(io.Writer, []T, render.TableOptions) error,
) listing {
	l := listing{objects: make([]render.Object, len(items)), order: make([]int, len(items))}
	for i, item := range items {
		l.objects[i], l.order[i] = object(item), i
	}
	l.table = func(w io.Writer, which []int, opts render.TableOptions) error {
		picked := make([]T, len(which))
		for i, at := range which {
			picked[i] = items[at]
		}
		return table(w, picked, opts)
	}
	return l
}

// shown gives the objects that are shown.
func (l *listing) shown() []render.Object {
	out := make([]render.Object, len(l.order))
	for i, at := range l.order {
		out[i] = l.objects[at]
	}
	return out
}

// pick leaves the objects that were named, in the order of the names; without names, all. services are the keys of those
// there are in any namespace.
func (l *listing) pick(r *request, namespace string, services []string) {
	if len(r.names) == 0 {
		return
	}
	at := make(map[string]int, len(l.order))
	for _, i := range l.order {
		at[l.objects[i].GetName()] = i
	}
	l.order = nil
	for _, name := range r.names {
		if i, ok := at[name]; ok {
			l.order = append(l.order, i)
		} else {
			hint := otherPlace(namespace, name, services)
			if r.kind.names[0] == "endpointslices" {
				hint = cmp.Or(didYouMean(name, slices.Collect(maps.Keys(at))), "; \"svcctl get endpointslices -A\" lists all there are")
			}
			l.missing = append(l.missing, fmt.Sprintf("%s %q not found%s", r.kind.resource, name, hint))
		}
	}
}

// selectLabels leaves the objects whose labels match.
func (l *listing) selectLabels(selector labels.Selector) {
	l.order = slices.DeleteFunc(l.order, func(at int) bool {
		return !selector.Matches(labels.Set(l.objects[at].GetLabels()))
	})
}

// sortBy sorts the objects, if there is a path to sort by.
func (l *listing) sortBy(path string) error {
	if path == "" {
		return nil
	}
	order, err := render.Order(l.shown(), path)
	if err != nil {
		return inputError("--sort-by: %w", err)
	}
	for i, at := range order {
		order[i] = l.order[at]
	}
	l.order = order
	return nil
}

func findServices(s *scope, in *input) listing {
	return newListing(s.services(in), serviceObject, render.ServiceTable)
}

func findEndpoints(s *scope, in *input) listing {
	return newListing(s.endpoints(in), endpointsObject, render.EndpointsTable)
}

func findEndpointSlices(s *scope, in *input) listing {
	return newListing(s.endpointSlices(in), endpointSliceObject, render.EndpointSliceTable)
}
