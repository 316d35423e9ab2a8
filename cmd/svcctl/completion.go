package main

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const completionHelp = `Print a script that completes commands, flags, the words flags take, and the names of applied services.

bash needs the package bash-completion. The packages of svcctl bring the scripts along.`

const completionExamples = `  svcctl completion bash > /usr/share/bash-completion/completions/svcctl
  svcctl completion zsh > "${fpath[1]}/_svcctl"
  svcctl completion fish > ~/.config/fish/completions/svcctl.fish`

// shells are the shells that there are scripts for.
var shells = map[string]func(root *cobra.Command, w io.Writer) error{
	"bash": func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
	"zsh":  func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
}

func newCompletionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:       "completion (bash | zsh | fish)",
		Short:     "Print a completion script for a shell",
		Long:      completionHelp,
		Example:   completionExamples,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return inputError("must name one shell: bash, zsh or fish")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := shells[args[0]](cmd.Root(), c.env.stdout); err != nil {
				return systemError("writing to standard output: %w", err)
			}
			return nil
		},
	}
}

// recorded gives the namespace and name of every applied Service, as "namespace/name". Completion has nobody to complain
// to: where nothing is known, or nothing may be read, there are no candidates.
func (c *cli) recorded() []string {
	if c.setup() != nil {
		return nil
	}
	r, err := c.readRecord(c.store())
	if err != nil {
		return nil
	}
	keys := make([]string, 0, len(r.Services))
	for key := range r.Services {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (c *cli) recordedNamespaces() []string {
	var out []string
	for _, key := range c.recorded() {
		namespace, _, _ := strings.Cut(key, "/")
		out = append(out, namespace)
	}
	return slices.Compact(out)
}

// recordedNames gives the names in a namespace that are not among those already given.
func (c *cli) recordedNames(namespace string, given []string) []string {
	var out []string
	for _, key := range c.recorded() {
		if ns, name, _ := strings.Cut(key, "/"); ns == namespace && !slices.Contains(given, name) {
			out = append(out, name)
		}
	}
	return out
}

// namedNamespaces is where "ip netns" keeps the names of network namespaces.
const namedNamespaces = "/run/netns"

func completeNetns(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	entries, err := os.ReadDir(namedNamespaces)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault // it may be a path, too
	}
	var out []cobra.Completion
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, cobra.ShellCompDirectiveDefault
}

// completeStates offers the states that rollback can go back to, with when each was applied.
func (c *cli) completeStates(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if c.setup() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	records, err := c.store().History()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, r := range records {
		out = append(out, cobra.CompletionWithDesc(strconv.FormatUint(r.Serial, 10),
			r.Time.Format(time.RFC3339)+", "+count(len(r.Services), "service", "services")))
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

func (c *cli) completeServices(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.recorded(), cobra.ShellCompDirectiveNoFileComp
}

func (c *cli) completeGet(o *getOptions) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return kindNames(), cobra.ShellCompDirectiveNoFileComp
		}
		if k, err := parseKinds(args[0]); err != nil || k[0].names[0] == "endpointslices" {
			return nil, cobra.ShellCompDirectiveNoFileComp // their names are not recorded
		}
		return c.recordedNames(o.namespace, args[1:]), cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cli) completeDescribe(s *scope) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return []cobra.Completion{"service"}, cobra.ShellCompDirectiveNoFileComp
		}
		return c.recordedNames(s.namespace, args[1:]), cobra.ShellCompDirectiveNoFileComp
	}
}
