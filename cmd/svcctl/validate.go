package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/resolve"
)

const validateHelp = `Check manifests. Every problem is listed, with file, line and field, not only the first.

Nothing else is asked: neither the kernel nor what is applied.`

const validateExamples = `  svcctl validate -f services/
  svcctl validate -f services/ --strict --warnings-as-errors`

func newValidateCommand(c *cli) *cobra.Command {
	f := &inputFlags{}
	cmd := &cobra.Command{
		Use:     "validate -f PATH…",
		Short:   "Check manifests",
		Long:    validateHelp,
		Example: validateExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.validate(ctx, f) }),
	}
	f.addTo(cmd)
	f.addChecksTo(cmd)
	return cmd
}

func (c *cli) validate(ctx context.Context, f *inputFlags) error {
	in, err := c.load(ctx, f, notEmpty)
	if err != nil {
		return err
	}
	// The compiler can say no more about the input, but if it were to, this is where to hear it.
	if _, err := c.compile(in.model); err != nil {
		return err
	}
	c.printf("%s, %s: valid\n", count(len(in.model.Services), "service", "services"),
		count(endpoints(in.model), "endpoint", "endpoints"))
	return nil
}

// endpoints counts the endpoints of all Services, ready or not. One that serves two Services is two.
func endpoints(m *resolve.Model) int {
	n := 0
	for _, s := range m.Services {
		for _, slice := range s.Slices {
			n += len(slice.EndpointSlice.Endpoints)
		}
	}
	return n
}
