package manifest

import (
	"cmp"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/svcctl/svcctl/compiler/diag"
)

// positions tells where the fields of an object were written. The items of its lists of mappings have an index, because
// later phases keep the place of every port and every endpoint; all else is found by parsing the object's text again,
// which only messages ask for. Keeping the places of everything would take more memory than the objects.
type positions struct {
	text document // what the object was parsed from
	item []int32  // in a List that could not be cut textually: the way to the object, through "items" each time
	// untyped says that the text does not say the kind: the typed List around it did.
	untyped bool
	lists   []list  // sorted by parent and field
	places  []place // of the items of all lists
	parsed  int64   // bytes of text that were parsed again so far
}

// maxParsed is how many bytes of text are parsed again for the places of one object: for a hundred thousand mistakes in a
// large one it would take hours.
const maxParsed = 64 << 20

// list is one list of mappings of the object.
type list struct {
	parent int32  // the item, an index of places, whose field it is; -1: a field of the object
	field  string // from there: "spec.ports", "addresses"
	first  int32  // its items in places
	count  int32
}

type place struct{ line, column int32 }

func (l list) compare(m list) int {
	return cmp.Or(cmp.Compare(l.parent, m.parent), cmp.Compare(l.field, m.field))
}

// At gives the place of a field: of the value of a scalar, of the first key of a mapping or of a list's item. The field is
// written as the API server does: "spec.ports[0].port", "endpoints[3].addresses[0]",
// "metadata.labels[kubernetes.io/service-name]". Where the object has no such field, At gives the place of the nearest
// parent that it has.
//
// The items of lists of mappings ("spec.ports[2]", "subsets[0].addresses[1]") are looked up; anything else parses the
// text of the object again. After [maxParsed] bytes of that it gives the place of the object.
func (o *Object[T]) At(field string) diag.Pos {
	p := &o.positions
	if field == "" || p.text.text == "" {
		return o.Pos
	}
	if at, ok := p.lookup(field); ok {
		return diag.Pos{File: o.Pos.File, Line: at.line, Column: at.column}
	}
	if atomic.AddInt64(&p.parsed, int64(len(p.text.text))) > maxParsed {
		return o.Pos
	}
	var t tree
	if err := parse(&t, &p.text); err != nil {
		return o.Pos
	}
	n := int32(0)
	for _, i := range p.item {
		items, _ := t.value(n, "items")
		n, _ = t.item(items, int(i))
	}
	at := &t.nodes[t.find(n, parsePath(field))]
	return diag.Pos{File: o.Pos.File, Line: at.line, Column: at.column}
}

// Items gives the places of the first n items of a list of mappings, as At gives that of each.
func (o *Object[T]) Items(field string, n int) []diag.Pos {
	out := make([]diag.Pos, n)
	p := &o.positions
	if i, ok := p.find(-1, field); ok && int(p.lists[i].count) >= n {
		for k, at := range p.places[p.lists[i].first:][:n] {
			out[k] = diag.Pos{File: o.Pos.File, Line: at.line, Column: at.column}
		}
		return out
	}
	for k := range out {
		out[k] = o.At(field + "[" + strconv.Itoa(k) + "]")
	}
	return out
}

// find gives the index of an indexed list.
func (p *positions) find(parent int32, field string) (int, bool) {
	return slices.BinarySearchFunc(p.lists, list{parent: parent, field: field}, list.compare)
}

// lookup finds an item of an indexed list.
func (p *positions) lookup(field string) (place, bool) {
	at := int32(-1)
	for field != "" {
		name, index, rest, ok := cutItem(field)
		if !ok {
			return place{}, false
		}
		i, ok := p.find(at, name)
		if !ok || index >= p.lists[i].count {
			return place{}, false
		}
		at, field = p.lists[i].first+index, rest
	}
	return p.places[at], true
}

// cutItem cuts "spec.ports[3].name" into "spec.ports", 3 and "name".
func cutItem(field string) (name string, index int32, rest string, ok bool) {
	i := 0
	for i < len(field) && field[i] != '[' {
		i++
	}
	name = field[:i]
	for i++; i < len(field) && '0' <= field[i] && field[i] <= '9' && index < 1<<24; i++ {
		index = index*10 + int32(field[i]-'0')
		ok = true
	}
	if !ok || i >= len(field) || field[i] != ']' {
		return "", 0, "", false
	}
	if rest = field[i+1:]; rest != "" && rest[0] == '.' {
		rest = rest[1:]
	}
	return name, index, rest, true
}

// indexer records the places of list items while an object is decoded.
type indexer struct {
	lists  []list
	places []place
	open   []openList
	// names keeps one copy of each field name: ten thousand Services have "spec.ports".
	names   map[string]string
	scratch []byte
}

// openList is a list whose items are being decoded.
type openList struct {
	first int32
	item  int32 // the current one, in places
	depth int   // length of the path at that item
}

// begin starts a list of count items at a path. It reports false for a list that has no index: an empty one, and one
// under a map or in a list that has none.
func (x *indexer) begin(p *path, count int) bool {
	parent, depth := int32(-1), 0
	if len(x.open) > 0 {
		o := x.open[len(x.open)-1]
		parent, depth = o.item, o.depth
	}
	if count == 0 || depth == len(p.segments) {
		return false
	}
	x.scratch = x.scratch[:0]
	for i, s := range p.segments[depth:] {
		if s.kind != fieldSegment {
			return false
		}
		if i > 0 {
			x.scratch = append(x.scratch, '.')
		}
		x.scratch = append(x.scratch, s.name...)
	}
	first := int32(len(x.places))
	x.lists = append(x.lists, list{parent, x.name(), first, int32(count)})
	x.places = append(x.places, make([]place, count)...)
	x.open = append(x.open, openList{first: first})
	return true
}

// name gives the copy of the name in scratch that is kept.
func (x *indexer) name() string {
	if name, ok := x.names[string(x.scratch)]; ok {
		return name
	}
	if x.names == nil {
		x.names = map[string]string{}
	}
	name := string(x.scratch)
	x.names[name] = name
	return name
}

// item says that the i-th item of the innermost list is decoded next; the path ends in it.
func (x *indexer) item(p *path, i int, n *node) {
	o := &x.open[len(x.open)-1]
	o.item, o.depth = o.first+int32(i), len(p.segments)
	x.places[o.item] = place{n.line, n.column}
}

func (x *indexer) end() { x.open = x.open[:len(x.open)-1] }

// take gives what was recorded and starts anew.
func (x *indexer) take(s *slabs) ([]list, []place) {
	lists, places := s.lists.take(len(x.lists)), s.places.take(len(x.places))
	copy(lists, x.lists)
	copy(places, x.places)
	slices.SortFunc(lists, list.compare)
	x.lists, x.places, x.open = x.lists[:0], x.places[:0], x.open[:0]
	return lists, places
}
