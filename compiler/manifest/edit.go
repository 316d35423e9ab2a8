package manifest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/svcctl/svcctl/compiler/diag"
)

// Edit gives one field of one object a value.
type Edit struct {
	Object diag.Object
	Field  string // "spec.ports[0].nodePort"
	// Value is a string, an int, a []any of these, or a map[string]any of these. A list may be longer than one that is
	// there and begin with it: then only the rest is added.
	Value any
}

// Rewrite carries out edits in the text of the sources, and gives those sources that changed. All else stays byte for
// byte: comments, blank lines, order, quotes and line ends. A field that is not there is inserted near its like; one
// that is there and says nothing (an empty string or list, zero, null) is replaced.
//
// Every edited source is decoded again and compared: it holds what it held, with the edits and nothing else. Where that
// cannot be had by inserting text, for example in what several objects share through an alias, there is an error at the
// object and the source is not among those given. That an object is in none of the sources is no error.
func Rewrite(sources []Source, edits []Edit) ([]Source, diag.List) {
	byObject := map[diag.Object][]Edit{}
	for _, e := range edits {
		byObject[e.Object] = append(byObject[e.Object], e)
	}
	var (
		changed []Source
		found   diag.List
	)
	for _, s := range sources {
		data, problems := rewrite(s, byObject)
		found = append(found, problems...)
		if data != nil && len(problems) == 0 {
			s.Data = data
			changed = append(changed, s)
		}
	}
	found.Sort()
	return changed, found
}

// editable is an object that is to be edited.
type editable struct {
	ref   diag.Object
	at    diag.Pos
	where *positions
	edits []Edit
}

func appendEditable[T any](all []editable, objects []*Object[T], edits map[diag.Object][]Edit) []editable {
	for _, o := range objects {
		if e := edits[o.Ref]; len(e) > 0 {
			all = append(all, editable{o.Ref, o.Pos, &o.positions, e})
		}
	}
	return all
}

// rewrite gives the new bytes of a source, nil where nothing in it is edited.
func rewrite(s Source, edits map[diag.Object][]Edit) ([]byte, diag.List) {
	b, _ := Decode([]Source{s}, Options{})
	var all []editable
	all = appendEditable(all, b.Services, edits)
	all = appendEditable(all, b.EndpointSlices, edits)
	all = appendEditable(all, b.Endpoints, edits)
	all = appendEditable(all, b.Pods, edits)
	all = appendEditable(all, b.Nodes, edits)
	if len(all) == 0 {
		return nil, nil
	}
	var found diag.List
	if bytes.HasPrefix(s.Data, []byte{0xff, 0xfe}) || bytes.HasPrefix(s.Data, []byte{0xfe, 0xff}) {
		found.Errorf(diag.Unsupported, diag.Pos{File: s.Name}, diag.Object{}, "", "cannot be edited in place: it is UTF-16")
		return nil, found
	}
	// From the last document to the first, so that what is edited does not move what is not yet.
	slices.SortStableFunc(all, func(a, b editable) int { return b.where.text.compare(&a.where.text) })
	lines := newOffsets(s)
	var pieces [][]byte // from the last to the first
	rest := s.Data
	for len(all) > 0 {
		same := 1
		for same < len(all) && all[same].where.text.compare(&all[0].where.text) == 0 {
			same++
		}
		doc := &all[0].where.text
		start := lines.offset(doc)
		end := start + len(doc.text)
		pieces = append(pieces, rest[end:], editDocument(rest[start:end], all[:same], &found))
		rest, all = rest[:start], all[same:]
	}
	pieces = append(pieces, rest)
	slices.Reverse(pieces)
	data := bytes.Join(pieces, nil)
	if len(found) == 0 {
		checkRewritten(s, data, edits, &found)
	}
	return data, found
}

// compare orders documents of one file by place.
func (d *document) compare(e *document) int {
	if d.line != e.line {
		return int(d.line) - int(e.line)
	}
	return int(d.column) - int(e.column)
}

// editDocument gives the bytes of a document with its objects edited.
func editDocument(data []byte, objects []editable, found *diag.List) []byte {
	doc := objects[0].where.text
	for i := range objects {
		o := &objects[i]
		for _, e := range o.edits {
			s, ok := findPlace(&doc, o.where.item, e)
			if !ok {
				found.Errorf(diag.Unsupported, o.at, o.ref, e.Field, "cannot be edited in place: write %s here by hand",
					yamlStyle.text(e.Value))
				continue
			}
			// The text differs from the bytes where a line ends in a lone carriage return.
			doc.text = s.apply(doc.text)
			data = []byte(s.apply(string(data)))
		}
	}
	return data
}

// offsets finds where documents begin in the bytes of a source.
type offsets struct {
	text  string
	base  int // of the byte order mark
	first int32
	lines []int // where the lines begin
}

func newOffsets(s Source) *offsets {
	text, _ := sourceText(s.Data)
	o := &offsets{text: text, base: len(s.Data) - len(text), first: max(s.FirstLine, 1), lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			o.lines = append(o.lines, i+1)
		}
	}
	return o
}

func (o *offsets) offset(d *document) int {
	at := o.lines[d.line-o.first]
	return o.base + at + columnOffset(o.text[at:], d.column)
}

// columnOffset gives the offset, on a line, of a column that counts characters from 1.
func columnOffset(line string, column int32) int {
	for i := range line {
		if column--; column == 0 {
			return i
		}
	}
	return len(line)
}

// checkRewritten reports what is wrong with the edited bytes of a source.
func checkRewritten(s Source, data []byte, edits map[diag.Object][]Edit, found *diag.List) {
	before, said := Decode([]Source{s}, Options{})
	after, says := Decode([]Source{{s.Name, data, s.FirstLine}}, Options{})
	ok := len(said) == len(says) && reflect.DeepEqual(before.Skipped, after.Skipped) &&
		sameButEdits(before.Services, after.Services, edits) &&
		sameButEdits(before.EndpointSlices, after.EndpointSlices, edits) &&
		sameButEdits(before.Endpoints, after.Endpoints, edits) &&
		sameButEdits(before.Pods, after.Pods, edits) &&
		sameButEdits(before.Nodes, after.Nodes, edits)
	if !ok {
		found.Errorf(diag.Unsupported, diag.Pos{File: s.Name}, diag.Object{}, "",
			"cannot be edited in place: something else in it would change its meaning")
	}
}

// sameButEdits reports whether the objects are the same, but for the edits.
func sameButEdits[T any](before, after []*Object[T], edits map[diag.Object][]Edit) bool {
	if len(before) != len(after) {
		return false
	}
	for i, o := range before {
		p := after[i]
		if o.Ref != p.Ref {
			return false
		}
		if reflect.DeepEqual(o.Value, p.Value) {
			if len(edits[o.Ref]) > 0 {
				return false
			}
			continue
		}
		want := asAny(&o.Value)
		for _, e := range edits[o.Ref] {
			want = with(want, parsePath(e.Field), asAny(e.Value))
		}
		if !reflect.DeepEqual(want, asAny(&p.Value)) {
			return false
		}
	}
	return true
}

// asAny gives a value as JSON has it.
func asAny(v any) any {
	data, err := json.Marshal(v)
	var out any
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		err = d.Decode(&out)
	}
	if err != nil {
		panic("manifest: " + err.Error()) // what was decoded, and edits, can be written
	}
	return out
}

// with gives v with a value at a path. What it changes in v it changes in place.
func with(v any, path []segment, value any) any {
	if len(path) == 0 {
		return value
	}
	s := path[0]
	if list, ok := v.([]any); ok && s.kind == itemSegment && s.index >= 0 && s.index < len(list) {
		list[s.index] = with(list[s.index], path[1:], value)
		return list
	}
	m, ok := v.(map[string]any)
	if !ok || m == nil {
		m = map[string]any{}
	}
	m[s.name] = with(m[s.name], path[1:], value)
	return m
}

// splice is a change of a text: at an offset so many bytes give way to others.
type splice struct {
	at, removed int
	text        string
}

func (s splice) apply(text string) string { return text[:s.at] + s.text + text[s.at+s.removed:] }

// lineEnd gives how the line at an offset ends: in the file's way.
func lineEnd(text string, at int) string {
	end := strings.IndexByte(text[at:], '\n')
	switch {
	case end > 0 && text[at+end-1] == '\r', end < 0 && strings.Contains(text, "\r\n"):
		return "\r\n"
	default:
		return "\n"
	}
}
