package manifest

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/diag"
)

// unit is a document, or an item of a List that was cut.
type unit struct {
	document
	list *kindInfo // of an item: the kind of its List
}

// found is what a unit held.
type found struct {
	objects []any    // *Object of the five kinds
	skipped []string // "apiVersion/Kind" of what is not read
	diags   diag.List
	broken  bool // it could not be parsed
	key     Key  // of the unit, where that is asked for
}

// reader reads units, one after another.
type reader struct {
	decoder
	strict  bool
	cache   Cache // nil: none
	named   bool  // units get their keys
	found   found
	item    []int32 // the way to the current object in a List that is parsed whole
	scratch []byte
	memo    memoWriter
	// recalled reads what the cache gives.
	recalled memoReader
}

// decodeUnit decodes a unit.
func (r *reader) decodeUnit(u *unit) found {
	r.found, r.diags, r.item, r.enough = found{}, nil, r.item[:0], false
	r.doc, r.ref = &u.document, diag.Object{}
	if err := parse(&r.tree, &u.document); err != nil {
		r.diags.Errorf(diag.Syntax, diag.Pos{File: u.file, Line: err.line, Column: err.column}, diag.Object{}, "",
			"%s", err.message)
		r.found.broken = true
	} else if u.list != nil || r.tree.nodes[0].kind != nullNode {
		r.object(0, u.list)
	}
	r.found.diags = r.diags
	return r.found
}

// object reads the object at a node. list is the kind of the List it is in, nil for none.
func (r *reader) object(n int32, list *kindInfo) {
	r.ref = diag.Object{}
	if at := &r.tree.nodes[n]; at.kind != mappingNode {
		r.errorf(diag.WrongType, n, "expected an object, found %s", at.describe())
		r.hint("a manifest is a mapping with apiVersion, kind and metadata")
		return
	}
	apiVersion, kind, ok := r.typeOf(n, list)
	if !ok {
		return
	}
	info, single := kinds[kind]
	if !single {
		info = listKinds[kind]
	}
	switch {
	case info == nil, isForeign(apiVersion):
		r.skip(n, apiVersion+"/"+kind)
	case apiVersion != info.apiVersion:
		if single {
			r.ref = r.refOf(n, info)
		}
		r.wrongVersion(n, kind, apiVersion, info.apiVersion)
	case single:
		r.ref = r.refOf(n, info)
		info.decode(r, info, n)
	default:
		r.items(n, info)
	}
}

// typeOf gives apiVersion and kind of the object at a node, or reports what is wrong with them.
func (r *reader) typeOf(n int32, list *kindInfo) (apiVersion, kind string, ok bool) {
	apiVersion, okVersion := r.typeField(n, "apiVersion")
	kind, okKind := r.typeField(n, "kind")
	if apiVersion == "" && kind == "" && okVersion && okKind && list != nil && list.decode != nil {
		return list.apiVersion, list.kind, true
	}
	if apiVersion == "" && okVersion {
		r.missingType(n, "apiVersion")
	}
	if kind == "" && okKind {
		r.missingType(n, "kind")
	}
	return apiVersion, kind, apiVersion != "" && kind != ""
}

// typeField gives apiVersion or kind, "" where it is missing; and whether it is a string, if it is there.
func (r *reader) typeField(n int32, name string) (string, bool) {
	v, ok := r.tree.value(n, name)
	if !ok || r.tree.nodes[v].kind == nullNode {
		return "", true
	}
	r.path.field(name)
	defer r.path.pop()
	if !r.checkString(v) {
		return "", false
	}
	return r.tree.nodes[v].text, true
}

func (r *reader) missingType(n int32, name string) {
	r.report(diag.Required, n, r.ref, name, "Required value: every object says its apiVersion and kind")
}

// skip counts an object of a kind that is not read.
func (r *reader) skip(n int32, name string) {
	r.found.skipped = append(r.found.skipped, name)
	if r.strict {
		r.report(diag.UnknownKind, n, diag.Object{}, "kind", "Unsupported value: %q", name)
		r.hint("svcctl reads Service, EndpointSlice, Endpoints, Pod and Node")
	}
}

func (r *reader) wrongVersion(n int32, kind, given, read string) {
	at, _ := r.tree.value(n, "apiVersion")
	r.report(diag.Unsupported, at, r.ref, "apiVersion", "Unsupported value: %q: %s is read as %s only",
		given, kind, read)
	r.hint("write apiVersion: " + read)
}

// refOf names the object at a node before it is decoded.
func (r *reader) refOf(n int32, info *kindInfo) diag.Object {
	metadata, ok := r.tree.value(n, "metadata")
	if !ok {
		return info.ref(defaultNamespace, "")
	}
	namespace := r.tree.stringValue(metadata, "namespace")
	if namespace == "" {
		namespace = defaultNamespace
	}
	name := r.tree.stringValue(metadata, "name")
	if name == "" {
		name = r.tree.stringValue(metadata, "generateName")
	}
	return info.ref(namespace, name)
}

// listType is the fields of every List. Its items are read as objects of their own.
type listType struct {
	metav1.TypeMeta
	Metadata metav1.ListMeta `json:"metadata"`
	Items    ignored         `json:"items"`
}

// ignored takes any value and drops it.
type ignored struct{}

// items reads the items of a List.
func (r *reader) items(n int32, info *kindInfo) {
	var l listType
	r.decode(n, typeInfoOf(reflect.TypeFor[listType]()), reflect.ValueOf(&l).Elem())
	items, ok := r.tree.value(n, "items")
	switch {
	case !ok || r.tree.nodes[items].kind == nullNode:
		return
	case r.tree.nodes[items].kind != sequenceNode:
		r.path.field("items")
		r.expected(items, "a list")
		r.path.pop()
		return
	}
	for item, i := r.tree.nodes[items].child, int32(0); item != 0; item, i = r.tree.nodes[item].next, i+1 {
		r.item = append(r.item, i)
		r.object(item, info)
		r.item = r.item[:len(r.item)-1]
	}
}
