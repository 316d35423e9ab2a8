package manifest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// findPlace finds where in a document to write a value, so that the document then says what it said and the value, nothing
// else. item is the way to the object in a List, through "items" each time. Where there are several places the one that
// reads best is taken; whether it can be taken is tried out, for only the parser knows for sure what a line belongs to.
func findPlace(d *document, item []int32, e Edit) (splice, bool) {
	p := placer{doc: d, style: styleOf(d)}
	if parse(&p.tree, d) != nil {
		return splice{}, false
	}
	var way []segment
	for _, i := range item {
		way = append(way, segment{kind: fieldSegment, name: "items"}, segment{kind: itemSegment, index: int(i)})
	}
	way = append(way, parsePath(e.Field)...)
	want := with(p.tree.asAny(0), way, asAny(e.Value))
	p.find(0, way, e.Value)
	for _, s := range p.found {
		var after tree
		edited := *d
		edited.text = s.apply(d.text)
		if parse(&after, &edited) == nil && reflect.DeepEqual(after.asAny(0), want) {
			return s, true
		}
	}
	return splice{}, false
}

// asAny gives the value of a node as JSON has it.
func (t *tree) asAny(n int32) any {
	at := &t.nodes[n]
	switch at.kind {
	case nullNode:
		return nil
	case falseNode:
		return false
	case trueNode:
		return true
	case numberNode:
		return json.Number(at.text)
	case stringNode:
		return at.text
	case sequenceNode:
		list := []any{}
		for i := at.child; i != 0; i = t.nodes[i].next {
			list = append(list, t.asAny(i))
		}
		return list
	case mappingNode:
		m := map[string]any{}
		for i := at.child; i != 0; i = t.nodes[t.nodes[i].next].next {
			key, _ := t.nodes[i].key()
			m[key] = t.asAny(t.nodes[i].next)
		}
		return m
	}
	return nil
}

// placer looks for places in one document.
type placer struct {
	doc   *document
	style style
	tree  tree
	found []splice // the places, the best one first
}

func (p *placer) add(at, removed int, text string) {
	if at >= 0 && at+removed <= len(p.doc.text) {
		p.found = append(p.found, splice{at, removed, text})
	}
}

// find follows the way from a node as far as the document goes, and writes what is missing there.
func (p *placer) find(n int32, way []segment, value any) {
	parent := int32(-1) // the key under which n is
	for i, s := range way {
		key, child, ok := p.tree.entry(n, s)
		if !ok {
			if p.tree.nodes[n].kind == mappingNode && s.kind == fieldSegment {
				p.insert(n, parent, s.name, nested(way[i+1:], value))
			}
			return
		}
		n, parent = child, key
		if p.tree.nodes[n].kind == nullNode && i+1 < len(way) {
			p.replace(n, parent, nested(way[i+1:], value))
			return
		}
	}
	list, ok := value.([]any)
	if count := p.tree.count(n); ok && p.tree.nodes[n].kind == sequenceNode && count > 0 && count < len(list) {
		p.extend(n, list[count:])
		return
	}
	p.replace(n, parent, value)
}

// entry follows one step of a way, and gives the key, if there is one, and the value.
func (t *tree) entry(n int32, s segment) (key, value int32, ok bool) {
	if s.kind == itemSegment {
		value, ok = t.item(n, s.index)
		return -1, value, ok
	}
	if t.nodes[n].kind != mappingNode {
		return 0, 0, false
	}
	for i := t.nodes[n].child; i != 0; i = t.nodes[t.nodes[i].next].next {
		if text, ok := t.nodes[i].key(); ok && text == s.name {
			return i, t.nodes[i].next, true
		}
	}
	return 0, 0, false
}

// nested wraps a value into mappings.
func nested(way []segment, value any) any {
	for _, s := range slices.Backward(way) {
		value = map[string]any{s.name: value}
	}
	return value
}

// offset gives the offset of a node in the text; of one that an alias stands for, that of the alias.
func (p *placer) offset(n int32) int { return p.offsetOf(p.tree.nodes[n].line, p.tree.nodes[n].column) }

func (p *placer) offsetOf(line, column int32) int {
	at := 0
	for l := p.doc.line; l < line; l++ {
		i := strings.IndexByte(p.doc.text[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
	}
	if line == p.doc.line {
		column -= p.doc.column - 1
	}
	return at + columnOffset(p.doc.text[at:], column)
}

// after gives what follows an offset.
func (p *placer) after(at int) string {
	if at < 0 {
		return ""
	}
	return p.doc.text[at:]
}

// siblings are the fields after which people write a field, the nearest first.
var siblings = map[string][]string{
	"clusterIP":  {"type"},
	"clusterIPs": {"clusterIP", "type"},
	"nodePort":   {"targetPort", "port", "protocol"},
}

// insert writes a key that a mapping does not have.
func (p *placer) insert(n, parent int32, key string, value any) {
	first := p.tree.nodes[n].child
	if at := p.offset(n); strings.HasPrefix(p.after(at), "{") {
		p.insertFlow(at, first, p.style.entry(key, value))
		return
	}
	if first == 0 {
		return
	}
	entry := p.style.entry(key, value)
	indent := strings.Repeat(" ", int(p.tree.nodes[first].column-1))
	for _, name := range siblings[key] {
		if _, sibling, ok := p.tree.entry(n, segment{kind: fieldSegment, name: name}); ok {
			p.afterLine(p.offset(sibling), indent+entry)
		}
	}
	if n == 0 {
		p.atEnd(indent + entry)
	}
	if parent >= 0 && p.tree.nodes[parent].line < p.tree.nodes[first].line {
		p.afterLine(p.offset(parent), indent+entry)
	}
	p.afterLine(p.offset(p.tree.nodes[first].next), indent+entry)
	at := p.offset(first)
	if at >= 0 {
		p.add(at, 0, entry+lineEnd(p.doc.text, at)+indent)
	}
}

// insertFlow writes an entry as the first one of the flow mapping at an offset.
func (p *placer) insertFlow(at int, first int32, entry string) {
	if first == 0 {
		p.add(at+1, 0, entry)
		return
	}
	next := p.offset(first)
	if next < at {
		return
	}
	gap := p.style.space
	if between := p.doc.text[at+1 : next]; strings.Contains(between, "\n") {
		gap = lineEnd(p.doc.text, at) + between[strings.LastIndexByte(between, '\n')+1:]
	}
	p.add(next, 0, entry+","+gap)
}

// afterLine writes a line after the one with an offset.
func (p *placer) afterLine(at int, line string) {
	if at < 0 {
		return
	}
	end := lineEnd(p.doc.text, at)
	i := strings.IndexByte(p.doc.text[at:], '\n')
	if i < 0 {
		p.add(len(p.doc.text), 0, end+line)
		return
	}
	p.add(at+i+1, 0, line+end)
}

// atEnd writes a line after the last one that is neither blank nor a comment nor the end of the document.
func (p *placer) atEnd(line string) {
	at := len(p.doc.text)
	for at > 0 {
		start := strings.LastIndexByte(p.doc.text[:at-1], '\n') + 1
		if text := p.doc.text[start:at]; !isMarker(text, "...") && hasContent(text) {
			p.afterLine(start, line)
			return
		}
		at = start
	}
}

// replace writes a value in place of one that says nothing.
func (p *placer) replace(n, key int32, value any) {
	at := p.offset(n)
	text := p.style.text(value)
	rest := p.after(at)
	empty := strings.TrimRight(rest[:len(rest)-len(strings.TrimLeft(rest, "[] \t"))], " \t")
	switch {
	case p.tree.nodes[n].kind == sequenceNode:
		p.add(at, len(empty), text)
	case strings.HasPrefix(rest, `""`), strings.HasPrefix(rest, `''`):
		p.add(at, 2, text)
	default:
		if end := strings.IndexAny(rest, " \t\r\n,}]#"); end >= 0 {
			rest = rest[:end]
		}
		if saysNothing(rest) {
			p.add(at, len(rest), text)
		}
	}
	if key >= 0 && p.tree.nodes[n].kind == nullNode { // nothing at all is written after the key
		at := p.offset(key)
		if i := strings.IndexByte(p.after(at), ':'); i >= 0 {
			p.add(at+i+1, 0, " "+text)
		}
	}
}

// saysNothing reports whether a scalar without quotes is null or zero.
func saysNothing(plain string) bool {
	var n node
	n.resolvePlain(plain)
	return n.kind == nullNode || n.kind == numberNode && n.text == "0"
}

// extend writes values after the last one of a list.
func (p *placer) extend(n int32, values []any) {
	last := p.tree.nodes[n].child
	for p.tree.nodes[last].next != 0 {
		last = p.tree.nodes[last].next
	}
	at := p.offset(last)
	if at < 0 {
		return
	}
	if !strings.HasPrefix(p.after(p.offset(n)), "[") {
		start := strings.LastIndexByte(p.doc.text[:at], '\n') + 1
		column := 0
		if start == 0 {
			column = int(p.doc.column) - 1
		}
		dash := strings.IndexByte(p.doc.text[start:at], '-')
		if dash < 0 {
			return
		}
		indent := strings.Repeat(" ", column+dash)
		var lines []string
		for _, v := range values {
			lines = append(lines, indent+"- "+p.style.text(v))
		}
		p.afterLine(at, strings.Join(lines, lineEnd(p.doc.text, at)))
		return
	}
	var added strings.Builder
	for _, v := range values {
		added.WriteString("," + p.style.space + p.style.text(v))
	}
	end := len(p.tree.nodes[last].text)
	for _, quotes := range []int{0, 2} {
		p.add(at+end+quotes, 0, added.String())
	}
}
