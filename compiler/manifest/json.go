package manifest

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonParser reads JSON (RFC 8259), and nothing that is only nearly JSON: that is left to the YAML library, which reads
// flow mappings with comments, bare words and the like.
type jsonParser struct {
	tree      *tree
	text      string
	offset    int
	line      int32
	lineStart int   // the offset at which column 1 is; negative on the first line of an item
	wide      int32 // bytes before offset on this line that are not the first of their character
	depth     int
}

// parseJSON reads a document that is one JSON value, and reports whether it is one.
func parseJSON(t *tree, d *document) bool {
	t.reset()
	p := jsonParser{tree: t, text: d.text, line: d.line, lineStart: 1 - int(d.column)}
	p.marker()
	p.space()
	root := t.add(node{})
	if !p.value(root) {
		return false
	}
	p.space()
	return p.offset == len(p.text)
}

// marker skips the document marker of YAML.
func (p *jsonParser) marker() {
	if isMarker(p.text, "---") {
		p.offset = 3
	}
}

func (p *jsonParser) space() {
	for ; p.offset < len(p.text); p.offset++ {
		switch p.text[p.offset] {
		case ' ', '\t', '\r':
		case '\n':
			p.line++
			p.lineStart, p.wide = p.offset+1, 0
		default:
			return
		}
	}
}

// next gives the next byte, 0 at the end: no token begins with it.
func (p *jsonParser) next() byte {
	if p.offset < len(p.text) {
		return p.text[p.offset]
	}
	return 0
}

// value reads a value into the node at index.
func (p *jsonParser) value(index int32) bool {
	at := &p.tree.nodes[index]
	at.line, at.column = p.line, int32(p.offset-p.lineStart)-p.wide+1
	switch c := p.next(); {
	case c == '{':
		at.kind = mappingNode
		return p.collection(index, '}')
	case c == '[':
		at.kind = sequenceNode
		return p.collection(index, ']')
	case c == '"':
		at.kind = stringNode
		return p.quoted(at)
	case c == '-' || '0' <= c && c <= '9':
		return p.number(at)
	default:
		return p.word(at)
	}
}

// collection reads an object or an array up to its closing bracket.
func (p *jsonParser) collection(index int32, closing byte) bool {
	if p.depth++; p.depth > maxDepth {
		return false
	}
	p.offset++
	p.space()
	if p.next() == closing {
		p.offset++
		p.depth--
		return true
	}
	for prev := int32(0); ; {
		if closing == '}' {
			key := p.tree.add(node{})
			p.tree.link(index, prev, key)
			if p.next() != '"' || !p.value(key) {
				return false
			}
			if p.space(); p.next() != ':' {
				return false
			}
			p.offset++
			p.space()
			prev = key
		}
		child := p.tree.add(node{})
		p.tree.link(index, prev, child)
		if !p.value(child) {
			return false
		}
		prev = child
		p.space()
		c := p.next()
		p.offset++
		if c == closing {
			p.depth--
			return true
		}
		if c != ',' {
			return false
		}
		p.space()
	}
}

// quoted reads a string.
func (p *jsonParser) quoted(at *node) bool {
	start, escaped, ascii := p.offset, false, true
	for i := start + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.offset = i + 1
			at.text = p.text[start+1 : i]
			if !ascii {
				if !utf8.ValidString(at.text) {
					return false
				}
				p.wide += int32(len(at.text) - utf8.RuneCountInString(at.text))
			}
			return !escaped || json.Unmarshal([]byte(p.text[start:p.offset]), &at.text) == nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return false
}

// number reads a number. YAML reads each in the same way, but for those too large for a float.
func (p *jsonParser) number(at *node) bool {
	start := p.offset
	for p.offset < len(p.text) && strings.IndexByte("+-.0123456789eE", p.text[p.offset]) >= 0 {
		p.offset++
	}
	text := p.text[start:p.offset]
	if !isDecimal(text) && !json.Valid([]byte(text)) {
		return false
	}
	at.resolvePlain(text)
	return at.kind == numberNode
}

// word reads true, false or null.
func (p *jsonParser) word(at *node) bool {
	for _, w := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(p.text[p.offset:], w) {
			p.offset += len(w)
			at.resolvePlain(w)
			return true
		}
	}
	return false
}

// appendJSON writes a node as JSON, for types that decode themselves from it.
func (t *tree) appendJSON(b []byte, n int32) []byte {
	at := &t.nodes[n]
	switch at.kind {
	case nullNode:
		return append(b, "null"...)
	case falseNode:
		return append(b, "false"...)
	case trueNode:
		return append(b, "true"...)
	case numberNode:
		return append(b, at.text...)
	case stringNode:
		return appendJSONString(b, at.text)
	case sequenceNode:
		b = append(b, '[')
		for i := at.child; i != 0; i = t.nodes[i].next {
			if i != at.child {
				b = append(b, ',')
			}
			b = t.appendJSON(b, i)
		}
		return append(b, ']')
	case mappingNode:
		b = append(b, '{')
		for k := at.child; k != 0; k = t.nodes[t.nodes[k].next].next {
			if k != at.child {
				b = append(b, ',')
			}
			key, _ := t.nodes[k].key()
			b = append(appendJSONString(b, key), ':')
			b = t.appendJSON(b, t.nodes[k].next)
		}
		return append(b, '}')
	}
	return b
}

// appendJSONString writes a string as JSON does. Invalid UTF-8 does not get this far.
func appendJSONString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		return strconv.AppendQuote(b, s)
	}
	return append(b, quoted...)
}
