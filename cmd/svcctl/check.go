package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/hostfacts"
	"github.com/svcctl/svcctl/internal/preflight"
	"github.com/svcctl/svcctl/render"
)

const checkHelp = `Say whether this host can do what the manifests ask: features of the kernel, forwarding, routes, ports
that are taken, other programs that own the same addresses, filters that drop the traffic. Each thing
that was looked at has an answer, "yes", "no" or "can't tell", and where it is not "yes", the services
that it matters to and what to do.

Without -f the host is held against what is recorded as applied; where nothing is, against what every
svcctl needs.

Nothing is changed: features of the kernel are tried in a network namespace of their own, which goes
away with the trial, or in transactions that the kernel checks and does not carry out. An ordinary user
may run it, too; what takes privilege is then "can't tell".

The exit code is 1 where something would not work (a "problem"), and 0 otherwise, also where there are
warnings or something could not be told.`

const checkExamples = `  svcctl check -f services/
  svcctl check
  svcctl check -f services/ -o json`

type checkOptions struct {
	input  inputFlags
	output string
}

func newCheckCommand(c *cli) *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:     "check [-f PATH…]",
		Short:   "Say whether this host can do what the manifests ask",
		Long:    checkHelp,
		Example: checkExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.check(ctx, o) }),
	}
	o.input.quiet = true
	o.input.addTo(cmd)
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "output format: text or json")
	completeFlag(cmd, "output", "text", "json")
	return cmd
}

func (c *cli) check(ctx context.Context, o *checkOptions) error {
	if err := checkFormat(o.output, "text", "json"); err != nil {
		return err
	}
	in, err := c.look(ctx, &scope{input: o.input, allNamespaces: true})
	if err != nil {
		return err
	}
	asked := "manifests"
	switch {
	case len(o.input.paths) > 0:
		if err := checkNotEmpty(in.bundle); err != nil {
			return err
		}
	case len(in.model.Services) > 0:
		asked = "applied"
	default:
		asked = "nothing"
	}
	ask := c.ask(in.model, asked != "nothing")
	facts, err := c.facts(ctx, &ask, false)
	if err != nil {
		return err
	}
	facts.Features = hostfacts.Features(ctx, c.config.Netns)
	if ask.Given {
		desired, err := c.compile(in.model)
		if err != nil {
			return err
		}
		facts.Program = hostfacts.Program(ctx, c.config.Netns, desired)
	}
	found := preflight.Judge(facts, &ask)
	report := render.NewCheckReport(asked, len(in.model.Services), checkFindings(found))
	write := render.CheckText
	if o.output == "json" {
		write = render.CheckJSON
	}
	if err := write(c.out, report); err != nil {
		return err
	}
	if report.Problems > 0 {
		return errDifferent
	}
	return nil
}

// facts finds out about the host.
func (c *cli) facts(ctx context.Context, ask *preflight.Ask, quick bool) (*preflight.Facts, error) {
	o := hostfacts.Options{Netns: c.config.Netns, Table: c.config.Table, Quick: quick}
	return hostfacts.Gather(ctx, o, ask)
}

// ask is what a model asks of the host.
func (c *cli) ask(m *resolve.Model, given bool) preflight.Ask {
	return preflight.Ask{
		Given: given, Ports: m.ServicePorts,
		ServiceCIDRs: c.config.ServiceCIDRs, ClusterCIDRs: c.config.ClusterCIDRs,
		NodePortAddresses: c.config.NodePortAddresses, NodePortRange: c.config.NodePortRange,
		MasqueradeAll: c.config.MasqueradeAll, Counters: c.config.Counters,
	}
}

func checkFindings(found []preflight.Finding) []render.CheckFinding {
	out := make([]render.CheckFinding, 0, len(found))
	for _, f := range found {
		out = append(out, render.CheckFinding{
			Check: string(f.Check), Subject: f.Subject, Answer: f.Answer.String(), Level: f.Level.String(),
			Message: f.Message, Services: f.Services, Remedy: f.Remedy,
		})
	}
	return out
}

const (
	// warnedPorts is how many service ports the quick look of apply holds the host against.
	warnedPorts = 64
	// shownProblems is how many problems apply tells. The others are for check to tell.
	shownProblems = 5
)

// warnOfHost tells after a change what keeps this host from serving it, a line for each problem. A change that changes
// nothing was told before. What can't be told or is no problem is for "svcctl check".
func (c *cli) warnOfHost(ctx context.Context, out *outcome, in *input) {
	if !c.config.CheckHost || out == nil || !out.changed() {
		return
	}
	ask := c.ask(in.model, true).Sample(warnedPorts)
	facts, err := c.facts(ctx, &ask, true)
	if err != nil {
		c.log.Debug("looking at the host", "error", err)
		return
	}
	problems := preflight.Problems(preflight.Judge(facts, &ask))
	if !facts.Online() { // a boot applies before there is a network
		problems = slices.DeleteFunc(problems, func(f preflight.Finding) bool {
			return f.Check == preflight.ServiceRoute || f.Check == preflight.EndpointRoute
		})
	}
	for i, f := range problems {
		if i == shownProblems {
			c.notef("warning: and %d more: \"svcctl check\" tells", len(problems)-shownProblems)
			break
		}
		text := f.Message
		if f.Remedy != "" {
			text += " (" + f.Remedy + ")"
		}
		c.notef("warning: %s %s: %s", f.Check, f.Subject, text)
	}
}
