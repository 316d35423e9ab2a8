package main

import (
	"context"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/trace"
	"github.com/svcctl/svcctl/nft"
	"github.com/svcctl/svcctl/render"
)

const explainHelp = `Say what happens to the first packet of a connection: every rule and element it meets, the endpoints
with their probabilities, whether its source address is rewritten and why, and the line of the
manifest behind each element.

SRC is an address, DST:PORT[/PROTOCOL] where it connects to; the protocol is tcp if none is given. With
-f the rules are those that the manifests compile to, without it those in the kernel. A source or
destination that is one of the node's own addresses is on the node; --local says which those are. That a
packet is refused or dropped is an answer, and no failure.`

const explainExamples = `  svcctl explain 192.168.0.2 10.111.193.186:80/tcp -f services/
  svcctl explain 10.1.0.29 10.96.0.10:53/udp
  svcctl explain fd00:c0::2 '[fd00:10:96::1]:80' -f services/ -o json`

type explainOptions struct {
	input  inputFlags
	output string
	local  []string
}

func newExplainCommand(c *cli) *cobra.Command {
	o := &explainOptions{input: inputFlags{quiet: true}}
	cmd := &cobra.Command{
		Use:     "explain SRC DST:PORT[/PROTOCOL]",
		Short:   "Say what happens to a packet, and why",
		Long:    explainHelp,
		Example: explainExamples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return inputError("explain takes a source address and a destination, like 192.168.0.2 10.96.0.1:80/tcp")
			}
			return nil
		},
		RunE: c.run(func(ctx context.Context, args []string) error { return c.explain(ctx, o, args[0], args[1]) }),
	}
	o.input.addTo(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "text", "output format: text or json")
	flags.StringSliceVar(&o.local, "local", nil,
		"the node's own addresses (default: those of the interfaces of this host, or of the namespace of --netns)")
	completeFlag(cmd, "output", "text", "json")
	return cmd
}

func (c *cli) explain(ctx context.Context, o *explainOptions, src, dst string) error {
	if err := checkFormat(o.output, "text", "json"); err != nil {
		return err
	}
	packet, err := parsePacket(src, dst)
	if err != nil {
		return err
	}
	rs, err := c.explained(ctx, &o.input)
	if err != nil {
		return err
	}
	host, err := c.host(o.local)
	if err != nil {
		return err
	}
	result, err := trace.Walk(rs, host, packet)
	if err != nil {
		return inputError("%s and %s are not of one address family: the source has to be of that of the destination", packet.Source.Addr(), packet.Dest.Addr())
	}
	if o.output == "json" {
		return render.ExplainJSON(c.out, packet, result)
	}
	return render.Explain(c.out, packet, result)
}

// explained gives the rules to explain with: those of the manifests, or those in the kernel.
func (c *cli) explained(ctx context.Context, f *inputFlags) (*graph.Ruleset, error) {
	if len(f.paths) > 0 {
		f.held = heldBy(c.loadRecordQuietly(c.store()))
		return c.desired(ctx, f)
	}
	t, err := c.openTarget(false)
	if err != nil {
		return nil, err
	}
	defer t.close()
	st, err := t.read(ctx)
	if err != nil {
		return nil, err
	}
	if len(st.Ruleset.Tables) == 0 {
		return nil, inputError("no table %s in the kernel: \"svcctl apply\" makes it, -f names manifests to look at instead", c.config.Table)
	}
	return st.Ruleset, nil
}

func (c *cli) host(local []string) (trace.Host, error) {
	var host trace.Host
	for _, text := range local {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return host, inputError("--local: %q is not an IP address, like 192.168.0.1", text)
		}
		host.Local = append(host.Local, addr)
	}
	if len(local) > 0 {
		return host, nil
	}
	var err error
	host.Local, err = nft.LocalAddrs(c.config.Netns)
	return host, err
}

// parsePacket reads "192.168.0.2" and "10.96.0.1:80/tcp".
func parsePacket(src, dst string) (trace.Packet, error) {
	var p trace.Packet
	source, err := netip.ParseAddr(src)
	if err != nil || source.Zone() != "" {
		return p, inputError("the source %q is not an IP address, like 192.168.0.2 or fd00::2", src)
	}
	at, proto, given := strings.Cut(dst, "/")
	dest, err := netip.ParseAddrPort(at)
	if err != nil || dest.Addr().Zone() != "" {
		return p, inputError("the destination %q is not ADDRESS:PORT[/PROTOCOL], like 10.96.0.1:80/tcp or [fd00::1]:53/udp", dst)
	}
	p = trace.Packet{Source: netip.AddrPortFrom(source, 0), Dest: dest, Proto: graph.TCP}
	if !given {
		return p, nil
	}
	for _, known := range graph.Protos {
		if strings.EqualFold(proto, known.String()) {
			p.Proto = known
			return p, nil
		}
	}
	return p, inputError("the protocol %q is none of tcp, udp and sctp", proto)
}
