package manifest

import "strings"

// plainParser reads the YAML that manifests are made of: block mappings and sequences, scalars and flow collections that
// end on their line, and literal blocks; all in ASCII, without tabs, anchors, tags or escapes. What it reads it reads as
// the YAML library does (a fuzz target compares them), ten times as fast; at anything else it gives up, and the document
// is left to the library. It therefore never reports an error.
type plainParser struct {
	tree      *tree
	text      string
	offset    int // of the first character, after the indentation, of the line to be read
	line      int32
	lineStart int // offset of the line's first column; negative on the first line of an item
	indent    int // the column of offset, from 0; -1 at the end
	depth     int
	broken    bool // something was found that is not for this parser
}

// parsePlain reads a document and reports whether it could.
func parsePlain(t *tree, d *document) bool {
	t.reset()
	p := plainParser{tree: t, text: d.text, line: d.line, lineStart: 1 - int(d.column)}
	p.skipLines()
	if p.indent == 0 && isMarker(p.text[p.offset:], "---") {
		p.offset += 3
		p.endLine()
	}
	root := t.add(node{line: d.line, column: d.column})
	if p.indent >= 0 && !p.broken {
		p.block(root, p.indent)
	}
	return !p.broken && p.indent < 0
}

// next gives the next byte, 0 at the end: no token begins with it.
func (p *plainParser) next() byte {
	if p.offset < len(p.text) {
		return p.text[p.offset]
	}
	return 0
}

// giveUp leaves the document to the library.
func (p *plainParser) giveUp() {
	p.broken = true
	p.indent = -1
}

// startLine begins the next line at offset.
func (p *plainParser) startLine(offset int) {
	p.offset, p.lineStart = offset, offset
	p.line++
	p.skipLines()
}

// skipLines goes to the first character at or after offset that is not of a blank line or a comment.
func (p *plainParser) skipLines() {
	for p.offset < len(p.text) {
		switch c := p.text[p.offset]; c {
		case ' ':
			p.offset++
		case '\n':
			p.offset++
			p.lineStart = p.offset
			p.line++
		case '#':
			end := p.comment(p.offset)
			if end < 0 {
				return
			}
			p.offset = end
		case '\r':
			if p.offset++; p.offset == len(p.text) || p.text[p.offset] != '\n' {
				p.giveUp()
				return
			}
		default:
			p.indent = p.offset - p.lineStart
			if p.indent == 0 && isMarker(p.text[p.offset:], "...") {
				p.giveUp()
			}
			return
		}
	}
	p.indent = -1
}

// comment gives the end of the comment at offset at, not including the line feed.
func (p *plainParser) comment(at int) int {
	for ; at < len(p.text); at++ {
		switch class[p.text[at]] {
		case otherByte:
			if p.text[at] != '\t' {
				p.giveUp()
				return -1
			}
		case breakByte:
			if p.text[at] == '\n' {
				return at
			}
			if !strings.HasPrefix(p.text[at:], "\r\n") {
				p.giveUp()
				return -1
			}
		case plainByte, flowByte, colonByte, hashByte:
		}
	}
	return at
}

// endLine skips what may follow a value: spaces and a comment. Then it begins the next line.
func (p *plainParser) endLine() {
	at := p.offset
	for at < len(p.text) && p.text[at] == ' ' {
		at++
	}
	if at < len(p.text) && p.text[at] == '#' && at > p.offset {
		if at = p.comment(at); at < 0 {
			return
		}
	}
	if strings.HasPrefix(p.text[at:], "\r\n") {
		at++
	}
	switch {
	case at == len(p.text):
		p.offset, p.indent = at, -1
	case p.text[at] == '\n':
		p.startLine(at + 1)
	default:
		p.giveUp()
	}
}

// lineEnded reports whether only spaces and a comment follow offset on its line.
func (p *plainParser) lineEnded() bool {
	for at := p.offset; at < len(p.text); at++ {
		switch c := p.text[at]; {
		case c == ' ':
		case c == '\n', strings.HasPrefix(p.text[at:], "\r\n"):
			return true
		default:
			return c == '#' && at > p.offset
		}
	}
	return true
}

// block reads the collection that begins at the current line and column into the node at index.
func (p *plainParser) block(index int32, indent int) {
	if p.depth++; p.depth > maxDepth {
		p.giveUp()
		return
	}
	at := &p.tree.nodes[index]
	at.line, at.column = p.line, int32(indent)+1
	if p.isDash() {
		at.kind = sequenceNode
		p.sequence(index, indent)
	} else {
		at.kind = mappingNode
		p.mapping(index, indent)
	}
	if p.indent > indent {
		p.giveUp() // the line belongs to no collection, or continues a scalar
	}
	p.depth--
}

// isDash reports whether the line has an item of a sequence.
func (p *plainParser) isDash() bool { return isDash(p.text[p.offset:]) }

func (p *plainParser) sequence(index int32, indent int) {
	for prev := int32(0); p.indent == indent && p.isDash(); {
		p.offset++
		item := p.tree.add(node{line: p.line, column: p.column()})
		p.tree.link(index, prev, item)
		prev = item
		if p.lineEnded() {
			p.endLine()
			if p.indent > indent {
				p.block(item, p.indent)
			}
			continue
		}
		p.spaces()
		p.indent = p.offset - p.lineStart
		if p.isDash() || p.isKey() {
			p.block(item, p.indent)
		} else {
			p.inline(item, indent)
		}
	}
}

func (p *plainParser) mapping(index int32, indent int) {
	for prev := int32(0); p.indent == indent; {
		if p.isDash() {
			p.giveUp()
			return
		}
		key := p.tree.add(node{line: p.line, column: p.column()})
		p.tree.link(index, prev, key)
		if !p.scalar(key, false) || !p.colon() {
			p.giveUp()
			return
		}
		if n := &p.tree.nodes[key]; n.plain && n.text == "<<" {
			p.giveUp()
			return
		}
		value := p.tree.add(node{line: p.line, column: p.column()})
		p.tree.link(index, key, value)
		prev = value
		p.entry(value, indent)
	}
}

// entry reads what follows a key and its colon.
func (p *plainParser) entry(value int32, indent int) {
	if !p.lineEnded() {
		p.spaces()
		p.inline(value, indent)
		return
	}
	p.endLine()
	switch {
	case p.indent > indent:
		p.block(value, p.indent)
	case p.indent == indent && p.isDash(): // a sequence may stand under its key without indentation
		at := &p.tree.nodes[value]
		at.kind, at.line, at.column = sequenceNode, p.line, int32(indent)+1
		p.sequence(value, indent)
	}
}

// inline reads a value that begins on the current line, and goes to the next one. The value is in a collection of the
// given indentation.
func (p *plainParser) inline(index int32, indent int) {
	at := &p.tree.nodes[index]
	at.line, at.column = p.line, p.column()
	ok := false
	switch p.next() {
	case '|':
		if p.literal(at, indent) {
			return
		}
	case '{', '[':
		ok = p.flow(index)
	default:
		ok = p.scalar(index, false)
	}
	if !ok {
		p.giveUp()
		return
	}
	p.endLine()
}

func (p *plainParser) column() int32 { return int32(p.offset-p.lineStart) + 1 }

// colon reads the colon after a key.
func (p *plainParser) colon() bool {
	if p.spaces() != ':' {
		return false
	}
	p.offset++
	return p.offset == len(p.text) || strings.IndexByte(" \r\n", p.text[p.offset]) >= 0
}

// isKey reports whether a key and its colon begin at offset.
func (p *plainParser) isKey() bool {
	q := *p
	end, ok := q.scalarEnd(false)
	if !ok {
		return false
	}
	q.offset = end
	return q.colon()
}
