package manifest

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// shape is how a Go type is filled from a node.
type shape uint8

const (
	structShape shape = iota
	mapShape
	sliceShape
	pointerShape
	stringShape
	boolShape
	intShape
	uintShape
	floatShape
	bytesShape
	intOrStringShape
	ignoredShape // read and dropped
	jsonShape    // the type decodes itself from JSON: a Quantity, a Time
)

// typeInfo is what decoding needs to know of a Go type, worked out once.
type typeInfo struct {
	typ    reflect.Type
	shape  shape
	elem   *typeInfo // of pointers, slices and maps
	fields map[string]*fieldInfo
	// ordered are the fields by ordinal.
	ordered []*fieldInfo
}

// fieldInfo is a field of a struct, those of inlined structs included.
type fieldInfo struct {
	index   []int // for reflect.Value.FieldByIndex
	offset  uintptr
	ordinal int // among the fields of the struct
	typ     *typeInfo
}

var typeInfos = struct {
	sync.Mutex
	known map[reflect.Type]*typeInfo
}{known: map[reflect.Type]*typeInfo{}}

// typeInfoOf gives the description of a type. It panics on types the decoder has no shape for: a test goes through all
// kinds that are read.
func typeInfoOf(t reflect.Type) *typeInfo {
	typeInfos.Lock()
	defer typeInfos.Unlock()
	return describeType(t)
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	intOrStringType = reflect.TypeFor[intstr.IntOrString]()
	// managedFields is the API server's record of who wrote which field. It is larger than the rest of the object and
	// means nothing to anybody but the API server.
	managedFieldsType = reflect.TypeFor[[]metav1.ManagedFieldsEntry]()
)

func describeType(t reflect.Type) *typeInfo {
	if info, ok := typeInfos.known[t]; ok {
		return info
	}
	info := &typeInfo{typ: t}
	typeInfos.known[t] = info // before its fields, for types contain themselves
	switch {
	case t == intOrStringType:
		info.shape = intOrStringShape
	case t == managedFieldsType, t == reflect.TypeFor[ignored]():
		info.shape = ignoredShape
	case reflect.PointerTo(t).Implements(jsonUnmarshaler):
		info.shape = jsonShape
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		panic(fmt.Sprintf("manifest: %s decodes itself from text", t))
	default:
		info.describeKind()
	}
	return info
}

func (info *typeInfo) describeKind() {
	t := info.typ
	switch t.Kind() {
	case reflect.Struct:
		info.shape = structShape
		info.fields = map[string]*fieldInfo{}
		info.addFields(t, nil, 0)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			panic(fmt.Sprintf("manifest: %s has keys that are no strings", t))
		}
		info.shape, info.elem = mapShape, describeType(t.Elem())
	case reflect.Slice:
		info.shape, info.elem = sliceShape, describeType(t.Elem())
		if t.Elem().Kind() == reflect.Uint8 {
			info.shape = bytesShape
		}
	case reflect.Pointer:
		info.shape, info.elem = pointerShape, describeType(t.Elem())
	case reflect.String:
		info.shape = stringShape
	case reflect.Bool:
		info.shape = boolShape
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		info.shape = intShape
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		info.shape = uintShape
	case reflect.Float32, reflect.Float64:
		info.shape = floatShape
	default:
		panic(fmt.Sprintf("manifest: no way to decode %s", t))
	}
}

// addFields adds the fields of a struct at index and offset within info's type, as encoding/json finds them: by the name in the tag,
// and those of an embedded struct without a name in its place.
func (info *typeInfo) addFields(t reflect.Type, index []int, offset uintptr) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(index[:len(index):len(index)], i)
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "":
			info.addFields(f.Type, at, offset+f.Offset)
		default:
			if name == "" {
				name = f.Name
			}
			field := &fieldInfo{at, offset + f.Offset, len(info.ordered), describeType(f.Type)}
			info.fields[name] = field
			info.ordered = append(info.ordered, field)
		}
	}
}
