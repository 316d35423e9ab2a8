package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/safefile"
	"github.com/svcctl/svcctl/internal/source"
	"github.com/svcctl/svcctl/internal/state"
	"github.com/svcctl/svcctl/render"
)

const diffHelp = `Show what "svcctl apply" would change, and change nothing.

First comes what the change does to connections, Service by Service: addresses newly exposed or
gone, endpoints, shares of the traffic, policies, flows that are cut; the last line counts what
changes in the rules. "-o rules" lists that by Service, "-o nft" as a script that nft loads.
"-o markdown" is a comment for a pull request, and "-o json" has all of it.

Without --base the kernel is compared, which takes the privilege to read its tables. With --base it
is not asked at all: --base names other manifests, or what "svcctl render" wrote before (a file .nft,
or .json with the member "nftables"), which is compared line by line. Nor is it asked then what is
applied: Services that do not say their address get the one that follows from the input alone.

The exit code is 0 where nothing differs, 1 where something does, and more than 1 for an error.`

const diffExamples = `  svcctl diff -f services/
  svcctl diff -f services/ --base main/services/
  svcctl diff -f services/ --base main/services/ -o markdown
  svcctl diff -f services/ --base rendered.nft`

type diffOptions struct {
	input   inputFlags
	output  string
	summary bool
	base    string
}

// diffFormats are the output formats.
var diffFormats = []string{"text", "markdown", "json", "rules", "nft"}

func newDiffCommand(c *cli) *cobra.Command {
	o := &diffOptions{}
	cmd := &cobra.Command{
		Use:     "diff -f PATH…",
		Short:   "Show what apply would change",
		Long:    diffHelp,
		Example: diffExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.diff(ctx, o) }),
	}
	o.input.addTo(cmd)
	o.input.addChecksTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "text", "output format: text, markdown, json, rules or nft")
	flags.BoolVar(&o.summary, "summary", false, "a line for each Service and the sums, without details (text and markdown)")
	flags.StringVar(&o.base, "base", "", "compare with these manifests or this rendered ruleset, not with the kernel")
	completeFlag(cmd, "output", diffFormats...)
	return cmd
}

func (c *cli) diff(ctx context.Context, o *diffOptions) error {
	if err := checkFormat(o.output, diffFormats...); err != nil {
		return err
	}
	if o.summary && o.output != "text" && o.output != "markdown" {
		return inputError("--summary goes with the output formats text and markdown")
	}
	var known *state.Record
	if o.base == "" {
		known = c.loadRecord(c.store())
		o.input.held = heldBy(known)
	}
	applied := c.recall(c.store(), known)
	in, err := c.load(ctx, &o.input, notEmpty)
	if err != nil {
		return err
	}
	desired, err := c.compile(in.model)
	if err != nil {
		return err
	}
	if o.base != "" {
		text, format, err := readRendered(o.base)
		if err != nil {
			return err
		}
		if format != nil {
			return c.diffRendered(o, text, format, desired)
		}
		base, err := c.desired(ctx, &inputFlags{paths: []string{o.base}, recursive: o.input.recursive, quiet: true, noCache: o.input.noCache})
		if err != nil {
			return err
		}
		return c.printReview(&review{plan: plan.Diff(base, desired), before: base, after: desired}, o)
	}
	ch, err := c.wouldChange(ctx, in.model, known, applied(), desired)
	if err != nil {
		return err
	}
	r := &review{plan: ch.plan, before: ch.observed, after: desired, flows: &ch.flowsCut}
	if !r.plan.Empty() && o.output != "nft" && o.output != "rules" {
		r.names = c.appliedNames(known, &o.input, desired)
	}
	return c.printReview(r, o)
}

// appliedNames gives the names that addresses had: the kernel does not know whose they are, the manifests that were recorded
// do. Where there is no record, those that stay have the name that they will have.
func (c *cli) appliedNames(known *state.Record, f *inputFlags, desired *graph.Ruleset) behaviour.Names {
	names := behaviour.NamesOf(desired)
	if known == nil {
		return names
	}
	applied, err := c.compileRecord(known, f)
	if err != nil {
		c.log.Info("addresses that go are not named", "error", err)
		return names
	}
	// What was applied comes first: an address may be another Service's from now on.
	return behaviour.NamesOf(applied, desired)
}

// compileRecord compiles the manifests of a record. What may be wrong with them by now is nothing that a reader of a
// difference can do anything about, so no finding is shown.
func (c *cli) compileRecord(r *state.Record, f *inputFlags) (*graph.Ruleset, error) {
	manifests, err := c.store().Manifests(r)
	if err != nil {
		return nil, err
	}
	bundle, found := c.decode(manifests, &inputFlags{decoded: f.decoded})
	allocated, lacking := allocate.Allocate(bundle, c.config.Allocate(), heldBy(r))
	m, meant := resolve.Resolve(allocated.Bundle, c.config.Resolve())
	if err := slices.Concat(found, lacking, meant).Err(); err != nil {
		return nil, err
	}
	return c.compile(m)
}

// desired compiles the input.
func (c *cli) desired(ctx context.Context, f *inputFlags) (*graph.Ruleset, error) {
	in, err := c.load(ctx, f, notEmpty)
	if err != nil {
		return nil, err
	}
	return c.compile(in.model)
}

func notEmpty(b *manifest.Bundle) (*manifest.Bundle, error) { return b, checkNotEmpty(b) }

// wouldChange gives what apply would do, with how many flows it would cut.
func (c *cli) wouldChange(
	ctx context.Context, m *resolve.Model, known *state.Record, applied, desired *graph.Ruleset,
) (*change, error) {
	t, err := c.openTarget(false)
	if err != nil {
		return nil, err
	}
	defer t.close()
	t.expect(known, applied)
	t.expect(nil, desired)
	ch, err := t.apply(ctx, t.towards(desired), true)
	if err != nil {
		return nil, err
	}
	ch.flowsCut, err = t.countFlows(ctx, ch, desired, results(m, known, ch, func() map[string]string { return digests(m) }))
	return ch, err
}

// review is a change for people to look at.
type review struct {
	plan          *plan.Plan
	before, after *graph.Ruleset
	names         behaviour.Names // of addresses that were
	flows         *int            // how many flows carrying it out would cut, where that is known
}

// behaviour says what the change does to connections.
func (r *review) behaviour() *behaviour.Diff {
	return behaviour.Compare(behaviour.Of(r.before, r.names), behaviour.Of(r.after, nil),
		plan.StaleFlows(r.plan, r.before, r.after, nil))
}

// printReview shows a change. A plan that is not empty is a difference.
func (c *cli) printReview(r *review, o *diffOptions) error {
	opts := render.ReviewOptions{Color: c.env.color(c.config.Color), Summary: o.summary, FlowsCut: r.flows}
	var err error
	switch o.output {
	case "nft":
		err = render.PlanNFT(c.out, r.plan)
	case "json":
		err = render.PlanJSON(c.out, r.plan, r.behaviour(), r.flows)
	case "rules":
		err = render.PlanText(c.out, r.plan, render.PlanOptions{Color: opts.Color, Observed: r.before, Desired: r.after})
	case "markdown":
		err = render.ReviewMarkdown(c.out, r.plan, r.behaviour(), opts)
	default:
		err = render.ReviewText(c.out, r.plan, r.behaviour(), opts)
	}
	if err == nil && !r.plan.Empty() {
		return errDifferent
	}
	return err
}

// renderer writes a ruleset in one format.
type renderer func(w io.Writer, rs *graph.Ruleset) error

// readRendered reads a base that is a rendered ruleset, and gives the renderer of its format; nil where the base is
// manifests.
func readRendered(path string) ([]byte, renderer, error) {
	if path == "-" {
		return nil, nil, inputError("--base takes a file or directory, not standard input")
	}
	var format renderer
	switch filepath.Ext(path) {
	case ".nft":
		format = render.NFT
	case ".json":
		format = render.JSON
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, inputError("the path %q does not exist%s", path, source.Nearby(path))
	}
	if err != nil || info.IsDir() || format == nil {
		return nil, nil, nil // manifests, or source.Read says what is wrong
	}
	text, err := safefile.ReadFile(path, source.MaxBytes)
	if err != nil {
		return nil, nil, inputError("the base: %w", err)
	}
	if filepath.Ext(path) == ".json" && !isRenderedJSON(text) {
		return nil, nil, nil
	}
	return text, format, nil
}

// isRenderedJSON tells libnftables' JSON from manifests: its one member is "nftables".
func isRenderedJSON(text []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
	return ok && bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(`"nftables"`))
}

// diffRendered compares a rendered base with the same rendering of the input.
func (c *cli) diffRendered(o *diffOptions, base []byte, format renderer, desired *graph.Ruleset) error {
	if o.summary {
		return inputError("--summary compares rulesets, and the base %s is text: leave the flag out", o.base)
	}
	if o.output != "text" {
		return inputError("--output %s compares rulesets, and the base %s is text: leave the flag out", o.output, o.base)
	}
	var now bytes.Buffer
	if err := format(&now, desired); err != nil {
		return err
	}
	if bytes.Equal(base, now.Bytes()) {
		return nil
	}
	if err := render.UnifiedDiff(c.out, o.base, "the input of -f", base, now.Bytes()); err != nil {
		return fmt.Errorf("comparing with %s: %w", o.base, err)
	}
	return errDifferent
}
