// Package manual writes the documents that say how the command line is used: manual pages, docs/cli.md and completion
// scripts.
//
// It takes the tree of commands that --help is printed from, the comments of examples/config.yaml, and what only the
// command line knows (exit codes, files, variables), and gives text. It adds no fact of its own, so that the three cannot
// say different things. The program that is shipped does not contain it.
package manual

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Book is what the documents are made of.
type Book struct {
	Root  *cobra.Command
	Exits func(cmd *cobra.Command) []Entry // its exit codes, and what each means
	Intro string                           // what the program is, without what has a section of its own
	// Flag gives the group that a flag is listed in and the word that stands for its value; "" for none. FlagGroups are the
	// groups in their order; what is in none comes first.
	Flag        func(f *pflag.Flag) (group, value string)
	FlagGroups  []string
	Files       []Entry
	Environment []Entry
	Settings    []Setting
	Date        string // of the manual pages, as 2026-01-31; empty: none
}

// Entry is something with a name, and what there is to say about it.
type Entry struct{ Name, Text string }

// Commands lists the commands that have a page, each before those below it.
func Commands(root *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{root}
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && !cmd.IsAdditionalHelpTopicCommand() {
			out = append(out, Commands(cmd)...)
		}
	}
	return out
}

// pageName is "svcctl-dns-zone" for "svcctl dns zone".
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// purpose is one sentence on a command.
func purpose(cmd *cobra.Command) string { return strings.TrimSuffix(cmd.Short, ".") }

// description is the help of a command at length.
func (b Book) description(cmd *cobra.Command) []block {
	switch {
	case !cmd.HasParent():
		return parse(b.Intro)
	case cmd.Long == "":
		return parse(cmd.Short + ".")
	default:
		return parse(cmd.Long)
	}
}

// synopsis is what may follow the path of a command.
func synopsis(cmd *cobra.Command) string {
	_, rest, _ := strings.Cut(cmd.Use, " ")
	if cmd.HasAvailableSubCommands() {
		rest = "COMMAND"
	}
	return strings.TrimSpace(rest + " [OPTION…]")
}

// examples are the lines of a command's examples.
func examples(cmd *cobra.Command) []string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(cmd.Example, "\n"), "\n") {
		if line = strings.TrimPrefix(line, "  "); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// optionGroup are options below one headline; the first has none.
type optionGroup struct {
	title   string
	options []option
}

// options are the flags of a command alone, or, of the root, those that all have.
func (b Book) options(cmd *cobra.Command) []optionGroup {
	set := cmd.LocalNonPersistentFlags()
	if !cmd.HasParent() {
		set = cmd.PersistentFlags()
	}
	var out []optionGroup
	for _, title := range append([]string{""}, b.FlagGroups...) {
		g := optionGroup{title: title}
		set.VisitAll(func(f *pflag.Flag) {
			if group, value := b.Flag(f); group == title && !f.Hidden && f.Name != "help" {
				g.options = append(g.options, optionOf(f, value))
			}
		})
		if len(g.options) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// option is a flag as it is written: its names, and the word that stands for its value, if it has one.
type option struct {
	names    []string // "-f", "--filename"
	value    string   // "PATH"; empty: it takes none
	optional bool     // the value may be left out
	text     string
}

func optionOf(f *pflag.Flag, value string) option {
	usage := f.Usage
	o := option{value: value, optional: f.NoOptDefVal != "" && f.Value.Type() != "bool", text: sentence(usage)}
	if o.optional && !strings.Contains(usage, "without a value") {
		o.text += " Without a value: " + f.NoOptDefVal + "."
	}
	if f.Shorthand != "" {
		o.names = append(o.names, "-"+f.Shorthand)
	}
	o.names = append(o.names, "--"+f.Name)
	if d := f.DefValue; f.Value.Type() == "bool" && d == "true" {
		o.text += " Given by default; --" + f.Name + "=false switches it off."
	} else if !slices.Contains([]string{"", "0", "0s", "false", "[]"}, d) && !strings.Contains(usage, "(default ") {
		o.text += " Default: " + strings.Trim(d, "[]") + "."
	}
	return o
}

// sentence makes a sentence of the words of a flag's help.
func sentence(s string) string {
	first, size := firstRune(s)
	return strings.TrimSuffix(strings.ToUpper(first)+s[size:], ".") + "."
}

func firstRune(s string) (string, int) {
	for _, r := range s {
		return string(r), len(string(r))
	}
	return "", 0
}

// related are the commands that a reader of one may want next: the one above it, those below it, and those that its help
// speaks of.
func (b Book) related(cmd *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	if cmd.HasParent() {
		out = append(out, cmd.Parent())
	}
	for _, other := range Commands(b.Root) {
		mentioned := cmd.HasParent() && strings.Contains(strings.Join(strings.Fields(cmd.Long+cmd.Example), " "), other.CommandPath())
		if other != cmd && (other.Parent() == cmd || mentioned) && !slices.Contains(out, other) {
			out = append(out, other)
		}
	}
	return out
}
