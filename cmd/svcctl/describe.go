package main

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/render"
)

const describeHelp = `Show services in full, as kubectl describe does: those of -f, or, without it, those that are recorded
as applied. Without a name all services of the namespace are shown.

Below what kubectl shows, "Traffic" says for each port which addresses lead to it, and to which
endpoints: where they are, whether they are ready, and the share of new connections each gets. Where
"counters: true" was applied, and what is applied is shown, it says how many there were.

A name that is not there leads to the exit code 2.`

const describeExamples = `  svcctl describe service web -n demo
  svcctl describe service/web -n demo -f services/
  svcctl describe services -A -l app=web`

func newDescribeCommand(c *cli) *cobra.Command {
	var (
		s        scope
		selector string
		asked    []*request
	)
	cmd := &cobra.Command{
		Use:     "describe (service [NAME…] | service/NAME…)",
		Short:   "Show services in full",
		Long:    describeHelp,
		Example: describeExamples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return inputError("must say what to describe, as in \"svcctl describe service NAME\"")
			}
			var err error
			asked, err = parseRequests(args)
			if err != nil || len(asked) != 1 || asked[0].kind.resource != "services" {
				return inputError("cannot describe %q: only services", args[0])
			}
			return nil
		},
		RunE: c.run(func(ctx context.Context, _ []string) error {
			return c.describe(ctx, &s, selector, asked[0])
		}),
		ValidArgsFunction: c.completeDescribe(&s),
	}
	s.addTo(c, cmd)
	cmd.Flags().StringVarP(&selector, "selector", "l", "", "show only services that have these labels, as in get")
	return cmd
}

func (c *cli) describe(ctx context.Context, s *scope, selector string, asked *request) error {
	matching, err := labels.Parse(selector)
	switch {
	case err != nil:
		return inputError("--selector: %w", err)
	case len(asked.names) > 0 && s.allNamespaces:
		return inputError("a name is looked up in one namespace: leave out -A, or the names")
	case len(asked.names) > 0 && selector != "":
		return inputError("name cannot be provided when a selector is specified: leave one out")
	}
	in, err := c.look(ctx, s)
	if err != nil {
		return err
	}
	l := findServices(s, in)
	l.pick(asked, s.namespace, serviceKeys(in.model))
	l.selectLabels(matching)
	if len(l.order) == 0 && len(l.missing) == 0 {
		c.noteNothing(s)
		return nil
	}
	all := s.services(in)
	services := make([]*resolve.Service, len(l.order))
	for i, at := range l.order {
		services[i] = all[at]
	}
	var counted *render.Stats
	if len(s.input.paths) == 0 {
		counted = c.countedOf(ctx, in.model, services)
	}
	if err := render.DescribeServices(c.out, services, in.model.ServicePorts, counted); err != nil {
		return err
	}
	return notFound(l.missing)
}
