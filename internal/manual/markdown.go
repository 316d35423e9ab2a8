package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Markdown gives the reference of the command line, docs/cli.md.
func (b Book) Markdown() []byte {
	var m markdown
	m.linef("<!-- Generated from the definitions of the commands by \"make manual\"; edit those. -->")
	m.linef("")
	m.linef("# Command line")
	m.linef("")
	m.blocks(parse(b.Intro))
	m.linef("This is what `--help` says, in one document; `man %s` has it page by page.", b.Root.Name())
	m.linef("")
	m.linef("| command | |")
	m.linef("|---|---|")
	for _, cmd := range Commands(b.Root) {
		if cmd.HasParent() {
			m.linef("| [`%s`](#%s) | %s |", cmd.CommandPath(), anchor(cmd), purpose(cmd))
		}
	}
	m.linef("")
	m.linef("## Exit codes")
	m.linef("")
	m.entries(b.Exits(b.Root))
	m.linef("## Options of every command")
	m.linef("")
	m.options(b.options(b.Root))
	m.linef("## Files")
	m.linef("")
	m.entries(b.Files)
	m.linef("## Environment")
	m.linef("")
	m.entries(b.Environment)
	for _, cmd := range Commands(b.Root) {
		if cmd.HasParent() {
			b.markdownCommand(&m, cmd)
		}
	}
	m.linef("## Configuration file")
	m.linef("")
	m.blocks(parse(settingsIntro))
	m.linef("| key | default | variable | |")
	m.linef("|---|---|---|---|")
	for _, s := range b.Settings {
		m.linef("| `%s` | `%s` | `%s` | %s |", s.Key, s.Default, s.Variable, cell(inline(s.Text)))
	}
	return []byte(m.String())
}

func (b Book) markdownCommand(m *markdown, cmd *cobra.Command) {
	m.linef("## %s", cmd.CommandPath())
	m.linef("")
	m.linef("    %s %s", cmd.CommandPath(), synopsis(cmd))
	m.linef("")
	m.blocks(b.description(cmd))
	if cmd.HasAvailableSubCommands() {
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				m.linef("- [`%s`](#%s): %s", sub.CommandPath(), anchor(sub), lowerFirst(purpose(sub)))
			}
		}
		m.linef("")
	}
	m.options(b.options(cmd))
	if lines := examples(cmd); len(lines) > 0 {
		m.linef("Examples:")
		m.linef("")
		m.literal(lines)
	}
	if !cmd.HasAvailableSubCommands() {
		m.linef("Exit codes:")
		m.linef("")
		m.entries(b.Exits(cmd))
	}
}

func anchor(cmd *cobra.Command) string { return pageName(cmd) }

type markdown struct{ strings.Builder }

func (m *markdown) linef(format string, args ...any) {
	_, _ = fmt.Fprintf(m, format+"\n", args...)
}

func (m *markdown) blocks(blocks []block) {
	for _, b := range blocks {
		switch {
		case b.definitions != nil:
			m.entries(b.definitions)
		case b.literal != nil:
			m.literal(b.literal)
		default:
			m.linef("%s", inline(b.paragraph))
			m.linef("")
		}
	}
}

func (m *markdown) entries(entries []Entry) {
	for _, e := range entries {
		m.linef("- `%s`: %s", e.Name, inline(e.Text))
	}
	m.linef("")
}

func (m *markdown) literal(lines []string) {
	for _, line := range lines {
		m.linef("    %s", line)
	}
	m.linef("")
}

func (m *markdown) options(groups []optionGroup) {
	for _, g := range groups {
		title := "option"
		if g.title != "" {
			title = strings.ToLower(g.title) + " option"
		}
		m.linef("| %s | |", title)
		m.linef("|---|---|")
		for _, o := range g.options {
			term := strings.Join(o.names, ", ")
			switch {
			case o.value != "" && o.optional:
				term += "[=" + o.value + "]"
			case o.value != "":
				term += " " + o.value
			}
			m.linef("| `%s` | %s |", cell(term), cell(inline(o.text)))
		}
		m.linef("")
	}
}

// cell keeps text within one cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// inline marks what one types, and keeps the rest from being understood as markup.
func inline(text string) string {
	var b strings.Builder
	for _, s := range spans(text) {
		if s.code {
			b.WriteString("`" + s.text + "`")
		} else {
			b.WriteString(strings.NewReplacer("*", `\*`, "<", `\<`, "_", `\_`, "[", `\[`).Replace(s.text))
		}
	}
	return b.String()
}
