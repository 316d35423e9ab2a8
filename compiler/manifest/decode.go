package manifest

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/diag"
)

// maxString is the longest string a field takes, in bytes: what the API server allows for all annotations of an object
// together (apimachinery's TotalAnnotationSizeLimitB), the longest thing there is in the objects read here.
const maxString = 256 << 10

// decoder fills Go values from the nodes of one document after another. It goes by the types, so that everything it says
// has a field path and a place.
type decoder struct {
	tree  tree
	doc   *document
	ref   diag.Object // whose fields are being decoded
	diags diag.List
	path  path
	// lenient lets unknown fields pass: under status and metadata, which others than the user write.
	lenient bool
	enough  bool // was found wrong with the document
	index   indexer
	slabs   slabs
}

// pos gives the place of a node.
func (d *decoder) pos(n int32) diag.Pos {
	at := &d.tree.nodes[n]
	return diag.Pos{File: d.doc.file, Line: at.line, Column: at.column}
}

func (d *decoder) errorf(code diag.Code, n int32, format string, args ...any) {
	d.report(code, n, d.ref, d.path.String(), format, args...)
}

// report adds an error, unless there are enough of this document.
func (d *decoder) report(code diag.Code, n int32, ref diag.Object, field, format string, args ...any) {
	switch {
	case len(d.diags) < maxFindings-1:
		d.diags.Errorf(code, d.pos(n), ref, field, format, args...)
	case !d.enough:
		d.enough = true
		d.diags.Errorf(diag.Limit, d.pos(n), ref, "", "%d errors in this document: what comes after them was not looked at", maxFindings-1)
	}
}

// hint adds what to do about it to the last error.
func (d *decoder) hint(text string) {
	if !d.enough {
		d.diags[len(d.diags)-1].Hint = text
	}
}

// expected reports a node of the wrong type.
func (d *decoder) expected(n int32, what string) {
	d.errorf(diag.WrongType, n, "expected %s, found %s", what, d.tree.nodes[n].describe())
}

// decode fills v from a node.
func (d *decoder) decode(n int32, info *typeInfo, v reflect.Value) {
	at := &d.tree.nodes[n]
	if at.kind == nullNode && info.shape != jsonShape {
		return // as encoding/json: null leaves the zero value
	}
	switch info.shape {
	case structShape:
		d.decodeStruct(n, info, v)
	case mapShape:
		d.decodeMap(n, info, v)
	case sliceShape:
		d.decodeSlice(n, info, v)
	case pointerShape:
		d.decode(n, info.elem, d.slabs.point(info, v))
	case stringShape:
		if d.checkString(n) {
			v.SetString(at.text)
		}
	case boolShape:
		d.decodeBool(n, v)
	case intShape, uintShape, floatShape:
		d.decodeNumber(n, info, v)
	case bytesShape:
		d.decodeBytes(n, v)
	case intOrStringShape:
		d.decodeIntOrString(n, v)
	case jsonShape:
		d.decodeJSON(n, v)
	case ignoredShape:
	}
}

func (d *decoder) decodeStruct(n int32, info *typeInfo, v reflect.Value) {
	if d.tree.nodes[n].kind != mappingNode {
		d.expected(n, "a mapping")
		return
	}
	root := len(d.path.segments) == 0
	var seen fieldSet
	for k := d.tree.nodes[n].child; k != 0; {
		value := d.tree.nodes[k].next
		if name, ok := d.key(k); ok {
			d.path.field(name)
			if f := info.fields[name]; f == nil {
				d.unknownField(k, name, info)
			} else if !seen.add(f.ordinal) {
				d.duplicateKey(n, k, name)
			} else {
				d.lenient = d.lenient || root && (name == "status" || name == "metadata")
				d.decode(value, f.typ, v.FieldByIndex(f.index))
				d.lenient = d.lenient && !root
			}
			d.path.pop()
		}
		k = d.tree.nodes[value].next
	}
}

// key gives a key of a mapping; it reports one that cannot be a key.
func (d *decoder) key(k int32) (string, bool) {
	name, ok := d.tree.nodes[k].key()
	if !ok {
		d.errorf(diag.WrongType, k, "expected a string as key, found %s", d.tree.nodes[k].describe())
	}
	return name, ok
}

func (d *decoder) unknownField(k int32, name string, info *typeInfo) {
	if d.lenient || d.enough {
		return
	}
	d.errorf(diag.UnknownField, k, "unknown field %q", name)
	if d.tree.nodes[k].kind != stringNode {
		d.hint("YAML 1.1 reads " + d.tree.nodes[k].text + " as " + name + ": quote it")
	} else if near := diag.Nearest(name, slices.Collect(maps.Keys(info.fields))); near != "" {
		d.hint("did you mean " + strconv.Quote(near) + "?")
	}
}

// duplicateKey reports key k of mapping n, which stands there before.
func (d *decoder) duplicateKey(n, k int32, name string) {
	if d.enough { // for finding the first one takes as long as the mapping is
		return
	}
	first := d.tree.nodes[n].child
	for first != k {
		if text, ok := d.tree.nodes[first].key(); ok && text == name {
			break
		}
		first = d.tree.nodes[d.tree.nodes[first].next].next
	}
	d.errorf(diag.Duplicate, k, "key %q is given twice, first on line %d", name, d.tree.nodes[first].line)
}

func (d *decoder) decodeMap(n int32, info *typeInfo, v reflect.Value) {
	if d.tree.nodes[n].kind != mappingNode {
		d.expected(n, "a mapping")
		return
	}
	if p, ok := v.Addr().Interface().(*map[string]string); ok {
		*p = d.decodeStrings(n)
		return
	}
	m := reflect.MakeMapWithSize(info.typ, d.tree.count(n)/2)
	for k := d.tree.nodes[n].child; k != 0; {
		value := d.tree.nodes[k].next
		if name, ok := d.key(k); ok {
			d.path.key(name)
			key := reflect.ValueOf(name).Convert(info.typ.Key())
			if m.MapIndex(key).IsValid() {
				d.duplicateKey(n, k, name)
			} else {
				e := reflect.New(info.typ.Elem()).Elem()
				d.decode(value, info.elem, e)
				m.SetMapIndex(key, e)
			}
			d.path.pop()
		}
		k = d.tree.nodes[value].next
	}
	v.Set(m)
}

// decodeStrings is decodeMap for labels, selectors and annotations, which nearly every object has.
func (d *decoder) decodeStrings(n int32) map[string]string {
	m := make(map[string]string, d.tree.count(n)/2)
	for k := d.tree.nodes[n].child; k != 0; {
		value := d.tree.nodes[k].next
		if name, ok := d.key(k); ok {
			d.path.key(name)
			if _, twice := m[name]; twice {
				d.duplicateKey(n, k, name)
			} else {
				m[name] = ""
				if d.tree.nodes[value].kind != nullNode && d.checkString(value) {
					m[name] = d.tree.nodes[value].text
				}
			}
			d.path.pop()
		}
		k = d.tree.nodes[value].next
	}
	return m
}

func (d *decoder) decodeSlice(n int32, info *typeInfo, v reflect.Value) {
	if d.tree.nodes[n].kind != sequenceNode {
		d.expected(n, "a list")
		return
	}
	count := d.tree.count(n)
	indexed := info.elem.shape == structShape && !d.lenient && d.index.begin(&d.path, count)
	d.slabs.extend(info, v, count)
	item := d.tree.nodes[n].child
	for i := range count {
		d.path.item(i)
		if indexed {
			d.index.item(&d.path, i, &d.tree.nodes[item])
		}
		d.decode(item, info.elem, v.Index(i))
		d.path.pop()
		item = d.tree.nodes[item].next
	}
	if indexed {
		d.index.end()
	}
}

// checkString reports a node that is not a string, or too long a one.
func (d *decoder) checkString(n int32) bool {
	at := &d.tree.nodes[n]
	switch {
	case at.kind != stringNode:
		d.expected(n, "a string")
		if at.plain {
			d.hint("quote it: " + strconv.Quote(at.text))
		}
		return false
	case len(at.text) > maxString:
		d.errorf(diag.Limit, n, "a string of %d bytes: no field takes more than %d", len(at.text), maxString)
		return false
	}
	return true
}

func (d *decoder) decodeBool(n int32, v reflect.Value) {
	switch d.tree.nodes[n].kind {
	case trueNode:
		v.SetBool(true)
	case falseNode:
		v.SetBool(false)
	case nullNode, numberNode, stringNode, sequenceNode, mappingNode:
		d.expected(n, "a boolean")
		d.hintUnquote(n)
	}
}

func (d *decoder) decodeNumber(n int32, info *typeInfo, v reflect.Value) {
	at := &d.tree.nodes[n]
	what := "an integer"
	if info.shape == floatShape {
		what = "a number"
	}
	if at.kind != numberNode {
		d.expected(n, what)
		d.hintUnquote(n)
		return
	}
	bits := info.typ.Bits()
	switch info.shape {
	case intShape:
		if i, err := strconv.ParseInt(at.text, 10, bits); err == nil {
			v.SetInt(i)
			return
		}
	case uintShape:
		if u, err := strconv.ParseUint(at.text, 10, bits); err == nil {
			v.SetUint(u)
			return
		}
	default:
		if f, err := strconv.ParseFloat(at.text, bits); err == nil {
			v.SetFloat(f)
			return
		}
	}
	d.expected(n, what+" of "+strconv.Itoa(bits)+" bits")
}

// hintUnquote says so where a string would be right without its quotes.
func (d *decoder) hintUnquote(n int32) {
	at := &d.tree.nodes[n]
	if at.kind != stringNode || at.plain {
		return
	}
	var bare node
	if bare.resolvePlain(at.text); bare.kind != stringNode && bare.kind != nullNode {
		d.hint("remove the quotes")
	}
}

func (d *decoder) decodeBytes(n int32, v reflect.Value) {
	if !d.checkString(n) {
		return
	}
	b, err := base64.StdEncoding.DecodeString(d.tree.nodes[n].text)
	if err != nil {
		d.errorf(diag.WrongType, n, "expected base64: %v", err)
		return
	}
	v.SetBytes(b)
}

func (d *decoder) decodeIntOrString(n int32, v reflect.Value) {
	into := v.Addr().Interface().(*intstr.IntOrString)
	switch at := &d.tree.nodes[n]; at.kind {
	case stringNode:
		if d.checkString(n) {
			*into = intstr.FromString(at.text)
		}
	case numberNode:
		i, err := strconv.ParseInt(at.text, 10, 32)
		if err != nil {
			d.expected(n, "an integer of 32 bits or a string")
			return
		}
		*into = intstr.FromInt32(int32(i))
	case nullNode, falseNode, trueNode, sequenceNode, mappingNode:
		d.expected(n, "an integer or a string")
		if at.plain {
			d.hint("quote it: " + strconv.Quote(at.text))
		}
	}
}

// decodeJSON leaves a node to the type itself.
func (d *decoder) decodeJSON(n int32, v reflect.Value) {
	u := v.Addr().Interface().(json.Unmarshaler)
	if err := u.UnmarshalJSON(d.tree.appendJSON(nil, n)); err != nil {
		d.errorf(diag.WrongType, n, "Invalid value: %v", err)
	}
}

// fieldSet is a set of the fields of a struct, by ordinal.
type fieldSet [4]uint64

// add reports whether the field was not in the set.
func (s *fieldSet) add(ordinal int) bool {
	word, bit := &s[ordinal/64], uint64(1)<<(ordinal%64)
	isNew := *word&bit == 0
	*word |= bit
	return isNew
}
