package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/render"
)

const renderHelp = `Print the compiled ruleset. The same input gives the same bytes, whatever is applied on this host.

The formats are nft, a script that "nft -f" loads; json, the schema of libnftables; and dot, a graph
of chains, sets and maps for Graphviz.`

const renderExamples = `  svcctl render -f services/ > rendered.nft
  svcctl render -f services/ -o dot | dot -Tsvg > rules.svg
  svcctl render -f services/ --dump-after=services`

// renderers are the output formats.
var renderers = map[string]renderer{"nft": render.NFT, "json": render.JSON, "dot": render.DOT}

type renderOptions struct {
	input     inputFlags
	output    string
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
	flags.StringVarP(&o.output, "output", "o", "nft", "output format: nft, json or dot")
	flags.StringVar(&o.dumpAfter, "dump-after", "", "print the ruleset as it is after this pass of the compiler")
	completeFlag(cmd, "output", "nft", "json", "dot")
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
	if err := checkFormat(o.output, "nft", "json", "dot"); err != nil {
		return err
	}
	if o.dumpAfter != "" {
		if err := checkPass(o.dumpAfter); err != nil {
			return err
		}
	}
	in, err := c.load(ctx, &o.input, notEmpty)
	if err != nil {
		return err
	}
	write := renderers[o.output]
	if o.dumpAfter == "" {
		rs, err := c.compile(in.model)
		if err != nil {
			return err
		}
		return write(c.out, rs)
	}
	var dumpErr error
	_, err = c.compile(in.model, compiler.After(func(pass string, rs *graph.Ruleset) {
		if pass == o.dumpAfter {
			dumpErr = write(c.out, rs)
		}
	}))
	if err != nil {
		return err
	}
	return dumpErr
}

func checkPass(name string) error {
	names := passNames()
	for _, n := range names {
		if n == name {
			return nil
		}
	}
	return inputError("there is no pass %q; the passes are %s", name, joinWords(names))
}
