package doctest

import (
	"regexp"
	"strings"
	"testing"
)

// anything stands, in what a document shows, for what differs by nature from one run to the next: an age, a random choice.
// Within a line it is any text of that line, alone on a line any number of lines.
const anything = "…"

// match reports whether a command printed what a document shows. Space at the ends of lines, and empty lines at the end,
// do not count.
func match(want, got string) bool {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for _, line := range lines(want) {
		if line == anything {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		for i, text := range strings.Split(line, anything) {
			if i > 0 {
				pattern.WriteString(`.*`)
			}
			pattern.WriteString(regexp.QuoteMeta(text))
		}
		pattern.WriteString(`\n`)
	}
	pattern.WriteString(`\z`)
	text := ""
	for _, line := range lines(got) {
		text += line + "\n"
	}
	return regexp.MustCompile(pattern.String()).MatchString(text)
}

// lines gives the lines of a text without what does not count.
func lines(text string) []string {
	text = strings.TrimRight(text, " \t\n")
	if text == "" {
		return nil
	}
	out := strings.Split(text, "\n")
	for i := range out {
		out[i] = strings.TrimRight(out[i], " \t\r")
	}
	return out
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{"", "", true},
		{"", "\n\n", true},
		{"", "a", false},
		{"a", "", false},
		{"a  b\n", "a  b  \n\n", true},
		{"a b", "a  b", false},
		{"a.b", "acb", false},
		{"age … s", "age 12 s", true},
		{"age … s", "age 12\n s", false},
		{"a\n…\nd", "a\nb\nc\nd", true},
		{"a\n…\nd", "a\nd", true},
		{"a\n…\nd", "a\nb\nc", false},
		{"…\n…10.1.0.32…\n…\n1", "x\n- 10.1.0.32 gone\n1", true},
		{"…\n…10.1.0.32…\n…\n1", "x\n1", false},
		{"a", "a\nb", false},
	} {
		if got := match(c.want, c.got); got != c.ok {
			t.Errorf("match(%q, %q) = %t", c.want, c.got, got)
		}
	}
}
