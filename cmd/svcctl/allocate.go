package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/manifest"
)

const allocateHelp = `Show the addresses and node ports that Services get that do not say them, or write them into the
manifests.

A Service without clusterIP gets one of serviceCIDRs, a NodePort or LoadBalancer port without nodePort
one of nodePortRange, and a LoadBalancer without address one of loadBalancerCIDRs, if there are any.
The same manifests and configuration give the same choice everywhere, whatever the order of files.
What is applied on this host stays as it is, whatever else comes and goes: apply, diff, get, describe,
explain and allocate look into the record of it, where there is one. render, validate and diff --base
do not, so that their result depends on nothing but the input.

--write makes the choice permanent, and the same everywhere: it inserts the fields into the files and
leaves every other byte of them as it is. The address of a LoadBalancer is written into its status,
for spec.loadBalancerIP is deprecated and has room for one family only.`

const allocateExamples = `  svcctl allocate -f services/
  svcctl allocate -f services/ -R --write`

type allocateOptions struct {
	input  inputFlags
	output string
	write  bool
}

func newAllocateCommand(c *cli) *cobra.Command {
	o := &allocateOptions{input: inputFlags{quiet: true}}
	cmd := &cobra.Command{
		Use:     "allocate -f PATH…",
		Short:   "Show or write the addresses that Services get",
		Long:    allocateHelp,
		Example: allocateExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.allocate(ctx, o) }),
	}
	o.input.addTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "text", "output format: text or json")
	flags.BoolVar(&o.write, "write", false, "write what is chosen into the files")
	completeFlag(cmd, "output", "text", "json")
	return cmd
}

func (c *cli) allocate(ctx context.Context, o *allocateOptions) error {
	if err := checkFormat(o.output, "text", "json"); err != nil {
		return err
	}
	if o.write && slices.Contains(o.input.paths, "-") {
		return inputError("--write changes files, and standard input is none: name them with -f")
	}
	o.input.held = heldBy(c.loadRecordQuietly(c.store()))
	in, err := c.load(ctx, &o.input, notEmpty)
	if err != nil {
		return err
	}
	if o.write {
		if err := c.writeAllocated(in, &o.input); err != nil {
			return err
		}
	}
	return c.printAssignments(in.allocated.Assignments, o.output)
}

// assignment is how an assignment is printed as JSON.
type assignment struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Field     string `json:"field"`
	Value     any    `json:"value"` // an address, or the number of a port
}

func (c *cli) printAssignments(all []allocate.Assignment, format string) error {
	if format == "json" {
		out := make([]assignment, len(all))
		for i, a := range all {
			out[i] = assignment{a.Service.Namespace, a.Service.Name, a.Field, a.Value()}
			if a.Port != 0 {
				out[i].Value = a.Port
			}
		}
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(out)
	}
	if len(all) == 0 {
		c.notef("nothing to allocate: the Services say all their addresses and node ports")
		return nil
	}
	w := tabwriter.NewWriter(c.out, 6, 4, 3, ' ', 0) // as kubectl's tables
	_, _ = fmt.Fprintln(w, "NAMESPACE\tNAME\tFIELD\tVALUE")
	for _, a := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Service.Namespace, a.Service.Name, a.Field, a.Value())
	}
	return w.Flush()
}

// writeAllocated writes what was chosen into the files: into all of them, or, unless the disk fails in between, into none.
func (c *cli) writeAllocated(in *input, f *inputFlags) (err error) {
	changed, found := manifest.Rewrite(in.sources, in.allocated.Edits())
	if err := c.judge(found, f); err != nil {
		return err
	}
	var written drafts
	defer func() { err = errors.Join(err, written.discard()) }()
	for _, s := range changed {
		was := slices.IndexFunc(in.sources, func(t manifest.Source) bool { return t.Name == s.Name })
		if err := written.add(s.Name, in.sources[was].Data, s.Data); err != nil {
			return err
		}
	}
	for _, d := range written.list {
		if err := d.publish(); err != nil {
			return err
		}
		c.notef("%s: written", d.name)
	}
	return nil
}
