package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/render"
)

const describeHelp = `Show services in full, as kubectl describe does: those of -f, or, without it, those that are recorded
as applied. Without a name all services of the namespace are shown.

A name that is not there leads to the exit code 2.`

const describeExamples = `  svcctl describe service web -n demo
  svcctl describe service web -n demo -f services/`

func newDescribeCommand(c *cli) *cobra.Command {
	s := &scope{}
	cmd := &cobra.Command{
		Use:     "describe service [NAME…]",
		Short:   "Show services in full",
		Long:    describeHelp,
		Example: describeExamples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return inputError("must say what to describe: services")
			}
			k, err := parseKinds(args[0])
			if err != nil || len(k) != 1 || k[0].names[0] != "services" {
				return inputError("cannot describe %q: only services", args[0])
			}
			return nil
		},
		RunE:              c.run(func(ctx context.Context, args []string) error { return c.describe(ctx, s, args[1:]) }),
		ValidArgsFunction: c.completeDescribe(s),
	}
	s.addTo(c, cmd)
	return cmd
}

func (c *cli) describe(ctx context.Context, s *scope, names []string) error {
	if len(names) > 0 && s.allNamespaces {
		return inputError("a name is looked up in one namespace: leave out -A, or the names")
	}
	in, err := c.look(ctx, s)
	if err != nil {
		return err
	}
	services, missing := pick(s.services(in), names, nameOfService)
	if len(services) == 0 && len(missing) == 0 {
		c.noteNothing(s)
		return nil
	}
	if err := render.DescribeServices(c.out, services); err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	lines := make([]string, len(missing))
	for i, n := range missing {
		lines[i] = fmt.Sprintf("services %q not found", n)
	}
	return inputError("%s", strings.Join(lines, "\n"))
}
