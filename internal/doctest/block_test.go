package doctest

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// block is one fenced block of a Markdown document.
type block struct {
	line     int    // where its fence is
	language string // the word behind the fence
	text     string
	notRun   string // why it is shown and not run: what the comment before it says
}

// step is a command of a terminal, and what it prints.
type step struct {
	line    int
	command string // several lines where the shell asks for more
	want    string // see match
}

var (
	fence = regexp.MustCompile("^```(\\w*)$")
	// otherFence is how Markdown has blocks begin besides: indented, with tildes, longer, with more than a word behind it.
	otherFence = regexp.MustCompile("^[\\s>]*(```|~~~)")
	notRun     = regexp.MustCompile(`^<!-- not run: (.+) -->$`)
)

// shellLanguages are those whose blocks somebody could paste into a shell.
var shellLanguages = []string{"console", "sh", "bash", "shell"}

// readBlocks gives the fenced blocks of a document, in order.
//
//	<!-- not run: it needs a cluster -->
//
// on the line before a block says why it cannot be run.
func readBlocks(document string) ([]block, error) {
	var out []block
	var open *block
	reason := ""
	for i, line := range strings.Split(document, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open != nil && line == "```":
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case m != nil:
			open = &block{line: i + 1, language: m[1], notRun: reason}
		case otherFence.MatchString(line):
			return nil, fmt.Errorf("line %d: a fence that is not three backticks at the margin and one word: its block would not be looked at", i+1)
		}
		reason = ""
		if m := notRun.FindStringSubmatch(line); open == nil && m != nil {
			reason = m[1]
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: a block that does not end", open.line)
	}
	return out, nil
}

// steps reads a block that shows a terminal: a command behind "$ ", its further lines behind "> ", and then what it
// prints.
func (b block) steps() ([]step, error) {
	var out []step
	more := false // whether the command may go on
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		at := b.line + 1 + i
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			out = append(out, step{line: at, command: command})
			more = true
			continue
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("line %d: a terminal that does not begin with a command", at)
		}
		last := &out[len(out)-1]
		if text, ok := strings.CutPrefix(line, ">"); ok && more {
			last.command += "\n" + strings.TrimPrefix(text, " ")
			continue
		}
		more = false
		last.want += line + "\n"
	}
	var errs []error
	for _, s := range out {
		if s.want != "" && strings.Trim(s.want, anything+" \n") == "" {
			errs = append(errs, fmt.Errorf("line %d: what is said to be printed is nothing but %q", s.line, anything))
		}
	}
	return out, errors.Join(errs...)
}

// terminals gives the steps of a document, in order. Every block that could be pasted into a shell must be one that shows
// a terminal, or say why it is not run.
func terminals(document string) ([]step, error) {
	blocks, err := readBlocks(document)
	if err != nil {
		return nil, err
	}
	var out []step
	var errs []error
	for _, b := range blocks {
		pasted := slices.Contains(shellLanguages, b.language) || strings.HasPrefix(b.text, "$ ") || strings.HasPrefix(b.text, "# ") && b.language == ""
		if b.notRun != "" || !pasted {
			continue
		}
		if b.language != "console" {
			b.language = cmp.Or(b.language, "no language")
			errs = append(errs, fmt.Errorf("line %d: a block of %s, which is neither run nor says why not", b.line, b.language))
			continue
		}
		steps, err := b.steps()
		errs = append(errs, err)
		out = append(out, steps...)
	}
	return out, errors.Join(errs...)
}

func TestTerminals(t *testing.T) {
	const document = "Text.\n\n```yaml\na: 1\n```\n\n```console\n$ cat <<END\n> one\n>\n> > two\n> END\none\n\n> two\n$ true\n```\n" +
		"<!-- not run: it needs a cluster -->\n```sh\nkubectl\n```\n"
	got, err := terminals(document)
	if err != nil {
		t.Fatal(err)
	}
	want := []step{{8, "cat <<END\none\n\n> two\nEND", "one\n\n> two\n"}, {16, "true", ""}}
	if d := gocmp.Diff(want, got, gocmp.AllowUnexported(step{})); d != "" {
		t.Error(d)
	}
}

func TestTerminalsRefusesWhatWouldNotBeRun(t *testing.T) {
	for document, want := range map[string]string{
		"```sh\nls\n```\n":                        "line 1: a block of sh, which is neither run nor says why not",
		"```\n$ ls\n```\n":                        "line 1: a block of no language, which is neither run nor says why not",
		"```console\nls\n```\n":                   "line 2: a terminal that does not begin with a command",
		"```console\n$ ls\n":                      "line 1: a block that does not end",
		"```console\n$ ls\n…\n```\n":              `line 2: what is said to be printed is nothing but "…"`,
		"<!-- not run: -->\n```bash\nls\n```\n":   "line 2: a block of bash, which is neither run nor says why not",
		"- item\n\n  ```sh\n  ls\n  ```\n":        "line 3: a fence that is not three backticks at the margin and one word: its block would not be looked at",
		"~~~sh\nls\n~~~\n":                        "line 1: a fence that is not three backticks at the margin and one word: its block would not be looked at",
		"```sh title\nls\n```\n":                  "line 1: a fence that is not three backticks at the margin and one word: its block would not be looked at",
		"<!-- not run: x -->\n\n```sh\nls\n```\n": "line 3: a block of sh, which is neither run nor says why not",
	} {
		if _, err := terminals(document); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", document, err, want)
		}
	}
}
