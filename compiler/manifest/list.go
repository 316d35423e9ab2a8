package manifest

import (
	"strings"
	"unicode/utf8"
)

// A cluster's services come as one List of ten thousand items. To parse the items in parallel, and to have the text of
// each, Lists are cut at their items where that is certain to be right: where it is not, they are parsed whole.

// cutList is a List that was cut.
type cutList struct {
	header document // the List with its items blanked
	items  []document
}

// cutItems cuts a document that looks like a List.
func cutItems(d *document) (cutList, bool) {
	if isJSON(d.text) {
		return cutJSONItems(d)
	}
	return cutBlockItems(d)
}

// blanked gives a document with a part of its text replaced by blanks, so that the rest keeps its places.
func blanked(d *document, from, to int) document {
	part := d.text[from:to]
	blanks := strings.Repeat("\n", strings.Count(part, "\n")) +
		strings.Repeat(" ", utf8.RuneCountInString(part[strings.LastIndexByte(part, '\n')+1:]))
	h := *d
	h.text = d.text[:from] + blanks + d.text[to:]
	return h
}

// cutBlockItems cuts at the dashes of a block sequence under the key "items" of the document's outermost mapping.
//
// A line that begins with a dash in the right column may be something else only within a quoted scalar or a flow
// collection, which the YAML library lets run over lines of any indentation. The item before such a line does not parse
// by itself, for the quote or bracket is open at its end; and then the document is parsed whole.
func cutBlockItems(d *document) (cutList, bool) {
	first, ok := itemsLine(d.text)
	if !ok {
		return cutList{}, false
	}
	var cut cutList
	c := newCursor(d)
	dash := -1 // the column of the dashes, from 0
	end := len(d.text)
	for at, next := first, 0; at < end; at = next {
		next = lineAfter(d.text, at)
		line := d.text[at:next]
		column := len(line) - len(strings.TrimLeft(line, " "))
		switch rest := line[column:]; {
		case rest == "" || strings.IndexByte("#\r\n", rest[0]) >= 0:
		case isDash(rest) && (dash < 0 || column == dash):
			if dash >= 0 {
				cut.items = append(cut.items, c.document(d.file, at))
			} else {
				first = at
			}
			dash = column
			c.advance(at + column + 1)
		case dash >= 0 && column == 0:
			end = at
		case column <= dash || dash < 0 || len(cut.items) > maxDocuments:
			return cutList{}, false
		}
	}
	if dash < 0 || len(cut.items) > maxDocuments {
		return cutList{}, false
	}
	cut.items = append(cut.items, c.document(d.file, end))
	cut.header = blanked(d, first, end)
	return cut, true
}

// isDash reports whether a line has, after its indentation, an item of a sequence.
func isDash(rest string) bool {
	return rest[0] == '-' && (len(rest) == 1 || strings.IndexByte(" \r\n", rest[1]) >= 0)
}

// itemsKey is how the line above the items of a List begins.
const itemsKey = "items:"

// itemsLine gives the offset after the line "items:" in the first column.
func itemsLine(text string) (int, bool) {
	at := 0
	if !strings.HasPrefix(text, itemsKey) {
		i := strings.Index(text, "\n"+itemsKey)
		if i < 0 {
			return 0, false
		}
		at = i + 1
	}
	next := lineAfter(text, at)
	return next, strings.TrimRight(text[at:next], " \r\n") == itemsKey
}

// lineAfter gives the offset of the line after the one at offset at.
func lineAfter(text string, at int) int {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}
