package manifest

import (
	"encoding/json"
	"math"
	"reflect"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/diag"
)

// memoReader reads memos, one after another. Strings are pieces of the memo. Whatever the memo, what is allocated is in
// proportion to its length: every element takes a byte of it at least.
type memoReader struct {
	memo  string
	at    int // what was read of it
	slabs *slabs
	depth int
	bad   bool // it is no memo
}

// recall gives what a unit held by its memo, if it is one.
func (r *reader) recall(u *unit, memo string) (found, bool) {
	m := &r.recalled
	*m = memoReader{memo: memo, slabs: &r.slabs}
	var f found
	if n := m.count(); n > 0 {
		f.objects = make([]any, 0, min(n, 64))
		for i := 0; i < n && !m.bad; i++ {
			m.object(u, &f)
		}
	}
	return f, !m.bad && m.at == len(m.memo)
}

// fail ends reading.
func (m *memoReader) fail() { m.bad, m.at = true, len(m.memo) }

func (m *memoReader) uint() uint64 {
	if m.at < len(m.memo) && m.memo[m.at] < 0x80 {
		m.at++
		return uint64(m.memo[m.at-1])
	}
	return m.longUint()
}

func (m *memoReader) longUint() uint64 {
	var n uint64
	for i := range min(len(m.memo)-m.at, 10) {
		c := m.memo[m.at+i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			m.at += i + 1
			return n
		}
	}
	m.fail()
	return 0
}

func (m *memoReader) int() int64 {
	n := m.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// small reads a number that an int32 holds.
func (m *memoReader) small() int32 {
	n := m.uint()
	if n > math.MaxInt32 {
		m.fail()
		return 0
	}
	return int32(n)
}

// count reads how many things follow, each of a byte at least.
func (m *memoReader) count() int {
	n := m.uint()
	if n > uint64(len(m.memo)-m.at) {
		m.fail()
		return 0
	}
	return int(n)
}

// length reads what [memoWriter.length] writes.
func (m *memoReader) length() (n int, ok bool) {
	switch n := m.uint(); {
	case n == 0:
		return 0, false
	case n-1 > uint64(len(m.memo)-m.at):
		m.fail()
		return 0, false
	default:
		return int(n - 1), true
	}
}

func (m *memoReader) string() string {
	n := m.count()
	m.at += n
	return m.memo[m.at-n : m.at]
}

func (m *memoReader) bool() bool {
	n := m.uint()
	if n > 1 {
		m.fail()
	}
	return n == 1
}

func (m *memoReader) object(u *unit, f *found) {
	kind := m.uint()
	if kind >= uint64(len(memoKinds)) {
		m.fail()
		return
	}
	k := kinds[memoKinds[kind]]
	k.recall(m, k, u, f)
}

// recallAs reads an object of a kind.
func recallAs[T any](m *memoReader, k *kindInfo, u *unit, f *found) {
	o := &Object[T]{}
	p := &o.positions
	p.text = u.document
	at := m.place(place{u.line, 0})
	o.Pos = diag.Pos{File: u.file, Line: at.line, Column: at.column}
	p.untyped = m.bool()
	if n := m.count(); n > 0 {
		p.item = make([]int32, n)
		for i := range p.item {
			p.item[i] = m.small()
		}
	}
	m.value(typeInfoOf(reflect.TypeFor[T]()), unsafe.Pointer(&o.Value))
	p.places = m.slabs.places.take(m.count())
	last := place{u.line, 0}
	for i := range p.places {
		last = m.place(last)
		p.places[i] = last
	}
	p.lists = m.slabs.lists.take(m.count())
	for i := range p.lists {
		p.lists[i] = m.list(len(p.places))
	}
	o.complete(k)
	if o.Ref.Name == "" {
		m.fail()
	}
	f.objects = append(f.objects, o)
}

func (m *memoReader) place(from place) place {
	line := int64(from.line) + m.int()
	if line < 1 || line > math.MaxInt32 {
		m.fail()
	}
	return place{int32(line), m.small()}
}

// list reads a list whose items are among so many places.
func (m *memoReader) list(places int) list {
	l := list{parent: m.small() - 1, field: m.string(), first: m.small(), count: m.small()}
	if int(l.parent) >= places || int64(l.first)+int64(l.count) > int64(places) {
		m.fail()
	}
	return l
}

// value reads a value of a type into the zero value at p.
//
// It goes by addresses and not by [reflect.Value], which would take most of the time. The types' own description says what
// is where, so that whatever the memo, nothing is written but fields, by their types.
func (m *memoReader) value(info *typeInfo, p unsafe.Pointer) {
	if m.depth++; m.depth > maxDepth {
		m.fail()
	}
	if m.bad {
		m.depth--
		return
	}
	switch info.shape {
	case structShape:
		m.fields(info, p)
	case sliceShape:
		m.slice(info, p)
	case pointerShape:
		m.pointer(info, p)
	case stringShape:
		*(*string)(p) = m.string()
	case boolShape:
		*(*bool)(p) = m.bool()
	case intOrStringShape:
		*(*intstr.IntOrString)(p) = intstr.IntOrString{
			Type: intstr.Type(m.int()), IntVal: int32(m.int()), StrVal: m.string(),
		}
	case mapShape:
		if info.typ == stringMapType {
			m.stringMap((*map[string]string)(p))
		} else {
			m.mapping(info, reflect.NewAt(info.typ, p).Elem())
		}
	case intShape:
		if info.typ.Size() == 4 {
			*(*int32)(p) = int32(m.int())
		} else {
			m.rare(info, reflect.NewAt(info.typ, p).Elem())
		}
	case uintShape, floatShape, bytesShape, jsonShape:
		m.rare(info, reflect.NewAt(info.typ, p).Elem())
	case ignoredShape:
	}
	m.depth--
}

var (
	stringType       = reflect.TypeFor[string]()
	boolType         = reflect.TypeFor[bool]()
	stringMapType    = reflect.TypeFor[map[string]string]()
	servicePortType  = reflect.TypeFor[corev1.ServicePort]()
	endpointPortType = reflect.TypeFor[discoveryv1.EndpointPort]()
	endpointType     = reflect.TypeFor[discoveryv1.Endpoint]()
)

func (m *memoReader) fields(info *typeInfo, p unsafe.Pointer) {
	for {
		switch i := m.uint(); {
		case i == 0:
			return
		case i > uint64(len(info.ordered)):
			m.fail()
			return
		default:
			f := info.ordered[i-1]
			m.value(f.typ, unsafe.Add(p, f.offset))
		}
	}
}

func (m *memoReader) slice(info *typeInfo, p unsafe.Pointer) {
	n, ok := m.length()
	if !ok {
		return
	}
	switch info.elem.typ {
	case stringType:
		s := m.slabs.strings.take(n)
		for i := range s {
			s[i] = m.string()
		}
		*(*[]string)(p) = s
		return
	case servicePortType:
		*(*[]corev1.ServicePort)(p) = m.slabs.servicePorts.take(n)
	case endpointPortType:
		*(*[]discoveryv1.EndpointPort)(p) = m.slabs.endpointPorts.take(n)
	case endpointType:
		*(*[]discoveryv1.Endpoint)(p) = m.slabs.endpoints.take(n)
	default:
		reflect.NewAt(info.typ, p).Elem().Set(reflect.MakeSlice(info.typ, n, n))
	}
	// Whatever its elements, a slice begins with the address of the first.
	first, size := *(*unsafe.Pointer)(p), info.elem.typ.Size()
	for i := range n {
		m.value(info.elem, unsafe.Add(first, uintptr(i)*size))
	}
}

func (m *memoReader) pointer(info *typeInfo, p unsafe.Pointer) {
	if !m.bool() {
		return
	}
	switch info.elem.typ {
	case stringType:
		s := m.slabs.strings.one()
		*s = m.string()
		*(**string)(p) = s
	case boolType:
		b := m.slabs.bools.one()
		*b = m.bool()
		*(**bool)(p) = b
	default:
		v := reflect.New(info.elem.typ)
		*(*unsafe.Pointer)(p) = v.UnsafePointer()
		m.value(info.elem, v.UnsafePointer())
	}
}

func (m *memoReader) stringMap(p *map[string]string) {
	n, ok := m.length()
	if !ok {
		return
	}
	// How many there are is only a claim; a map that grows costs little more.
	s := make(map[string]string, min(n, 64))
	for range n {
		key := m.string()
		s[key] = m.string()
	}
	*p = s
}

func (m *memoReader) mapping(info *typeInfo, v reflect.Value) {
	n, ok := m.length()
	if !ok {
		return
	}
	v.Set(reflect.MakeMapWithSize(info.typ, min(n, 64)))
	for range n {
		key := reflect.ValueOf(m.string()).Convert(info.typ.Key())
		e := reflect.New(info.typ.Elem())
		m.value(info.elem, e.UnsafePointer())
		v.SetMapIndex(key, e.Elem())
	}
}

// rare reads a value of a type that is not worth a way of its own.
func (m *memoReader) rare(info *typeInfo, v reflect.Value) {
	switch info.shape {
	case intShape:
		v.SetInt(m.int())
	case uintShape:
		v.SetUint(m.uint())
	case floatShape:
		v.SetFloat(math.Float64frombits(m.uint()))
	case bytesShape:
		if n, ok := m.length(); ok {
			m.at += n
			v.SetBytes([]byte(m.memo[m.at-n : m.at]))
		}
	case jsonShape:
		if v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON([]byte(m.string())) != nil {
			m.fail()
		}
	default:
		m.fail()
	}
}
