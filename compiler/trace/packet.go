package trace

import (
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// packet is a packet on its way, with the part of its connection that rules can ask for.
type packet struct {
	source      netip.Addr
	dest        netip.AddrPort
	proto       graph.Proto
	original    Packet
	probability float64
	translated  bool // ct status dnat
	masquerade  bool
	steps       []Step
	// destDecided and sourceDecided say that the connection went through the translating chains for its destination and
	// its source: the kernel asks them once (net/netfilter/nf_nat_core.c, nf_nat_initialized).
	destDecided, sourceDecided bool
}

// split gives a copy of the packet for one way in which a choice can go.
func (p *packet) split(probability float64) *packet {
	c := *p
	c.probability *= probability
	c.steps = slices.Clip(p.steps)
	return &c
}

func (p *packet) outcome(f Fate) Outcome {
	return Outcome{
		Fate: f, Dest: p.dest, Probability: p.probability, Masquerade: p.masquerade, Steps: p.steps,
	}
}
