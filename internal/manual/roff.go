package manual

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// Page is a manual page.
type Page struct {
	Name string // "svcctl-apply.1"
	Text []byte
}

// Pages gives the manual pages: one for each command, and svcctl-config(5).
func (b Book) Pages() []Page {
	var out []Page
	for _, cmd := range Commands(b.Root) {
		out = append(out, Page{pageName(cmd) + ".1", b.commandPage(cmd)})
	}
	return append(out, Page{b.Root.Name() + "-config.5", b.settingsPage()})
}

func (b Book) commandPage(cmd *cobra.Command) []byte {
	var r roff
	r.begin(pageName(cmd), 1, b)
	r.linef(".SH NAME")
	r.wrap(escape(pageName(cmd)) + ` \- ` + escape(lowerFirst(purpose(cmd))))
	r.linef(".SH SYNOPSIS")
	r.linef(".B %s", escape(cmd.CommandPath()))
	r.wrap(synopsisWords(synopsis(cmd)))
	r.linef(".SH DESCRIPTION")
	r.blocks(b.description(cmd))
	if cmd.HasAvailableSubCommands() {
		r.linef(".SH COMMANDS")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				r.item(`\fB`+escape(sub.Name())+`\fR`, sentence(sub.Short)+" See "+reference(pageName(sub), 1)+".")
			}
		}
	}
	r.options(b, cmd)
	if lines := examples(cmd); len(lines) > 0 {
		r.linef(".SH EXAMPLES")
		r.lines(lines)
	}
	r.linef(".SH EXIT STATUS")
	r.entries(b.Exits(cmd))
	r.linef(".SH FILES")
	r.entries(b.Files)
	r.linef(".SH ENVIRONMENT")
	r.entries(b.Environment)
	r.linef(".SH SEE ALSO")
	r.seeAlso(b, cmd)
	return []byte(r.String())
}

// roff writes the language of manual pages: the macros man(7) has everywhere, and no others.
type roff struct{ strings.Builder }

func (r *roff) linef(format string, args ...any) {
	_, _ = fmt.Fprintf(r, format+"\n", args...)
}

func (r *roff) begin(name string, section int, b Book) {
	r.linef(".\\\" Generated from the definitions of the commands by \"make manual\".")
	r.linef(".TH %s %d %q %q %q", escape(strings.ToUpper(name)), section, b.Date, b.Root.Name(), b.Root.Name()+" manual")
	// No hyphenation: a word broken at the end of a line cannot be searched for.
	r.linef(".nh")
	r.linef(".ad l")
}

func (r *roff) blocks(blocks []block) {
	for i, b := range blocks {
		switch {
		case b.definitions != nil:
			r.entries(b.definitions)
		case b.literal != nil:
			r.literal(b.literal)
		default:
			if i > 0 {
				r.linef(".PP")
			}
			r.text(b.paragraph)
		}
	}
}

func (r *roff) literal(lines []string) {
	r.linef(".PP")
	r.lines(lines)
}

// lines writes lines as they are.
func (r *roff) lines(lines []string) {
	r.linef(".RS 4")
	r.linef(".nf")
	for _, line := range lines {
		r.linef("%s", atLineStart(escape(line)))
	}
	r.linef(".fi")
	r.linef(".RE")
}

func (r *roff) entries(entries []Entry) {
	for _, e := range entries {
		r.item(`\fB`+escape(e.Name)+`\fR`, e.Text)
	}
}

func (r *roff) item(term, text string) {
	r.linef(".TP")
	r.linef("%s", term)
	r.text(text)
}

// text writes a paragraph, each sentence on lines of its own: a sentence ends where a line does.
func (r *roff) text(text string) {
	var line strings.Builder
	for _, s := range spans(text) {
		if s.code {
			line.WriteString(`\fB` + escape(s.text) + `\fR`)
		} else {
			line.WriteString(escape(s.text))
		}
	}
	for sentence := range strings.SplitSeq(strings.ReplaceAll(line.String(), ". ", ".\n"), "\n") {
		r.wrap(sentence)
	}
}

// widest is how long a line is, in bytes.
const widest = 78

func (r *roff) wrap(text string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > widest {
			r.linef("%s", atLineStart(line))
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	r.linef("%s", atLineStart(line))
}

func (r *roff) options(b Book, cmd *cobra.Command) {
	r.linef(".SH OPTIONS")
	for _, g := range b.options(cmd) {
		if g.title != "" {
			r.linef(".SS %s", escape(g.title))
		}
		for _, o := range g.options {
			r.option(o)
		}
	}
	if cmd.HasParent() {
		r.linef(".SS General")
		r.item(`\fB\-h\fR, \fB\-\-help\fR`, "Show the help of the command.")
		r.linef(".PP")
		r.text("The options of every command, such as --table and --netns, are in " + reference(cmd.Root().Name(), 1) + ".")
	}
}

func (r *roff) option(o option) {
	var names []string
	for _, n := range o.names {
		names = append(names, `\fB`+escape(n)+`\fR`)
	}
	term := strings.Join(names, ", ")
	switch {
	case o.value != "" && o.optional:
		term += `[=\fI` + escape(o.value) + `\fR]`
	case o.value != "":
		term += ` \fI` + escape(o.value) + `\fR`
	}
	r.item(term, o.text)
}

func (r *roff) seeAlso(b Book, cmd *cobra.Command) {
	var refs []string
	for _, other := range b.related(cmd) {
		refs = append(refs, reference(pageName(other), 1))
	}
	refs = append(refs, reference(b.Root.Name()+"-config", 5), reference("nft", 8))
	for i, ref := range refs {
		name, section, _ := strings.Cut(ref, "(")
		comma := ","
		if i == len(refs)-1 {
			comma = ""
		}
		r.linef(".BR %s (%s%s", escape(name), section, comma)
	}
}

func reference(name string, section int) string { return fmt.Sprintf("%s(%d)", name, section) }

var synopsisWord = regexp.MustCompile(`-{0,2}[A-Za-z][A-Za-z-]*|[^A-Za-z-]+|-`)

// synopsisWords sets what is typed in bold and what stands for something in italics.
func synopsisWords(text string) string {
	return atLineStart(synopsisWord.ReplaceAllStringFunc(text, func(word string) string {
		switch {
		case strings.ToLower(word) == strings.ToUpper(word):
			return escape(word)
		case strings.ToUpper(word) == word:
			return `\fI` + escape(word) + `\fR`
		default:
			return `\fB` + escape(word) + `\fR`
		}
	}))
}

// escape keeps text from being understood as roff. A hyphen becomes a minus: what is copied from a page has to work.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r > '~':
			_, _ = fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// atLineStart keeps a line from being understood as a request.
func atLineStart(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

func lowerFirst(s string) string {
	first, size := firstRune(s)
	// An abbreviation stays as it is.
	if second, _ := firstRune(s[size:]); second != strings.ToLower(second) {
		return s
	}
	return strings.ToLower(first) + s[size:]
}
