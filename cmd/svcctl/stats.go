package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/render"
)

const statsHelp = `Show what is counted: the connections of each service address and endpoint, the clients that are
remembered for session affinity, and what was refused and dropped.

Connections are counted where the configuration said "counters: true" when the services were applied.
An address keeps its count while its endpoints come and go; making the tables anew, or giving the
service another address, begins at zero.

-o prometheus is Prometheus' text format, for the textfile collector of node_exporter.`

const statsExamples = `  svcctl stats
  svcctl stats -o wide --watch
  svcctl stats -o prometheus > svcctl.prom.tmp && mv svcctl.prom.tmp svcctl.prom`

// The bounds of --watch.
const (
	watchDefault  = "2s"
	watchShortest = 100 * time.Millisecond
)

type statsOptions struct {
	output string
	watch  time.Duration // 0: once
}

func newStatsCommand(c *cli) *cobra.Command {
	o := &statsOptions{}
	cmd := &cobra.Command{
		Use:     "stats",
		Short:   "Show connections per service address and endpoint, refusals, drops and affinity",
		Long:    statsHelp,
		Example: statsExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.stats(ctx, o) }),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "text",
		"output format: text, wide (with endpoints), json or prometheus")
	flags.DurationVarP(&o.watch, "watch", "w", 0, "show it again and again, with connections per second")
	flags.Lookup("watch").NoOptDefVal = watchDefault
	completeFlag(cmd, "output", "text", "wide", "json", "prometheus")
	return cmd
}

func (c *cli) stats(ctx context.Context, o *statsOptions) error {
	if err := checkFormat(o.output, "text", "wide", "json", "prometheus"); err != nil {
		return err
	}
	switch {
	case o.watch != 0 && o.output == "prometheus":
		return inputError("--watch is for people and programs that read along; -o prometheus is one reading: leave one out")
	case o.watch != 0 && o.watch < watchShortest:
		return inputError("--watch=%s: the shortest is %s", o.watch, watchShortest)
	}
	var names addressNames
	var before *render.Stats
	for {
		s, err := c.readStats(ctx, &names)
		switch {
		case err != nil && (o.watch == 0 || before == nil):
			return err
		case err != nil && ctx.Err() != nil:
			return nil // that is how watching ends
		case err != nil: // others may have changed the tables meanwhile: the next reading tells
			report(c.env, classify(ctx, err))
		default:
			if err := c.showStats(o, s, before); err != nil || o.watch == 0 {
				return err
			}
			before = s
		}
		c.idle()
		select {
		case <-ctx.Done():
			return nil // that is how watching ends
		case <-time.After(o.watch):
		}
	}
}

// showStats prints a reading, after another one where there was one.
func (c *cli) showStats(o *statsOptions, s, before *render.Stats) error {
	if before != nil {
		c.betweenReadings(o)
	}
	if err := c.printStats(s, before, o.output); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return systemError("writing to standard output: %w", err)
	}
	return nil
}

// betweenReadings puts the next reading in place of the last one on a terminal, and keeps them apart elsewhere.
func (c *cli) betweenReadings(o *statsOptions) {
	switch {
	case o.output == "json":
	case c.env.terminal:
		c.printf("\x1b[H\x1b[2J")
	default:
		c.printf("\n")
	}
}

func (c *cli) printStats(s, before *render.Stats, output string) error {
	switch output {
	case "json":
		return render.StatsJSON(c.out, s)
	case "prometheus":
		return render.StatsPrometheus(c.out, s)
	}
	c.printStatsHead(s)
	if len(s.Addresses) == 0 {
		c.printf("\nNo service addresses\n")
		return nil
	}
	c.printf("\n")
	return render.StatsTable(c.out, s, render.StatsOptions{Endpoints: output == "wide", Before: before})
}

func (c *cli) printStatsHead(s *render.Stats) {
	line := func(title, format string, args ...any) {
		c.printf("%-13s%s\n", title+":", printable(fmt.Sprintf(format, args...)))
	}
	line("Table", "%s", s.Table)
	if s.Netns != "" {
		line("Namespace", "%s", s.Netns)
	}
	if s.State == 0 {
		line("Applied", "nothing that is recorded in %s", c.config.StateDir)
	} else {
		line("Applied", "%s (%s ago), state %d", s.Applied.Format(time.RFC3339), age(s.Time.Sub(s.Applied)), s.State)
	}
	if s.Drifted {
		line("Kernel", "has something else: \"svcctl verify\" says what")
	}
	if !s.Counters {
		line("Counters", "none: connections are counted when \"counters: true\" is in the configuration of an apply")
		return
	}
	var unused, unallocated, ranges uint64
	for _, u := range s.Unserved {
		unused, unallocated, ranges = unused+u.UnusedPorts, unallocated+u.Unallocated, ranges+u.SourceRanges
	}
	line("Refused", "%d packets to unused ports of ClusterIPs", unused)
	line("Dropped", "%d packets to unallocated service addresses, %d by source ranges", unallocated, ranges)
}
