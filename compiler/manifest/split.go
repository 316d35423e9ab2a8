package manifest

import (
	"strings"
	"unicode/utf8"
)

// document is a piece of a file that is parsed on its own: a YAML document with its marker and the comments before it, a
// JSON value, or an item of a List.
type document struct {
	file         string
	text         string
	line, column int32 // where text begins in the file, from 1
}

// splitDocuments cuts a file at its document markers, and says of each document whether a line of it begins with "items:",
// as that of a List does. It looks at the beginnings of lines only: YAML (§9.1.2) allows a
// marker nowhere else, and no scalar may contain one.
func splitDocuments(file, text string, line int32, add func(d document, items bool)) {
	start, startLine := 0, line
	begun := false // a marker or content was seen since start
	items := false
	emit := func(end int) {
		if begun {
			add(document{file, text[start:end], startLine, 1}, items)
		}
		begun, items = false, false
	}
	for at := 0; at < len(text); line++ {
		items = items || text[at] == itemsKey[0] && strings.HasPrefix(text[at:], itemsKey)
		if begun && !mayBeMarker(text[at]) {
			// Nearly every line: within a document only markers matter.
			i := strings.IndexByte(text[at:], '\n')
			if i < 0 {
				break
			}
			at += i + 1
			continue
		}
		end := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		switch l := strings.TrimPrefix(text[at:end], byteOrderMark); {
		case isMarker(l, "---"):
			if begun {
				emit(at)
				start, startLine = at, line
			}
			begun = true
		case isMarker(l, "..."):
			emit(end)
			start, startLine = end, line+1
		case !begun:
			begun = hasContent(l)
		}
		at = end
	}
	emit(len(text))
}

// mayBeMarker reports whether a line that begins with the byte may be a marker, or begin with a byte order mark.
func mayBeMarker(first byte) bool { return first == '-' || first == '.' || first == byteOrderMark[0] }

func isMarker(line, marker string) bool {
	return strings.HasPrefix(line, marker) && (len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0)
}

// hasContent reports whether a line before a document has more than white space, a comment or a directive.
func hasContent(line string) bool {
	l := strings.TrimLeft(line, " \t\r\n")
	return l != "" && l[0] != '#' && line[0] != '%'
}

// cursor walks over a text and knows line and column.
type cursor struct {
	text         string
	offset       int
	line, column int32
}

func newCursor(d *document) cursor { return cursor{d.text, 0, d.line, d.column} }

// advance moves to a later offset.
func (c *cursor) advance(to int) {
	passed := c.text[c.offset:to]
	if n := strings.Count(passed, "\n"); n > 0 {
		c.line += int32(n)
		c.column = 1
		passed = passed[strings.LastIndexByte(passed, '\n')+1:]
	}
	c.column += int32(utf8.RuneCountInString(passed))
	c.offset = to
}

// document gives the piece from the cursor to end as a document of its own.
func (c *cursor) document(file string, end int) document {
	return document{file, c.text[c.offset:end], c.line, c.column}
}
