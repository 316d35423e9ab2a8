package manifest

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/diag"
)

// Document names a document, or an item of a List, without its text: by the digest of that, and by what it held. Documents
// with the same key hold the same.
type Document struct {
	Key    Key
	Object diag.Object // the zero Object: it holds none
	// Service is the name of the Service whose endpoints the object gives: of an EndpointSlice what its label says, of an
	// Endpoints its own.
	Service string
}

// Documents are sources cut into documents, of which none is decoded yet.
type Documents struct {
	units []*unit
	keys  []Key
}

// Cut cuts sources into documents and names them: the first half of [Decode], which costs a tenth of it. The order is that
// of the sources. The error is of a source that is no text at all, and Decode says more about it.
func Cut(sources []Source) (*Documents, error) {
	parts, found := cutSources(sources)
	if len(found) > 0 {
		return nil, errors.New(found[0].Message)
	}
	keys := make([][]Key, len(parts))
	inParallel(len(parts), partBatch(parts), func() func(int) {
		r := newReader(Options{})
		return func(i int) {
			p := &parts[i]
			p.cut()
			keys[i] = make([]Key, len(p.units))
			for k := range p.units {
				keys[i][k] = r.key(&p.units[k])
			}
		}
	})
	n := 0
	for i := range parts {
		n += len(keys[i])
	}
	if n > maxDocuments {
		return nil, errors.New("too many documents")
	}
	d := &Documents{make([]*unit, 0, n), make([]Key, 0, n)}
	for i := range parts {
		for k := range parts[i].units {
			d.units = append(d.units, &parts[i].units[k])
		}
		d.keys = append(d.keys, keys[i]...)
	}
	return d, nil
}

// Keys gives the keys of all documents, by their numbers.
func (d *Documents) Keys() []Key { return d.keys }

// Decode decodes some of the documents as [Decode] decodes all. The bundle names them, in the order of the given numbers.
func (d *Documents) Decode(numbers []int) (*Bundle, diag.List) {
	opts := Options{Documents: true}
	r := newReader(opts)
	p := part{units: make([]unit, len(numbers)), results: make([]found, len(numbers))}
	for i, n := range numbers {
		p.units[i] = *d.units[n]
	}
	p.read(r, 0, len(numbers), func(int) bool { return false })
	return bundleOf([]part{p}, opts, nil)
}

// nameDocuments gives the documents of all parts. It gives none where what a document holds does not depend on its text
// alone, or where one holds several objects: of a List that is not cut.
func nameDocuments(parts []part) []Document {
	n := 0
	for i := range parts {
		if parts[i].mended {
			return nil
		}
		n += len(parts[i].results)
	}
	out := make([]Document, 0, n)
	for i := range parts {
		for k := range parts[i].results {
			f := &parts[i].results[k]
			d := Document{Key: f.key}
			switch len(f.objects) {
			case 0:
			case 1:
				d.Object, d.Service = nameObject(f.objects[0])
			default:
				return nil
			}
			out = append(out, d)
		}
	}
	return out
}

func nameObject(object any) (ref diag.Object, service string) {
	switch o := object.(type) {
	case *Object[corev1.Service]:
		return o.Ref, ""
	case *Object[discoveryv1.EndpointSlice]:
		return o.Ref, o.Value.Labels[discoveryv1.LabelServiceName]
	case *Object[corev1.Endpoints]:
		return o.Ref, o.Ref.Name
	case *Object[corev1.Pod]:
		return o.Ref, ""
	case *Object[corev1.Node]:
		return o.Ref, ""
	default:
		panic("manifest: an object of no kind that is read")
	}
}
