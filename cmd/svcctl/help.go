package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/svcctl/svcctl/compiler/diag"
)

// What --help says beyond the words of each command is in this file, by name, so that it is the same everywhere: to which
// group a command and a flag belong, and which word stands for the value of a flag.

const (
	helpValue = "svcctl_value" // annotation of a flag: the word for its value
	helpGroup = "svcctl_group" // annotation of a flag: the headline it is below
)

// commandGroups are the headlines of the list of commands, and what is below each.
var commandGroups = []struct {
	title string
	names []string
}{
	{"Look at manifests", []string{"validate", "render", "allocate"}},
	{"Change what is applied", []string{"apply", "confirm", "rollback", "delete"}},
	{"See what is applied, or would be", []string{"check", "diff", "status", "verify", "stats", "get", "describe", "explain"}},
	{"Tell others of Services", []string{"dns", "env"}},
}

const otherCommands = "Other commands"

// flagGroups are the headlines of the lists of flags. What is below none is listed first.
var flagGroups = []struct {
	title string
	names []string
}{
	{"Input", []string{"filename", "recursive", "strict", "warnings-as-errors", "no-cache"}},
	{"Output", []string{
		"output", "summary", "no-headers", "show-labels", "label-columns", "sort-by", "output-watch-events",
		"view", "service", "detailed-exitcode",
	}},
}

const ownFlags = "Flags"

// valueWords are the words that stand for the values of flags.
var valueWords = map[string]string{
	"after": "DURATION", "base": "PATH", "cluster-domain": "DOMAIN", "color": "WHEN", "config": "FILE", "confirm": "DURATION",
	"dump-after": "PASS", "filename": "PATH", "if-unconfirmed": "ID", "label-columns": "LABEL,…", "listen": "ADDRESS:PORT",
	"local": "ADDRESS,…", "lock-wait": "DURATION", "log-format": "FORMAT", "log-level": "LEVEL", "name-server": "NAME", "namespace": "NAMESPACE",
	"netns": "NAME|PATH", "output": "FORMAT", "output-dir": "DIR", "selector": "SELECTOR", "service": "NAMESPACE/NAME",
	"sort-by": "JSONPATH", "state-dir": "DIR", "table": "NAME", "to": "NUMBER", "ttl": "SECONDS", "view": "VIEW",
	"watch": "INTERVAL",
}

// arrangeHelp puts commands and flags into their groups, and gives the values of flags their words.
func arrangeHelp(root *cobra.Command) {
	for _, g := range commandGroups {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
	}
	for _, cmd := range root.Commands() {
		for _, g := range commandGroups {
			if slices.Contains(g.names, cmd.Name()) {
				cmd.GroupID = g.title
			}
		}
	}
	arrangeFlags(root)
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		printUsage(cmd.OutOrStderr(), cmd)
		return nil
	})
	root.SetHelpCommand(newHelpCommand())
}

// annotation gives an annotation of a flag, or "".
func annotation(f *pflag.Flag, key string) string {
	if a := f.Annotations[key]; len(a) > 0 {
		return a[0]
	}
	return ""
}

func arrangeFlags(cmd *cobra.Command) {
	arrange := func(f *pflag.Flag) {
		word := valueWords[f.Name]
		if word == "" && f.Value.Type() != "bool" {
			word = strings.ToUpper(f.Value.Type())
		}
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		if f.Value.Type() != "bool" {
			f.Annotations[helpValue] = []string{word}
			completeByWord(cmd, f.Name, word)
		}
		for _, g := range flagGroups {
			if slices.Contains(g.names, f.Name) {
				f.Annotations[helpGroup] = []string{g.title}
			}
		}
	}
	cmd.Flags().VisitAll(arrange)
	cmd.PersistentFlags().VisitAll(arrange)
	for _, sub := range cmd.Commands() {
		arrangeFlags(sub)
	}
}

// completeByWord has a shell offer files only where a file is meant, unless the flag's own command knows better.
func completeByWord(cmd *cobra.Command, flag, word string) {
	if _, known := cmd.GetFlagCompletionFunc(flag); known {
		return
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	switch word {
	case "PATH", "FILE":
		return
	case "DIR":
		directive = cobra.ShellCompDirectiveFilterDirs
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(nil, directive)); err != nil {
		panic(err) // there is no such flag: a defect of the tree
	}
}

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND…]",
		Short:   "Show the help of a command",
		Example: "  svcctl help apply\n  svcctl help dns zone",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var out []cobra.Completion
			for _, sub := range of.Commands() {
				if sub.IsAvailableCommand() {
					out = append(out, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				of, rest = cmd.Root(), args
			}
			if len(rest) > 0 {
				return unknownCommand(of, rest[0])
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// printUsage writes what follows the words of a command.
func printUsage(w io.Writer, cmd *cobra.Command) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("Usage:\n")
	switch {
	case cmd.HasAvailableSubCommands():
		p("  %s COMMAND\n", cmd.CommandPath())
	default:
		p("  %s\n", cmd.UseLine())
	}
	if cmd.HasExample() {
		p("\nExamples:\n%s\n", cmd.Example)
	}
	printCommands(p, cmd)
	local := cmd.LocalNonPersistentFlags()
	if !cmd.HasParent() {
		local = &pflag.FlagSet{} // all there is is --help
	}
	for _, title := range append([]string{ownFlags}, flagTitles()...) {
		if text := flagsOf(local, title); text != "" {
			p("\n%s:\n%s", headline(title), text)
		}
	}
	switch {
	case !cmd.HasParent():
		p("\nGlobal flags:\n%s", flagsOf(cmd.PersistentFlags(), ownFlags))
		printExits(p, cmd)
		p("\n%s\n", rootSettings)
	case cmd.HasAvailableSubCommands():
		p("\n\"%s COMMAND --help\" tells more of a command.\n", cmd.CommandPath())
	default:
		printExits(p, cmd)
		var names []string
		cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		p("\nGlobal flags are %s: see \"svcctl --help\".\n", joinWords(names))
	}
}

func printExits(p func(string, ...any), cmd *cobra.Command) {
	p("\nExit codes:\n")
	for _, e := range exitsOf(cmd) {
		p("  %d  %s\n", e.code, e.meaning)
	}
}

func headline(title string) string {
	if title == ownFlags {
		return title
	}
	return title + " flags"
}

func flagTitles() []string {
	var out []string
	for _, g := range flagGroups {
		out = append(out, g.title)
	}
	return out
}

func printCommands(p func(string, ...any), cmd *cobra.Command) {
	list := func(title, group string) {
		for _, sub := range cmd.Commands() {
			if sub.GroupID == group && sub.IsAvailableCommand() {
				if title != "" {
					p("\n%s:\n", title)
					title = ""
				}
				p("  %-12s%s\n", sub.Name(), sub.Short)
			}
		}
	}
	for _, g := range cmd.Groups() {
		list(strings.TrimSuffix(g.Title, ":"), g.ID)
	}
	if len(cmd.Groups()) > 0 {
		list(otherCommands, "")
	} else {
		list("Commands", "")
	}
}

// flagsOf lists the flags below a headline, each with what it does beside it.
func flagsOf(set *pflag.FlagSet, title string) string {
	var names, texts []string
	width := 0
	set.VisitAll(func(f *pflag.Flag) {
		group := cmp.Or(annotation(f, helpGroup), ownFlags)
		if f.Hidden || group != title {
			return
		}
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		text := f.Usage
		switch value := annotation(f, helpValue); {
		case value == "":
		case f.NoOptDefVal == "":
			name += " " + value
		default:
			name += "[=" + value + "]"
			if !strings.Contains(text, "without a value") {
				text += " (without a value: " + f.NoOptDefVal + ")"
			}
		}
		if d := f.DefValue; !slices.Contains([]string{"", "0", "0s", "false", "[]"}, d) && !strings.Contains(text, "(default ") {
			text += " (default " + strings.Trim(d, "[]") + ")"
		}
		names, texts = append(names, name), append(texts, text)
		width = max(width, len([]rune(name)))
	})
	var b strings.Builder
	for i := range names {
		_, _ = fmt.Fprintf(&b, "%s%s   %s\n", names[i], strings.Repeat(" ", width-len([]rune(names[i]))), texts[i])
	}
	return b.String()
}

// exitMeaning is an exit code and what it means.
type exitMeaning struct {
	code    int
	meaning string
}

// exitsByCommand says what the exit codes of commands mean in particular. Those that every command has are not here: 0,
// 2 and 3.
var exitsByCommand = map[string]map[int]string{
	"apply": {
		exitDifferent: "with --detailed-exitcode: done, and something changed",
		exitConflict:  "another writer, a change that waits to be confirmed, or a table that svcctl did not write",
	},
	"check": {
		exitDone:      "nothing is in the way",
		exitDifferent: "something would not work",
	},
	"confirm": {
		exitInput:    "bad usage, or nothing waits to be confirmed",
		exitConflict: "another svcctl is changing the same table",
	},
	"delete": {
		exitInput:    "bad input or usage, also a service that is not applied",
		exitConflict: "another writer, or a table that svcctl did not write",
	},
	"describe": {exitInput: "bad input or usage, also a name that is not there"},
	"diff": {
		exitDone:      "nothing differs",
		exitDifferent: "something differs",
		exitConflict:  "a table of the same name that svcctl did not write",
	},
	"dns zone": {exitConflict: "a file in --output-dir that svcctl did not write"},
	"get":      {exitInput: "bad input or usage, also a name that is not there"},
	"rollback": {
		exitInput:    "bad usage, or no such state",
		exitConflict: "another writer, or a table that svcctl did not write",
	},
	"verify": {
		exitDone:      "nothing differs, or --repair mended it",
		exitDifferent: "something differs",
		exitInput:     "bad usage, or nothing is recorded as applied",
		exitConflict:  "another writer",
	},
}

// exitsOf says what the exit codes of a command mean; those of the program, where it is the root.
func exitsOf(cmd *cobra.Command) []exitMeaning {
	own := exitsByCommand[strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")]
	var out []exitMeaning
	for _, e := range exitCodes {
		meaning, special := own[e.code]
		switch {
		case special:
			e.meaning = meaning
		case !cmd.HasParent():
		case e.code == exitDone:
			e.meaning = "done"
		case e.code == exitInput:
			e.meaning = "bad input or usage"
		case e.code == exitDifferent || e.code == exitConflict:
			continue
		}
		out = append(out, e)
	}
	return out
}

// nearestFlag gives the flag of a command whose name is like one that it does not have, or "".
func nearestFlag(cmd *cobra.Command, name string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return diag.Nearest(name, names)
}
