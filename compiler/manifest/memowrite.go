package manifest

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// memoWriter writes memos, one after another.
type memoWriter struct {
	b      []byte
	failed bool // there was a value that cannot be written
}

// encode gives the memo of what a unit without findings held, nil where it has something that would not come back as it
// is.
func (w *memoWriter) encode(u *unit, f *found) []byte {
	w.b, w.failed = w.b[:0], false
	w.uint(uint64(len(f.objects)))
	for _, object := range f.objects {
		w.object(u, object)
	}
	if w.failed {
		return nil
	}
	return slices.Clone(w.b)
}

func (w *memoWriter) uint(n uint64)   { w.b = binary.AppendUvarint(w.b, n) }
func (w *memoWriter) int(n int64)     { w.b = binary.AppendVarint(w.b, n) }
func (w *memoWriter) string(s string) { w.uint(uint64(len(s))); w.b = append(w.b, s...) }

func (w *memoWriter) bool(b bool) {
	if b {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *memoWriter) object(u *unit, object any) {
	o := object.(memoObject)
	value, at, p := o.memoParts()
	w.uint(uint64(slices.Index(memoKinds[:], value.Type().Name())))
	w.place(place{u.line, 0}, place{at.Line, at.Column})
	w.bool(p.untyped)
	w.uint(uint64(len(p.item)))
	for _, i := range p.item {
		w.uint(uint64(i))
	}
	w.value(typeInfoOf(value.Type()), value)
	w.uint(uint64(len(p.places)))
	last := place{u.line, 0}
	for _, at := range p.places {
		w.place(last, at)
		last = at
	}
	w.uint(uint64(len(p.lists)))
	for _, l := range p.lists {
		w.uint(uint64(l.parent + 1))
		w.string(l.field)
		w.uint(uint64(l.first))
		w.uint(uint64(l.count))
	}
}

// place writes a place relative to another.
func (w *memoWriter) place(from, to place) {
	w.int(int64(to.line) - int64(from.line))
	w.uint(uint64(to.column))
}

// value writes a value of a type. Every value takes a byte at least.
func (w *memoWriter) value(info *typeInfo, v reflect.Value) {
	switch info.shape {
	case structShape:
		for i, f := range info.ordered {
			if e := v.FieldByIndex(f.index); !e.IsZero() {
				w.uint(uint64(i + 1))
				w.value(f.typ, e)
			}
		}
		w.uint(0)
	case mapShape:
		w.mapping(info, v)
	case sliceShape:
		w.length(v)
		for i := range v.Len() {
			w.value(info.elem, v.Index(i))
		}
	case pointerShape:
		w.bool(!v.IsNil())
		if !v.IsNil() {
			w.value(info.elem, v.Elem())
		}
	case stringShape:
		w.string(v.String())
	case boolShape:
		w.bool(v.Bool())
	case intShape:
		w.int(v.Int())
	case uintShape:
		w.uint(v.Uint())
	case floatShape:
		w.uint(math.Float64bits(v.Float()))
	case bytesShape:
		w.length(v)
		w.b = append(w.b, v.Bytes()...)
	case intOrStringShape:
		i := v.Interface().(intstr.IntOrString)
		w.int(int64(i.Type))
		w.int(int64(i.IntVal))
		w.string(i.StrVal)
	case jsonShape:
		w.json(info, v)
	case ignoredShape:
	}
}

// length writes the length of a slice or map, and whether it is nil.
func (w *memoWriter) length(v reflect.Value) {
	if v.IsNil() {
		w.uint(0)
		return
	}
	w.uint(uint64(v.Len()) + 1)
}

func (w *memoWriter) mapping(info *typeInfo, v reflect.Value) {
	w.length(v)
	if m, ok := v.Interface().(map[string]string); ok {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			w.string(k)
			w.string(m[k])
		}
		return
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	for _, k := range keys {
		w.string(k.String())
		w.value(info.elem, v.MapIndex(k))
	}
}

// json writes a value of a type that has its own way to and from JSON. Not every such value survives it: a Quantity of
// 1000m comes back as 1. Objects that have one are not remembered.
func (w *memoWriter) json(info *typeInfo, v reflect.Value) {
	text, err := json.Marshal(v.Interface())
	again := reflect.New(info.typ)
	if err == nil {
		err = again.Interface().(json.Unmarshaler).UnmarshalJSON(text)
	}
	if err != nil || !reflect.DeepEqual(again.Elem().Interface(), v.Interface()) {
		w.failed = true
		return
	}
	w.string(string(text))
}
