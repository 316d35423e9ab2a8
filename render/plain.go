package render

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain keeps what is shown on a terminal from controlling it: text of annotations, and of names of files, is whatever
// somebody wrote. An escape becomes "^[" as in kubectl; every other control character, and those that turn the direction
// of text around, what Go writes for it, as a line feed \n. So a cell stays in its line and column, too.
func plain(s string) string {
	harmless := func(i int) bool {
		r, n := utf8.DecodeRuneInString(s[i:])
		return !controls(r) && (r != utf8.RuneError || n > 1)
	}
	bad := 0
	for bad < len(s) && harmless(bad) {
		_, n := utf8.DecodeRuneInString(s[bad:])
		bad += n
	}
	if bad == len(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case harmless(i):
			b.WriteString(s[i : i+n])
		case r == '\x1b':
			b.WriteString("^[")
		default:
			quoted := strconv.Quote(s[i : i+n])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += n
	}
	return b.String()
}

// controls reports whether a terminal obeys a character instead of showing it. The two separators end a line in some.
func controls(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}
