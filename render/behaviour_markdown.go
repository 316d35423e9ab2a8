package render

import (
	"io"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/plan"
)

// The limits of a Markdown review. A comment of GitHub's has at most 65,536 characters, of GitLab's a million.
const (
	maxMarkdownRows    = 100
	maxMarkdownDetails = 40_000 // bytes
)

// ReviewMarkdown writes a change as a comment on a pull request: a table of the Services, and folded away what is different
// for each of them. An empty plan gives a line that says so, to take the place of an earlier comment.
//
// Nothing from the input can end the table, the cell or the block it stands in, nor mean something to HTML.
func ReviewMarkdown(w io.Writer, p *plan.Plan, d *behaviour.Diff, opts ReviewOptions) error {
	out := newWriter(w)
	if p.Empty() {
		out.str("**svcctl**: nothing changes\n")
		return out.close()
	}
	out.str("**svcctl**: ", verdictText(d), "\n")
	if len(d.Services) > 0 {
		out.str("\n| | service | what changes |\n|---|---|---|\n")
	}
	for i := range d.Services {
		if i == maxMarkdownRows {
			out.str("| | | and ", strconv.Itoa(len(d.Services)-i), " more |\n")
			break
		}
		s := &d.Services[i]
		out.str("| `", string(summarySign(s)), "` | ", codeSpan(serviceCell(s)), " | ", summaryText(s), " |\n")
	}
	if !opts.Summary {
		markdownDetails(out, d)
	}
	for _, l := range programLines(p) {
		out.str("\n", codeSpan(l), "\n")
	}
	if opts.FlowsCut != nil && *opts.FlowsCut > 0 {
		out.str("\n", flowsCutText(*opts.FlowsCut), "\n")
	}
	sums := sumPlan(p)
	out.str("\nRules: ", sums.text(), "\n")
	return out.close()
}

// markdownDetails writes what is different for each Service into one folded block, in which lines are coloured by their
// sign, as far as there is room.
func markdownDetails(out *writer, d *behaviour.Diff) {
	groups := behaviourGroups(d)
	if len(groups) == 0 {
		return
	}
	var text []string
	size := 0
	for i := range groups {
		lines := fencedLines(&groups[i])
		n := 0
		for _, l := range lines {
			n += len(l) + 1
		}
		if size += n; size > maxMarkdownDetails {
			text = append(text, "# and "+strconv.Itoa(len(groups)-i)+" more, which svcctl diff shows without -o markdown")
			break
		}
		text = append(text, lines...)
	}
	out.str("\n<details><summary>Details</summary>\n\n```diff\n")
	for _, l := range text {
		out.str(l, "\n")
	}
	out.str("```\n\n</details>\n")
}

// fencedLines give a group as lines of a block of the language "diff": the sign comes first. A line never begins with a
// backtick or blanks and backticks, so none of them ends the block (CommonMark, section 4.5).
func fencedLines(g *behaviourGroup) []string {
	out := []string{"# " + g.title}
	line := func(l planLine, indent string) {
		sign := string(l.sign)
		if l.sign == '~' {
			sign = "!"
		}
		out = append(out, sign+" "+indent+plain(l.text))
	}
	for _, b := range g.blocks {
		for _, h := range b.heads {
			line(h, "")
		}
		for _, l := range b.lines {
			line(l, "    ")
		}
	}
	return out
}

// codeSpan gives text as code in a cell of a table. What could end either is replaced: names of Kubernetes have none of it.
func codeSpan(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("`|\\<>&", r) {
			return '?'
		}
		return r
	}, plainLine(s))
	if strings.TrimSpace(s) == "" {
		return "`?`"
	}
	return "`" + s + "`"
}
