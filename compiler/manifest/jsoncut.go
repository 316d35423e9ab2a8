package manifest

import "strings"

// cutValues cuts a document at the JSON values it holds, which may follow each other without a marker. Where that is not
// what it is, it stays as it is.
func cutValues(d document) []document {
	if !isJSON(d.text) {
		return []document{d}
	}
	var docs []document
	c := newCursor(&d)
	c.advance(len(d.text) - len(afterMarker(d.text)))
	for {
		at := skipSpace(d.text, c.offset)
		if at == len(d.text) {
			return docs
		}
		c.advance(at)
		end, ok := valueEnd(d.text, at)
		if d.text[at] != '{' || !ok {
			return []document{d}
		}
		if docs = append(docs, c.document(d.file, end)); len(docs) > maxDocuments {
			return docs // which is too many, whatever follows
		}
		c.advance(end)
	}
}

// cutJSONItems cuts at the elements of the array under the key "items" of a JSON object.
func cutJSONItems(d *document) (cutList, bool) {
	at := skipSpace(d.text, len(d.text)-len(afterMarker(d.text))) + 1
	for {
		if at = skipSpace(d.text, at); at == len(d.text) || d.text[at] != '"' {
			return cutList{}, false
		}
		end, ok := valueEnd(d.text, at)
		if !ok {
			return cutList{}, false
		}
		key := d.text[at:end]
		if at = skipSpace(d.text, end); at == len(d.text) || d.text[at] != ':' {
			return cutList{}, false
		}
		at = skipSpace(d.text, at+1)
		if key == `"items"` && at < len(d.text) && d.text[at] == '[' {
			return cutElements(d, at)
		}
		if at, ok = valueEnd(d.text, at); !ok {
			return cutList{}, false
		}
		if at = skipSpace(d.text, at); at == len(d.text) || d.text[at] != ',' {
			return cutList{}, false
		}
		at++
	}
}

// cutElements cuts at the elements of the array at an offset.
func cutElements(d *document, array int) (cutList, bool) {
	var cut cutList
	c := newCursor(d)
	for at := skipSpace(d.text, array+1); ; at = skipSpace(d.text, at+1) {
		end, ok := valueEnd(d.text, at)
		// What is no object is wrong there, and may be wrong in another way on its own: 0{} is a word of YAML, but not within
		// brackets.
		if !ok || d.text[at] != '{' {
			return cutList{}, false
		}
		c.advance(at)
		cut.items = append(cut.items, c.document(d.file, end))
		switch at = skipSpace(d.text, end); {
		case at == len(d.text):
			return cutList{}, false
		case len(cut.items) > maxDocuments:
			return cutList{}, false
		case d.text[at] == ']':
			cut.header = blanked(d, array+1, at)
			return cut, true
		case d.text[at] != ',':
			return cutList{}, false
		}
	}
}

func skipSpace(text string, at int) int {
	for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
		at++
	}
	return at
}

// valueEnd gives the end of the JSON value at an offset. It counts brackets outside strings and checks nothing else: the
// parser will.
func valueEnd(text string, at int) (int, bool) {
	depth := 0
	for i := at; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i, i > at
			}
		case '"':
			if i = stringEnd(text, i); i < 0 {
				return 0, false
			}
		case ',':
			if depth == 0 {
				return i, i > at
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1, true
		}
	}
	return 0, false
}

// stringEnd gives the offset of the quote that ends the string at an offset, or -1.
func stringEnd(text string, at int) int {
	for i := at + 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}
