package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/render"
)

const renderHelp = `Print the compiled ruleset. The same input gives the same bytes, whatever is applied on this host.

The formats are nft, a script that "nft -f" loads; json, the schema of libnftables; and two pictures:
dot, for Graphviz, and svg, which a browser shows.

A picture has the addresses of the services on the left, the shapes that choose an endpoint in the
middle, and the endpoints with their shares of new connections on the right; --service draws some of
them only. More than 40 services are counted by namespace and shape, and those without endpoints
named. "-o dot --view rules" draws the program instead: chains, sets and maps.`

const renderExamples = `  svcctl render -f services/ > rendered.nft
  svcctl render -f services/ -o svg --service demo/web > web.svg
  svcctl render -f services/ -o dot --view rules | dot -Tsvg > rules.svg
  svcctl render -f services/ --dump-after=services`

// renderers are the output formats of rulesets.
var renderers = map[string]renderer{"nft": render.NFT, "json": render.JSON, "dot": render.DOT}

// picturers are the output formats of pictures of services.
var picturers = map[string]func(io.Writer, *behaviour.Behaviour) error{
	"dot": render.ServicesDOT, "svg": render.ServicesSVG,
}

type renderOptions struct {
	input     inputFlags
	output    string
	view      string
	services  []string
	dumpAfter string
}

func newRenderCommand(c *cli) *cobra.Command {
	o := &renderOptions{}
	cmd := &cobra.Command{
		Use:     "render -f PATH…",
		Short:   "Print the compiled ruleset",
		Long:    renderHelp + "\n\nThe passes of the compiler, for --dump-after:\n" + passList(),
		Example: renderExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.render(ctx, o) }),
	}
	o.input.addTo(cmd)
	o.input.addChecksTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "nft", "output format: nft, json, dot or svg")
	flags.StringVar(&o.view, "view", "", "what a picture shows: services or, with dot, rules (default services)")
	flags.StringArrayVar(&o.services, "service", nil, "draw only this service, NAMESPACE/NAME; can be given several times")
	flags.StringVar(&o.dumpAfter, "dump-after", "", "print the ruleset as it is after this pass of the compiler")
	if err := cmd.RegisterFlagCompletionFunc("service", c.completeServices); err != nil {
		panic(err) // there is no such flag: a defect of the tree
	}
	completeFlag(cmd, "output", "nft", "json", "dot", "svg")
	completeFlag(cmd, "view", "services", "rules")
	completeFlag(cmd, "dump-after", passNames()...)
	return cmd
}

func passNames() []string {
	var names []string
	for _, p := range compiler.Passes() {
		names = append(names, p.Name)
	}
	return names
}

func passList() string {
	var b strings.Builder
	for _, p := range compiler.Passes() {
		b.WriteString("  " + p.Name + strings.Repeat(" ", max(1, 16-len(p.Name))) + p.Doc + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (c *cli) render(ctx context.Context, o *renderOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	in, err := c.load(ctx, &o.input, notEmpty)
	if err != nil {
		return err
	}
	if o.dumpAfter != "" {
		return c.dumpAfter(in.model, o)
	}
	rs, err := c.compile(in.model)
	if err != nil {
		return err
	}
	if o.view != "services" {
		return renderers[o.output](c.out, rs)
	}
	b, err := c.picture(in.model, rs, o.services)
	if err != nil {
		return err
	}
	return picturers[o.output](c.out, b)
}

// check refuses flags that do not go together, and settles the view.
func (o *renderOptions) check() error {
	if err := checkFormat(o.output, "nft", "json", "dot", "svg"); err != nil {
		return err
	}
	if o.dumpAfter != "" {
		if err := checkPass(o.dumpAfter); err != nil {
			return err
		}
	}
	switch _, isPicture := picturers[o.output]; {
	case !isPicture && (o.view != "" || len(o.services) > 0):
		return inputError("--view and --service are for pictures: -o dot or -o svg")
	case !isPicture:
		return nil
	case o.view == "" && o.dumpAfter != "" && len(o.services) == 0:
		o.view = "rules"
	case o.view == "":
		o.view = "services"
	}
	switch {
	case o.view != "services" && o.view != "rules":
		return inputError("unknown view %q: there are services and rules%s", o.view, didYouMean(o.view, []string{"services", "rules"}))
	case o.view == "services" && o.dumpAfter != "":
		return inputError("--dump-after shows rules: with -o dot, leave --view and --service out")
	case o.view == "rules" && len(o.services) > 0:
		return inputError("--service draws services, and --view rules the program that all share")
	case o.view == "rules" && o.output == "svg":
		return inputError("rules are drawn by Graphviz: -o dot --view rules | dot -Tsvg")
	}
	return nil
}

// dumpAfter prints the ruleset as it is after a pass.
func (c *cli) dumpAfter(m *resolve.Model, o *renderOptions) error {
	var dumpErr error
	_, err := c.compile(m, compiler.After(func(pass string, rs *graph.Ruleset) {
		if pass == o.dumpAfter {
			dumpErr = renderers[o.output](c.out, rs)
		}
	}))
	if err != nil {
		return err
	}
	return dumpErr
}

// picture gives what is to be drawn: the services that are named, or all.
func (c *cli) picture(m *resolve.Model, rs *graph.Ruleset, names []string) (*behaviour.Behaviour, error) {
	b := behaviour.Of(rs, nil)
	if len(names) == 0 {
		return b, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(m.Services, func(s *resolve.Service) bool { return serviceKey(s.Ref) == name })
		if i < 0 {
			return nil, inputError("there is no service %q in the input; --service takes NAMESPACE/NAME%s", name,
				didYouMean(name, serviceKeys(m)))
		}
		if s := m.Services[i]; s.Skipped != "" {
			return nil, inputError("the service %s has no address that rules serve: %s", name, s.Skipped)
		}
	}
	b.Addresses = slices.DeleteFunc(b.Addresses, func(a behaviour.Address) bool {
		return a.Owner == nil || !slices.Contains(names, serviceKey(a.Owner.Service))
	})
	return b, nil
}

func checkPass(name string) error {
	names := passNames()
	for _, n := range names {
		if n == name {
			return nil
		}
	}
	return inputError("there is no pass %q; the passes are %s%s", name, joinWords(names), didYouMean(name, names))
}
