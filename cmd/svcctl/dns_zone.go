package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/internal/zonefile"
	"github.com/svcctl/svcctl/render"
)

const dnsZoneHelp = `Write the names of Services as zone files, for BIND, CoreDNS and every other server that reads them.

There is one forward zone, and reverse zones for the addresses of serviceCIDRs and clusterCIDRs, whether
they are in use or not; another address brings the zone of its /24 or /64. With names of zones only
these are written.

On standard output the serial number is a function of the content: the same everywhere, another one
when the content is another. --output-dir writes a file ZONE.zone for each zone instead, and there the
serial number is that of the file before where the content is the same, and the next one where it is
not, as secondary servers need it. A file is replaced as a whole or not at all, one that does not
change is not touched, and one that svcctl did not write is a conflict (exit code 4). Files of zones
that are no more are left where they are, with a warning.`

const dnsZoneExamples = `  svcctl dns zone cluster.local -f services/
  svcctl dns zone -f services/ --output-dir /etc/bind/svcctl --name-server ns1.example.com`

type dnsZoneOptions struct {
	dnsOptions
	outputDir string
}

func newDNSZoneCommand(c *cli) *cobra.Command {
	o := &dnsZoneOptions{}
	cmd := &cobra.Command{
		Use:     "zone [ZONE…] [-f PATH…]",
		Short:   "Write the names of Services as zone files",
		Long:    dnsZoneHelp,
		Example: dnsZoneExamples,
		Args:    cobra.ArbitraryArgs,
		RunE:    c.run(func(ctx context.Context, args []string) error { return c.dnsZone(ctx, o, args) }),
		// The zones are not known before the manifests are read; files are no arguments here.
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addTo(cmd)
	o.addZoneFlagsTo(cmd)
	cmd.Flags().StringVar(&o.outputDir, "output-dir", "", "directory to write a file for each zone into")
	if err := cmd.MarkFlagDirname("output-dir"); err != nil {
		panic(err) // there is no such flag: a defect of the tree
	}
	return cmd
}

func (c *cli) dnsZone(ctx context.Context, o *dnsZoneOptions, names []string) error {
	cfg, err := c.dnsConfig(&o.dnsOptions)
	if err != nil {
		return err
	}
	all, err := c.names(ctx, &o.dnsOptions, cfg)
	if err != nil {
		return err
	}
	zones, err := pickZones(all.Zones, names)
	if err != nil {
		return err
	}
	if o.outputDir != "" {
		return c.writeZones(zones, o.outputDir, len(names) == 0)
	}
	for i, z := range zones {
		if i > 0 {
			c.printf("\n")
		}
		if err := render.Zone(c.out, z); err != nil {
			return err
		}
	}
	return nil
}

// pickZones gives the zones of the given names; no name is all of them.
func pickZones(zones []*dns.Zone, names []string) ([]*dns.Zone, error) {
	if len(names) == 0 {
		return zones, nil
	}
	var out []*dns.Zone
	for _, name := range names {
		i := slices.IndexFunc(zones, func(z *dns.Zone) bool {
			return string(z.Origin) == strings.ToLower(strings.TrimSuffix(name, "."))
		})
		if i < 0 {
			var known []string
			for _, z := range zones {
				known = append(known, string(z.Origin))
			}
			return nil, inputError("there is no zone %q; the zones are %s; files are named with -f", name, joinWords(known))
		}
		out = append(out, zones[i])
	}
	return out, nil
}

// writeZones writes a file for each zone.
func (c *cli) writeZones(zones []*dns.Zone, dir string, all bool) error {
	files := make([]string, len(zones))
	for i, z := range zones {
		files[i] = string(z.Origin) + zonefile.Extension
		text := func(serial uint32) ([]byte, error) {
			numbered := *z
			numbered.SOA.Serial = serial
			var b bytes.Buffer
			err := render.Zone(&b, &numbered)
			return b.Bytes(), err
		}
		result, err := zonefile.Update(dir, files[i], render.ZoneHead, z.SOA.Serial, dns.NextSerial, text)
		switch {
		case errors.Is(err, zonefile.ErrForeign):
			return conflictError("%w: move it away, or choose another --output-dir", err)
		case err != nil:
			return systemError("%w", err)
		}
		c.notef("%s: %s", result.Path, result)
	}
	if !all {
		return nil
	}
	stale, err := zonefile.Others(dir, render.ZoneHead, files)
	for _, path := range stale {
		c.notef("warning: %s is of a zone that is no more", path)
	}
	if err != nil {
		return systemError("%w", err)
	}
	return nil
}
