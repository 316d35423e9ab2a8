package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/svcctl/svcctl/internal/config"
	"github.com/svcctl/svcctl/internal/state"
)

// cli is what the commands share during one run.
type cli struct {
	env        *environment
	flags      *pflag.FlagSet // the global ones
	configFile string

	command string // what is run, "svcctl apply"
	config  config.Config
	log     *slog.Logger
	out     *bufio.Writer // standard output

	kept *state.Lock // for work that is done again: see lock.go
	// saying has the lines that were said to people, said those of them that are not said again.
	saying, said map[string]bool
}

// run makes the function that cobra calls of one that does a command's work: it reads the configuration first.
func (c *cli) run(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return c.runUnconfigured(func(ctx context.Context, args []string) error {
		if err := c.setup(); err != nil {
			return err
		}
		return work(ctx, args)
	})
}

// runUnconfigured is run for what needs no configuration. It classifies the error, and makes sure that what was printed
// was really written.
func (c *cli) runUnconfigured(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		c.command = cmd.CommandPath()
		if o := cmd.Flags().Lookup("output"); o != nil && o.Value.String() == "json" {
			c.env.progress.mute() // who reads along is a program
		}
		c.out = bufio.NewWriterSize(c.env.stdout, 64<<10)
		err := work(ctx, args)
		if flushErr := c.out.Flush(); flushErr != nil && (err == nil || errors.Is(err, errDifferent)) {
			err = systemError("writing to standard output: %w", flushErr)
		}
		if err != nil {
			return classify(ctx, err)
		}
		return nil
	}
}

// setup reads the configuration and starts the log.
func (c *cli) setup() error {
	file := c.configFile
	if file == "" {
		file = c.env.getenv("SVCCTL_CONFIG")
	}
	cfg, err := config.Load(config.Source{File: file, Flags: c.flags})
	if err != nil {
		return &exitError{exitInput, err}
	}
	if cfg.NodeName == "" {
		if cfg.NodeName, err = c.env.nodeName(); err != nil {
			return systemError("the host has no name, so set nodeName in the configuration: %w", err)
		}
	}
	c.config = cfg
	return c.startLog()
}

func (c *cli) startLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.config.LogLevel)); err != nil {
		return inputError("--log-level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.config.LogFormat == "json" {
		c.env.progress.mute()
		c.log = slog.New(slog.NewJSONHandler(c.env.stderr, opts))
		return nil
	}
	opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{} // who reads along knows it, and the journal writes its own
		}
		return a
	}
	c.log = slog.New(slog.NewTextHandler(c.env.stderr, opts))
	return nil
}

func (c *cli) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // an error stays in the writer until it is flushed
}

// notef writes a line for people to standard error.
func (c *cli) notef(format string, args ...any) {
	line := printable(fmt.Sprintf(format, args...))
	if c.said[line] {
		return
	}
	if c.saying == nil {
		c.saying = map[string]bool{}
	}
	c.saying[line] = true
	_, _ = fmt.Fprintln(c.env.stderr, line)
}

func (c *cli) store() *state.Store {
	return state.NewStore(c.config.StateDir, c.config.Netns, c.config.Table)
}

// checkFormat refuses an output format that is none of those a command has.
func checkFormat(format string, formats ...string) error {
	for _, f := range formats {
		if f == format {
			return nil
		}
	}
	return inputError("unknown output format %q: there are %s%s", format, joinWords(formats), didYouMean(format, formats))
}

// joinWords gives "a, b and c".
func joinWords(words []string) string {
	text := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			text += " and "
		default:
			text += ", "
		}
		text += w
	}
	return text
}

// count gives "1 service" or "2 services".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
