package increment

import (
	"slices"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// selection is which documents of an input are new, and which of the others they concern.
type selection struct {
	cut   *manifest.Documents
	now   []manifest.Document // those that are new are not named yet
	added []int               // the numbers of those
	gone  []manifest.Document
}

// compare finds out how the documents of an input differ from those of an earlier one, in whatever order both have them.
func compare(was []manifest.Document, cut *manifest.Documents) *selection {
	keys := cut.Keys()
	s := &selection{cut: cut, now: make([]manifest.Document, len(keys))}
	// Mostly all but a few are where they were.
	begin, shorter := 0, min(len(was), len(keys))
	for ; begin < shorter && was[begin].Key == keys[begin]; begin++ {
		s.now[begin] = was[begin]
	}
	end := 0 // counted from the end
	for ; end < shorter-begin && was[len(was)-1-end].Key == keys[len(keys)-1-end]; end++ {
		s.now[len(keys)-1-end] = was[len(was)-1-end]
	}
	was = was[begin : len(was)-end]
	there := make(map[manifest.Key][]int, len(was))
	for i := range was {
		there[was[i].Key] = append(there[was[i].Key], i)
	}
	stays := make([]bool, len(was))
	for i := begin; i < len(keys)-end; i++ {
		same := there[keys[i]]
		if len(same) == 0 {
			s.added = append(s.added, i)
			continue
		}
		s.now[i], stays[same[0]] = was[same[0]], true
		there[keys[i]] = same[1:]
	}
	for i := range was {
		if !stays[i] {
			s.gone = append(s.gone, was[i])
		}
	}
	return s
}

// The kinds that matter here, as package manifest names them.
const (
	serviceKind = "service"
	sliceKind   = "endpointslice"
	legacyKind  = "endpoints"
	podKind     = "pod"
	nodeKind    = "node"
)

// most is how many documents may differ, as a part of all: beyond that the whole way is hardly longer.
const most = 8

// concerned decodes the new documents, and with them those that say what the Services mean whose endpoints they change:
// these Services, all else that gives them endpoints, the Pods of their namespaces, for a Pod may weigh the endpoint that a
// slice refers to, and the Nodes, which say in which zone this one is.
func (s *selection) concerned() (*manifest.Bundle, error) {
	if (len(s.added)+len(s.gone))*most > len(s.now)+most*most {
		return nil, compiler.NotLocal("%d documents of %d are others", len(s.added)+len(s.gone), len(s.now))
	}
	if err := s.nameAdded(); err != nil {
		return nil, err
	}
	services, err := s.services()
	if err != nil {
		return nil, err
	}
	namespaces := map[string]bool{}
	for service := range services {
		namespaces[service.Namespace] = true
	}
	var numbers []int
	for i := range s.now {
		d := &s.now[i]
		if d.Object.Kind == serviceKind && services[d.Object] || d.Service != "" && services[serviceOf(d)] ||
			d.Object.Kind == podKind && namespaces[d.Object.Namespace] || d.Object.Kind == nodeKind {
			numbers = append(numbers, i)
		}
	}
	bundle, found := s.cut.Decode(numbers)
	if len(found) > 0 {
		return nil, somethingToSay(found)
	}
	for k, i := range numbers {
		if len(bundle.Documents) != len(numbers) || bundle.Documents[k] != s.now[i] {
			return nil, compiler.NotLocal("%s is not what is remembered of it", s.now[i].Object)
		}
	}
	return bundle, nil
}

// nameAdded names the new documents.
func (s *selection) nameAdded() error {
	bundle, found := s.cut.Decode(s.added)
	switch {
	case len(found) > 0:
		return somethingToSay(found)
	case len(bundle.Skipped) > 0:
		return compiler.NotLocal("there are documents of kinds that are not read")
	case len(bundle.Documents) != len(s.added):
		return compiler.NotLocal("a document holds several objects")
	}
	isNew := make(map[diag.Object]bool, len(s.added))
	for k, i := range s.added {
		s.now[i] = bundle.Documents[k]
		isNew[s.now[i].Object] = s.now[i].Object != diag.Object{}
	}
	next := 0
	for i := range s.now {
		if next < len(s.added) && s.added[next] == i {
			next++
		} else if isNew[s.now[i].Object] {
			return compiler.NotLocal("%s is given twice", s.now[i].Object)
		}
	}
	return nil
}

// services gives the Services whose endpoints the changes are about.
func (s *selection) services() (map[diag.Object]bool, error) {
	changed := slices.Clone(s.gone)
	for _, i := range s.added {
		changed = append(changed, s.now[i])
	}
	services := map[diag.Object]bool{}
	for i := range changed {
		switch d := &changed[i]; {
		case d.Object == diag.Object{}: // comments, or what is around the items of a List
		case d.Service != "" && (d.Object.Kind == sliceKind || d.Object.Kind == legacyKind):
			services[serviceOf(d)] = true
		default:
			return nil, compiler.NotLocal("%s is another one", d.Object)
		}
	}
	return services, nil
}

// serviceOf names the Service whose endpoints a document gives.
func serviceOf(d *manifest.Document) diag.Object {
	return diag.Object{Kind: serviceKind, Namespace: d.Object.Namespace, Name: d.Service}
}
