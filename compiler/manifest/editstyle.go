package manifest

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// style is how values are written into a document.
type style struct {
	json  bool   // keys and strings in quotes
	space string // after colons and commas
}

var (
	yamlStyle = style{space: " "}
	jsonStyle = style{json: true, space: " "}
)

// styleOf gives the style of a document: JSON in JSON, tight where the document is.
func styleOf(d *document) style {
	var t tree
	if !isJSON(d.text) || !parseJSON(&t, d) {
		return yamlStyle
	}
	if !strings.Contains(d.text, `": `) {
		return style{json: true}
	}
	return jsonStyle
}

// text writes a value on one line.
func (s style) text(value any) string {
	switch v := value.(type) {
	case int:
		return strconv.Itoa(v)
	case string:
		return s.scalar(v)
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = s.text(v[i])
		}
		return "[" + strings.Join(words, ","+s.space) + "]"
	case map[string]any:
		var words []string
		for _, key := range sortedKeys(v) {
			words = append(words, s.entry(key, v[key]))
		}
		return "{" + strings.Join(words, ","+s.space) + "}"
	default:
		panic("manifest: an edit has a value of a type that edits do not have")
	}
}

// entry writes a key and its value.
func (s style) entry(key string, value any) string {
	return s.scalar(key) + ":" + s.space + s.text(value)
}

// scalar writes a string. What is neither a name nor an IPv4 address is quoted: an IPv6 address of digits alone is a
// number to YAML 1.1, in base sixty.
func (s style) scalar(text string) string {
	var n node
	n.resolvePlain(text)
	if s.json || n.kind != stringNode || !isWord(text) {
		return string(appendJSONString(nil, text))
	}
	return text
}

func isWord(text string) bool {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Is4()
	}
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', i > 0 && '0' <= c && c <= '9':
		default:
			return false
		}
	}
	return text != ""
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
