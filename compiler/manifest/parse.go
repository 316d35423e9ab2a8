package manifest

import "strings"

// parse reads a document into a tree, the fast way where it can. A document without content has a root of nullNode.
func parse(t *tree, d *document) *syntaxError {
	if err := checkSize(d); err != nil {
		t.reset()
		return err
	}
	if isJSON(d.text) {
		if parseJSON(t, d) {
			return nil
		}
	} else if parsePlain(t, d) {
		return nil
	}
	return parseYAML(t, d)
}

// isJSON reports whether a document looks like a JSON object, which makes it a flow mapping of YAML at least.
func isJSON(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(afterMarker(text), " \t\r\n"), "{")
}

// afterMarker gives the text after the document marker, if there is one.
func afterMarker(text string) string {
	if isMarker(text, "---") {
		return text[3:]
	}
	return text
}
