package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/internal/dnsserver"
	"github.com/svcctl/svcctl/internal/watch"
)

const dnsServeHelp = `Answer DNS queries about Services, over UDP and TCP, until SIGTERM or SIGINT.

It answers for its zones, as "svcctl dns zone" writes them, and refuses everything else: it asks no
other server and transfers no zone. Several addresses of one name are given in turn. The resolver of
the host, or another server, sends it the queries for its zones: docs/dns.md says how.

When the manifests change, or what is applied where there is no -f, it reads them again; so it does on
SIGHUP. An input that has errors changes nothing: they are written to standard error, and the old
answers stay.

It listens in the network namespace that it is started in: --netns says of which one it serves what is
applied.`

const dnsServeExamples = `  svcctl dns serve
  svcctl dns serve -f services/ --listen 127.0.0.1:5353 --listen '[::1]:5353'
  dig @127.0.0.1 -p 5353 web.demo.svc.cluster.local`

type dnsServeOptions struct {
	dnsOptions
	listen []string
}

func newDNSServeCommand(c *cli) *cobra.Command {
	o := &dnsServeOptions{}
	cmd := &cobra.Command{
		Use:     "serve [-f PATH…]",
		Short:   "Answer DNS queries about Services",
		Long:    dnsServeHelp,
		Example: dnsServeExamples,
		Args:    noArguments,
		RunE:    c.run(func(ctx context.Context, _ []string) error { return c.dnsServe(ctx, o) }),
	}
	o.addTo(cmd)
	o.addZoneFlagsTo(cmd)
	cmd.Flags().StringArrayVar(&o.listen, "listen", []string{"127.0.0.1:5353"},
		"address and port to listen on, for UDP and TCP; can be given several times")
	return cmd
}

func (c *cli) dnsServe(ctx context.Context, o *dnsServeOptions) error {
	cfg, err := c.dnsConfig(&o.dnsOptions)
	if err != nil {
		return err
	}
	for _, addr := range o.listen {
		// Not a name: who answers for names must not need them.
		if _, err := netip.ParseAddrPort(addr); err != nil {
			return inputError("--listen %s: %w: it takes an address with a port, as 127.0.0.1:53 or [::1]:53", addr, err)
		}
	}
	if slices.Contains(o.input.paths, "-") {
		return inputError("standard input cannot be read again when it changes: name files or directories with -f")
	}
	// From before the first reading on, so that no change is missed.
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	paths := o.input.paths
	if len(paths) == 0 {
		paths = []string{c.store().Dir()}
	}
	watcher, err := watch.New(paths, o.input.recursive, c.log)
	if err != nil {
		return systemError("%w", err)
	}
	zones, err := c.names(ctx, &o.dnsOptions, cfg)
	if err != nil {
		return err
	}
	server, err := dnsserver.New(ctx, o.listen, zones, dnsserver.Options{Log: c.log, Now: c.env.now})
	if err != nil {
		return listenError(err)
	}
	debug.FreeOSMemory() // the manifests are many times what is kept of them
	n := &nameService{cli: c, opts: o, cfg: cfg, server: server, zones: zones}
	c.notef("serving %s and %s on %s", zones.Zones[0].Origin,
		count(len(zones.Zones)-1, "reverse zone", "reverse zones"), addresses(server.Addrs()))
	c.idle()
	n.run(ctx, watcher, reload)
	return nil
}

// listenError says what to do about an address that cannot be listened on.
func listenError(err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return systemError("%w: another server has it (\"ss -lntup\" names it); --listen takes another address or port", err)
	case errors.Is(err, unix.EACCES):
		return systemError("%w: ports below 1024 need CAP_NET_BIND_SERVICE; --listen takes another one", err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return systemError("%w: --listen takes an address of this host (\"ip address\" shows them)", err)
	default:
		return systemError("%w", err)
	}
}

// addresses gives "127.0.0.1:5353 and [::1]:5353".
func addresses(addrs []net.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return joinWords(out)
}

// nameService is a server with what it answers from.
type nameService struct {
	cli    *cli
	opts   *dnsServeOptions
	cfg    dns.Config
	server *dnsserver.Server
	zones  *dns.Zones
}

// run serves until the context ends, which is no failure: it is how a server is stopped.
func (n *nameService) run(ctx context.Context, watcher *watch.Watcher, reload <-chan os.Signal) {
	served, watched := make(chan struct{}), make(chan error, 1)
	go func() { n.server.Serve(ctx); close(served) }()
	go func() { watched <- watcher.Run(ctx) }()
	for ctx.Err() == nil {
		select {
		case <-watcher.Changes():
			n.reload(ctx)
		case <-reload:
			n.reload(ctx)
		case <-ctx.Done():
		}
	}
	<-served
	if err := <-watched; err != nil {
		n.cli.log.Debug("the end of watching files", "error", err)
	}
}

// reload reads everything again. Whatever is wrong with it is said, and nothing changes then.
func (n *nameService) reload(ctx context.Context) {
	c := n.cli
	defer debug.FreeOSMemory()
	defer c.idle()
	zones, err := c.names(ctx, &n.opts.dnsOptions, n.cfg)
	if err == nil {
		if n.same(zones) {
			c.log.Debug("read again, and nothing is different")
			return
		}
		err = n.server.Use(zones)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		report(c.env, classify(ctx, err))
		c.notef("error: the answers stay as they were")
		return
	}
	n.zones = zones
	records := 0
	for _, z := range zones.Zones {
		records += len(z.Records)
	}
	c.notef("serving what is new: %s in %s", count(records, "record", "records"), count(len(zones.Zones), "zone", "zones"))
}

// same reports whether zones say what is served already.
func (n *nameService) same(zones *dns.Zones) bool {
	return slices.EqualFunc(n.zones.Zones, zones.Zones, func(a, b *dns.Zone) bool {
		return a.Origin == b.Origin && a.SOA.Serial == b.SOA.Serial && slices.Equal(a.Records, b.Records)
	})
}
