// Package manifest is the first phase: it takes the bytes of files and gives a [Bundle] of typed Kubernetes objects in
// which the place of every field is known.
//
// [Decode] reads multi-document YAML, JSON and Lists, strictly: an unknown field or a key given twice is an error, so that
// a misspelt field never changes what a service does without a word. Scalars mean what they mean to kubectl, which reads
// YAML 1.1. Documents, and the items of large Lists, are decoded in parallel; the result does not depend on it.
//
// The phase checks form, not meaning: fields have the right type and objects a name. Whether a port is in range or an
// address is well-formed is for resolve to say. It may assume nothing about its input: hostile bytes give errors.
//
// No other package knows that there is a YAML library.
package manifest

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/diag"
)

// Source is one input to decode: the bytes of a file or of standard input, and the name messages call it by.
type Source struct {
	Name string
	// Data must not change as long as the bundle is in use: the strings of its objects are pieces of it.
	Data []byte
	// FirstLine is the number, in the file the user knows, of the first line of Data. 0 means 1.
	FirstLine int32
}

// Options change what [Decode] accepts.
type Options struct {
	// Strict makes a document of a kind that is not read an error of code [diag.UnknownKind], instead of a count in
	// [Bundle.Skipped].
	Strict bool
	// Cache, if not nil, has what documents decoded to before, and is told what they decode to now.
	Cache Cache
	// Documents asks for [Bundle.Documents].
	Documents bool
}

// Bundle is everything that was read: the only thing a source of configuration has to produce. Objects are sorted by
// namespace and name, so that two bundles of the same objects are the same, whatever files they came from.
type Bundle struct {
	Services       []*Object[corev1.Service]
	EndpointSlices []*Object[discoveryv1.EndpointSlice]
	Endpoints      []*Object[corev1.Endpoints]
	Pods           []*Object[corev1.Pod]
	Nodes          []*Object[corev1.Node]
	// Skipped counts the documents of other kinds, by "apiVersion/Kind".
	Skipped map[string]int
	// Unallocated are the Services that do not get all the addresses and node ports they lack. There is a finding that
	// says why. Only the phase allocate fills it in.
	Unallocated map[diag.Object]bool
	// Documents are what was read, in the order of the sources, where [Options.Documents] asks for them: nil where what
	// some document holds is not told by its text alone.
	Documents []Document
}

// Object is a decoded API object together with the places of its fields.
type Object[T any] struct {
	Value T
	Ref   diag.Object
	Pos   diag.Pos // where the document, or the item of a List, begins

	positions positions
}

// Decode reads all documents of all sources. It gives every problem of all of them, sorted by place, and the objects that
// have none; [diag.List.HasErrors] says whether the bundle is all there is. The order of the sources does not matter.
//
// An object without metadata.namespace, of a kind that has namespaces, is in "default": in its Ref and in its Value. An
// object given twice is kept once, from the first place. metadata.managedFields is not kept.
func Decode(sources []Source, opts Options) (*Bundle, diag.List) {
	parts, diags := readSources(sources, opts)
	return bundleOf(parts, opts, diags)
}

// bundleOf puts together what all parts held. diags are what was found before.
func bundleOf(parts []part, opts Options, diags diag.List) (*Bundle, diag.List) {
	b := &Bundle{Skipped: map[string]int{}}
	if opts.Documents {
		b.Documents = nameDocuments(parts)
	}
	for i := range parts {
		for _, f := range parts[i].results {
			for _, o := range f.objects {
				b.add(o)
			}
			for _, name := range f.skipped {
				b.Skipped[name]++
			}
			diags = append(diags, f.diags...)
		}
	}
	b.sort(&diags)
	diags.Sort()
	return b, diags
}
