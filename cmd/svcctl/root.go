package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/svcctl/svcctl/internal/config"
)

const rootIntro = `svcctl compiles Kubernetes-style Service manifests to nftables, and puts the result into the kernel in
one transaction.

It reads Services, EndpointSlices, Endpoints, Pods and Nodes from YAML or JSON files; no Kubernetes is
needed.`

const rootSettings = `The global flags can also be given as SVCCTL_TABLE, SVCCTL_STATE_DIR and so on, or in the
configuration file. "svcctl COMMAND --help" tells more of a command.`

// execute runs the command line and gives its exit code.
func execute(ctx context.Context, env *environment, args []string) int {
	env = env.withProgress()
	defer env.progress.end()
	root := newRootCommand(env)
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var coded *exitError
	if !errors.As(err, &coded) { // cobra's own: the command line is wrong
		coded = &exitError{exitInput, err}
	}
	report(env, coded)
	return coded.code
}

// newRootCommand builds the whole tree of commands.
func newRootCommand(env *environment) *cobra.Command {
	c := &cli{env: env}
	root := &cobra.Command{
		Use:               "svcctl",
		Short:             "Compile Kubernetes-style Services to nftables",
		Long:              rootIntro,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := ""
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) {
			if near := nearestFlag(cmd, unknown.GetSpecifiedName()); near != "" && unknown.GetSpecifiedShortnames() == "" {
				hint = "; did you mean --" + near + "?"
			}
		}
		return inputError("%w%s (see %q)", err, hint, cmd.CommandPath()+" --help")
	})
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&c.configFile, "config", "", "configuration file (default "+config.DefaultFile+", if it exists)")
	flags.String("table", config.Default("table"), "name of the nftables tables, one per address family")
	flags.String("netns", config.Default("netns"),
		"network namespace: a name of \"ip netns\" or a path (default: the current one)")
	flags.String("state-dir", config.Default("stateDir"), "directory that remembers what was applied")
	flags.String("lock-wait", config.Default("lockWait"),
		"how long to wait for another svcctl that changes the same table; 0s: not at all")
	flags.String("log-level", config.Default("logLevel"),
		"least severe messages to log: "+strings.Join(config.LogLevels, ", "))
	flags.String("log-format", config.Default("logFormat"),
		"form of the log: "+strings.Join(config.LogFormats, ", "))
	flags.String("color", config.Default("color"), "colour the output: "+strings.Join(config.Colors, ", "))
	c.flags = flags
	for name, words := range map[string][]string{
		"log-level": config.LogLevels, "log-format": config.LogFormats, "color": config.Colors,
	} {
		completeFlag(root, name, words...)
	}
	if err := root.RegisterFlagCompletionFunc("netns", completeNetns); err != nil {
		panic(err)
	}
	root.AddCommand(
		newApplyCommand(c), newDiffCommand(c), newRenderCommand(c), newValidateCommand(c),
		newExplainCommand(c), newAllocateCommand(c), newCheckCommand(c),
		newGetCommand(c), newDescribeCommand(c), newEnvCommand(c), newDeleteCommand(c),
		newStatusCommand(c), newVerifyCommand(c), newStatsCommand(c), newConfirmCommand(c), newRollbackCommand(c),
		newDNSCommand(c),
		newVersionCommand(c), newCompletionCommand(c),
	)
	arrangeHelp(root)
	return root
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	return inputError("unknown command %q for %q%s (see %q)", name, cmd.CommandPath(), didYouMean(name, known), cmd.CommandPath()+" --help")
}

// noArguments refuses arguments, which are files whose -f was forgotten more often than not.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		hint := fmt.Sprintf(" (see %q)", cmd.CommandPath()+" --help")
		if cmd.Flags().Lookup("filename") != nil {
			hint = "; files are named with -f"
		}
		return inputError("%q takes no arguments, and %q is one%s", cmd.CommandPath(), args[0], hint)
	}
	return nil
}

// completeFlag says which words a flag takes. It panics where there is no such flag: that is a defect of the tree.
func completeFlag(cmd *cobra.Command, flag string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err)
	}
}
