package manifest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
)

// syntaxError is a place in a document that is not YAML, or not JSON.
type syntaxError struct {
	line, column int32
	message      string
}

var libraryMessage = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// libraryError makes the library's message one of ours, with the right line.
func libraryError(d *document, text string, err error) *syntaxError {
	// Version 3 gives the line at which the mapping or list with the fault begins; version 2, whose messages kubectl
	// shows, that of the fault.
	var v any
	if better := yamlv2.Unmarshal([]byte(text), &v); better != nil {
		err = better
	}
	e := &syntaxError{line: d.line, message: err.Error()}
	lines := newLineMap(d)
	if m := libraryMessage.FindStringSubmatch(e.message); m != nil {
		e.message = m[2]
		line, err := strconv.Atoi(m[1])
		if err != nil {
			line = 1 // it does not say so of the first line
		} else if strings.HasPrefix(e.message, "did not find expected") {
			line++ // what its parser says, not its scanner, has lines from 0
		}
		e.line = lines.line(line)
	}
	if name, ok := strings.CutPrefix(e.message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		before, _, _ := strings.Cut(d.text, "*"+name)
		e.line = d.line + int32(strings.Count(before, "\n"))
	}
	if at := strings.Split(text, "\n")[e.line-d.line]; strings.Contains(at[:len(at)-len(strings.TrimLeft(at, " \t"))], "\t") {
		e.message += ": YAML takes no tabs as indentation"
	}
	e.message = "not YAML: " + e.message
	return e
}

// checkCharacters finds the first character that no YAML document may contain. The library finds it, too, but not its
// place.
func checkCharacters(d *document) *syntaxError {
	line, column := d.line, d.column
	for i, r := range d.text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(d.text[i:], "\uFFFD"):
			return &syntaxError{line, column, "not UTF-8"}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return &syntaxError{line, column, fmt.Sprintf("a control character, %U", r)}
		case r == '\n':
			line, column = line+1, 0
		}
		column++
	}
	return nil
}

// lineMap translates the library's line numbers. YAML 1.1 (§4.2) ends a line at NEL, LS and PS, too; editors do not.
type lineMap struct {
	first int32
	last  int32
	real  []int32 // per line of the library, the line of the document; nil: the same
}

func newLineMap(d *document) lineMap {
	m := lineMap{first: d.line, last: d.line + int32(strings.Count(strings.TrimSuffix(d.text, "\n"), "\n"))}
	if !strings.ContainsAny(d.text, "\u0085\u2028\u2029") {
		return m
	}
	line := int32(0)
	m.real = []int32{0}
	for _, r := range d.text {
		switch r {
		case '\n':
			line++
			m.real = append(m.real, line)
		case '\u0085', '\u2028', '\u2029':
			m.real = append(m.real, line)
		}
	}
	return m
}

// line gives the line in the file for a line, from 1, of the library.
func (m lineMap) line(n int) int32 {
	line := int32(max(n-1, 0))
	if m.real != nil {
		line = m.real[min(int(line), len(m.real)-1)]
	}
	return min(m.first+line, m.last)
}
