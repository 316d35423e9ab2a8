package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/render"
)

const dnsHelp = `Names for the Services, as the Kubernetes DNS specification has them.

A Service is NAME.NAMESPACE.svc.DOMAIN: its ClusterIPs; of a headless one the addresses of its ready
endpoints, each of which has a name of its own below it, its hostname or its address with dashes; an
ExternalName is an alias. Named ports have SRV records, addresses have reverse zones.

Without -f it is about what is applied on this host.`

func newDNSCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Write or serve the names of Services",
		Long:  dnsHelp,
		Example: `  svcctl dns hosts -f services/ > hosts.services
  svcctl dns serve`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newDNSZoneCommand(c), newDNSHostsCommand(c), newDNSServeCommand(c))
	return cmd
}

// dnsOptions are what the commands below dns have in common.
type dnsOptions struct {
	input         inputFlags
	clusterDomain string
	ttl           uint32
	nameServers   []string
}

func (o *dnsOptions) addTo(cmd *cobra.Command) {
	o.input.quiet = true
	o.input.addTo(cmd)
	cmd.Flags().StringVar(&o.clusterDomain, "cluster-domain", dns.DefaultClusterDomain, "domain that the names end in")
}

func (o *dnsOptions) addZoneFlagsTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Uint32Var(&o.ttl, "ttl", dns.DefaultTTL, "for how many seconds answers may be kept")
	flags.StringArrayVar(&o.nameServers, "name-server", []string{dns.DefaultNameServer},
		"name of a server of the zones, the primary one first; can be given several times")
}

// dnsConfig gives the configuration of the zones. Reverse zones are there for all addresses of Services and of pods, so that
// which zones there are does not change with what is in them.
func (c *cli) dnsConfig(o *dnsOptions) (dns.Config, error) {
	name := func(s string) dns.Name { return dns.Name(strings.ToLower(strings.TrimSuffix(s, "."))) }
	cfg := dns.Config{
		ClusterDomain: name(o.clusterDomain),
		TTL:           o.ttl,
		ReverseCIDRs:  slices.Concat(c.config.ServiceCIDRs, c.config.ClusterCIDRs),
	}
	for _, n := range o.nameServers {
		cfg.NameServers = append(cfg.NameServers, name(n))
	}
	if err := cfg.Check(); err != nil {
		return cfg, inputError("%w", err)
	}
	return cfg, nil
}

// names gives the zones of -f, or of what is applied. What DNS cannot say is told on standard error.
func (c *cli) names(ctx context.Context, o *dnsOptions, cfg dns.Config) (*dns.Zones, error) {
	in, err := c.look(ctx, &scope{input: o.input, allNamespaces: true})
	if err != nil {
		return nil, err
	}
	defer pauseCollector(pausedMemory)()
	c.phase("making zones")
	zones, found := dns.Build(in.model, cfg)
	return zones, c.judge(found, &inputFlags{})
}

const dnsHostsHelp = `Write the names of Services as lines of a hosts file.

Each ClusterIP has a line, and each ready endpoint of a headless Service. An ExternalName is a comment:
such a file cannot say that a name is another one's alias.`

const dnsHostsExamples = `  svcctl dns hosts -f services/ > hosts.services
  svcctl dns hosts`

func newDNSHostsCommand(c *cli) *cobra.Command {
	o := &dnsOptions{ttl: dns.DefaultTTL, nameServers: []string{dns.DefaultNameServer}}
	cmd := &cobra.Command{
		Use:     "hosts [-f PATH…]",
		Short:   "Write the names of Services as lines of a hosts file",
		Long:    dnsHostsHelp,
		Example: dnsHostsExamples,
		Args:    noArguments,
		RunE: c.run(func(ctx context.Context, _ []string) error {
			cfg, err := c.dnsConfig(o)
			if err != nil {
				return err
			}
			zones, err := c.names(ctx, o, cfg)
			if err != nil {
				return err
			}
			return render.Hosts(c.out, zones.Hosts)
		}),
	}
	o.addTo(cmd)
	return cmd
}
