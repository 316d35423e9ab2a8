package manifest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/diag"
)

// add puts an object into its list.
func (b *Bundle) add(object any) {
	switch o := object.(type) {
	case *Object[corev1.Service]:
		b.Services = append(b.Services, o)
	case *Object[discoveryv1.EndpointSlice]:
		b.EndpointSlices = append(b.EndpointSlices, o)
	case *Object[corev1.Endpoints]:
		b.Endpoints = append(b.Endpoints, o)
	case *Object[corev1.Pod]:
		b.Pods = append(b.Pods, o)
	case *Object[corev1.Node]:
		b.Nodes = append(b.Nodes, o)
	default:
		panic(fmt.Sprintf("manifest: unhandled object %T", object))
	}
}

// sort orders every list by namespace and name. It drops the objects that repeat another, and reports them.
func (b *Bundle) sort(diags *diag.List) {
	var (
		wg      sync.WaitGroup
		repeats [5]diag.List
	)
	wg.Go(func() { b.Services = sorted(b.Services, &repeats[0]) })
	wg.Go(func() { b.EndpointSlices = sorted(b.EndpointSlices, &repeats[1]) })
	wg.Go(func() { b.Endpoints = sorted(b.Endpoints, &repeats[2]) })
	wg.Go(func() { b.Pods = sorted(b.Pods, &repeats[3]) })
	wg.Go(func() { b.Nodes = sorted(b.Nodes, &repeats[4]) })
	wg.Wait()
	for _, r := range repeats {
		*diags = append(*diags, r...)
	}
}

func (o *Object[T]) compare(p *Object[T]) int {
	return cmp.Or(strings.Compare(o.Ref.Namespace, p.Ref.Namespace), strings.Compare(o.Ref.Name, p.Ref.Name))
}

func sorted[T any](objects []*Object[T], diags *diag.List) []*Object[T] {
	// Sorting visits each object a dozen times: what it compares is kept together, and namespaces are compared once each.
	type entry struct {
		name   string
		given  int
		object *Object[T]
	}
	namespaces := map[string]int{} // how many objects; then where the next one goes
	for _, o := range objects {
		namespaces[o.Ref.Namespace]++
	}
	names := slices.Sorted(maps.Keys(namespaces))
	first := 0
	for _, namespace := range names {
		first, namespaces[namespace] = first+namespaces[namespace], first
	}
	entries := make([]entry, len(objects))
	for i, o := range objects {
		at := namespaces[o.Ref.Namespace]
		entries[at] = entry{o.Ref.Name, i, o}
		namespaces[o.Ref.Namespace] = at + 1
	}
	first = 0
	for _, namespace := range names {
		end := namespaces[namespace]
		slices.SortFunc(entries[first:end], func(d, e entry) int {
			if c := strings.Compare(d.name, e.name); c != 0 {
				return c
			}
			return cmp.Or(d.object.Pos.Compare(e.object.Pos), cmp.Compare(d.given, e.given))
		})
		first = end
	}
	kept := objects[:0]
	for i := range entries {
		o := entries[i].object
		if len(kept) == 0 || kept[len(kept)-1].Ref != o.Ref {
			kept = append(kept, o)
			continue
		}
		if len(*diags) == maxErrors {
			continue
		}
		first := kept[len(kept)-1]
		diags.Errorf(diag.Duplicate, o.Pos, o.Ref, "metadata.name", "Duplicate value: %q: first given at %s",
			o.Ref.Name, first.Pos)
	}
	clear(objects[len(kept):])
	return kept
}

// Sources gives the objects as inputs to [Decode], one each: Decode(b.Sources()) gives an equal bundle, in which
// everything is in the same place. It is how what was applied is recorded.
//
// An object that was given as a document, or as an item of a List, comes as the text of that; one for which there is no
// such text (the item of a List in a List, or of one with aliases between its items) comes as JSON, all of it at the
// place of the object. What was skipped is not there.
func (b *Bundle) Sources() []Source {
	var sources []Source
	sources = appendSources(sources, b.Services)
	sources = appendSources(sources, b.EndpointSlices)
	sources = appendSources(sources, b.Endpoints)
	sources = appendSources(sources, b.Pods)
	return appendSources(sources, b.Nodes)
}

func appendSources[T any](sources []Source, objects []*Object[T]) []Source {
	for _, o := range objects {
		sources = append(sources, o.source())
	}
	return sources
}

// source gives the text of the object.
func (o *Object[T]) source() Source {
	p := &o.positions
	if p.text.text == "" || len(p.item) > 0 || p.untyped {
		data, err := json.Marshal(&o.Value)
		if err != nil {
			panic(fmt.Sprintf("manifest: %s cannot be written as JSON: %v", o.Ref, err)) // it was read from as much
		}
		return Source{o.Pos.File, indented(string(data), o.Pos.Column), o.Pos.Line}
	}
	return Source{o.Pos.File, indented(p.text.text, p.text.column), p.text.line}
}

// indented gives a text that begins in a column.
func indented(text string, column int32) []byte {
	return []byte(strings.Repeat(" ", int(max(column-1, 0))) + text)
}
