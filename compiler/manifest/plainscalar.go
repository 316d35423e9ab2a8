package manifest

import "strings"

// byteClass is what a byte can mean in a scalar without quotes.
type byteClass uint8

const (
	plainByte byteClass = iota
	flowByte            // ends a scalar in a flow collection
	colonByte           // may end a key
	hashByte            // may begin a comment
	breakByte           // ends the line
	otherByte           // not for the plain parser: control characters, tabs, anything that is not ASCII
)

var class = func() (t [256]byteClass) {
	for c := range t {
		if c < ' ' || c > '~' {
			t[c] = otherByte
		}
	}
	for _, c := range []byte(",[]{}?") {
		t[c] = flowByte
	}
	t[':'], t['#'], t['\n'], t['\r'] = colonByte, hashByte, breakByte, breakByte
	return t
}()

// maxKey is the longest key, in characters, that YAML (§7.4.2) allows before a colon; less than the 1024 to be sure.
const maxKey = 1000

// scalar reads a scalar that ends on its line into the node at index.
func (p *plainParser) scalar(index int32, flow bool) bool {
	start := p.offset
	end, ok := p.scalarEnd(flow)
	if !ok || end-start > maxKey && end < len(p.text) && p.text[end] == ':' {
		return false
	}
	p.offset = end
	at := &p.tree.nodes[index]
	if c := p.text[start]; c == '"' || c == '\'' {
		at.kind, at.text = stringNode, p.text[start+1:end-1]
	} else {
		at.resolvePlain(p.text[start:end])
	}
	return true
}

// scalarEnd gives the end of the scalar at offset, and whether it is one that this parser reads.
func (p *plainParser) scalarEnd(flow bool) (int, bool) {
	switch c := p.next(); c {
	case '"', '\'':
		return p.quotedEnd(c)
	case 0, '?', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '%', '@', '`', ':':
		return 0, false
	case '-':
		if p.offset+1 == len(p.text) || flow || class[p.text[p.offset+1]] != plainByte || p.text[p.offset+1] == ' ' {
			return 0, false
		}
	}
	end := p.offset // after the last character that is not a space
	for at := p.offset; at < len(p.text); at++ {
		c := p.text[at]
		switch class[c] {
		case plainByte:
			if c == ' ' {
				continue
			}
		case flowByte:
			if flow {
				return end, c != '?'
			}
		case colonByte:
			if at+1 == len(p.text) || strings.IndexByte(" \r\n", p.text[at+1]) >= 0 {
				return end, true
			}
			if flow && class[p.text[at+1]] == flowByte {
				return 0, false
			}
		case hashByte:
			if p.text[at-1] == ' ' {
				return end, true
			}
		case breakByte:
			return end, true
		case otherByte:
			return 0, false
		}
		end = at + 1
	}
	return end, true
}

// quotedEnd gives the end of a quoted scalar without escapes.
func (p *plainParser) quotedEnd(quote byte) (int, bool) {
	for at := p.offset + 1; at < len(p.text); at++ {
		switch c := p.text[at]; {
		case c == quote:
			after := at + 1
			return after, after == len(p.text) || p.text[after] != quote
		case c == '\\' && quote == '"', class[c] == otherByte, class[c] == breakByte:
			return 0, false
		}
	}
	return 0, false
}

// flow reads a flow collection that ends on its line.
func (p *plainParser) flow(index int32) bool {
	if p.depth++; p.depth > maxDepth {
		return false
	}
	at := &p.tree.nodes[index]
	at.line, at.column = p.line, p.column()
	closing := byte(']')
	at.kind = sequenceNode
	if p.text[p.offset] == '{' {
		at.kind, closing = mappingNode, '}'
	}
	p.offset++
	if p.spaces() == closing {
		p.offset++
		p.depth--
		return true
	}
	for prev := int32(0); ; {
		if closing == '}' {
			key := p.tree.add(node{line: p.line, column: p.column()})
			p.tree.link(index, prev, key)
			if !p.flowScalar(key) || p.tree.nodes[key].text == "<<" || !p.colon() || p.spaces() == 0 {
				return false
			}
			prev = key
		}
		child := p.tree.add(node{})
		p.tree.link(index, prev, child)
		if !p.flowValue(child) {
			return false
		}
		prev = child
		c := p.spaces()
		p.offset++
		if c == closing {
			p.depth--
			return true
		}
		if c != ',' || p.spaces() == 0 {
			return false
		}
	}
}

// spaces skips spaces and gives the next character.
func (p *plainParser) spaces() byte {
	for p.next() == ' ' {
		p.offset++
	}
	return p.next()
}

func (p *plainParser) flowValue(index int32) bool {
	if c := p.next(); c == '{' || c == '[' {
		return p.flow(index)
	}
	at := &p.tree.nodes[index]
	at.line, at.column = p.line, p.column()
	if !p.flowScalar(index) {
		return false
	}
	c := p.spaces()
	return c == ',' || c == ']' || c == '}'
}

// flowScalar reads a scalar, which must not be empty.
func (p *plainParser) flowScalar(index int32) bool {
	start := p.offset
	return p.scalar(index, true) && p.offset > start
}

// literal reads a literal block scalar (|, |-, |+) and goes to the line after it. The block is indented more than the
// collection it is in.
func (p *plainParser) literal(at *node, indent int) bool {
	chomp := byte(0)
	p.offset++
	if c := p.next(); c == '-' || c == '+' {
		chomp = c
		p.offset++
	}
	rest, ok := strings.CutPrefix(strings.TrimPrefix(p.text[p.offset:], "\r"), "\n")
	if !ok {
		return false
	}
	start := len(p.text) - len(rest)
	width := len(rest) - len(strings.TrimLeft(rest, " ")) // of the block's own indentation
	if width <= max(indent, 0) || width == len(rest) || strings.IndexByte("\r\n\t", rest[width]) >= 0 {
		return false
	}
	value, end, lines, ok := literalLines(p.text, start, width)
	if !ok {
		return false
	}
	content := strings.TrimRight(value, "\n")
	switch chomp {
	case 0:
		value = value[:len(content)+1]
	case '-':
		value = content
	}
	at.kind, at.text = stringNode, value
	p.line += lines
	p.startLine(end)
	return true
}

// literalLines gives the lines of a literal block that begins at start, without their indentation; where the block ends,
// and how many lines it has.
func literalLines(text string, start, width int) (value string, end int, lines int32, ok bool) {
	var b strings.Builder
	for start < len(text) {
		i := strings.IndexByte(text[start:], '\n')
		if i < 0 {
			return "", 0, 0, false // whether the last line has a line feed matters: leave it to the library
		}
		line := strings.TrimSuffix(text[start:start+i], "\r")
		spaces := len(line) - len(strings.TrimLeft(line, " "))
		if spaces < width && spaces < len(line) {
			break
		}
		for j := range len(line) {
			if c := line[j]; class[c] == otherByte && c != '\t' || c == '\r' {
				return "", 0, 0, false
			}
		}
		b.WriteString(line[min(spaces, width):])
		b.WriteByte('\n')
		start += i + 1
		lines++
	}
	return b.String(), start, lines, true
}
