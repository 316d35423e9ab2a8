// Package trace walks one packet through a rule graph, as the kernel would: the model that explains what happens to a
// packet, and that tests compare with the kernel.
//
// It takes a [graph.Ruleset], what the host looks like to it ([Host]), and the first packet of a connection ([Packet]).
// It gives a [Result]: everything that can become of the packet, each outcome with its probability and the way that led
// there. It may assume what graph.Check promises. It knows graphs only, nothing of Services: what it says follows from
// the rules, not from what they were meant to do.
//
// What it knows of the kernel: the order of hooks and, in a hook, of base chains by priority; that translating chains see
// only the first packet of a connection and decide once for the destination and once for the source; that an accepted
// packet goes on to the next base chain and a goto does not come back; that a lookup that misses ends the rule.
package trace

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Host is what the routing table knows and rules ask for.
type Host struct {
	// Local are the node's own addresses (fib type local). Addresses of 127.0.0.0/8 and ::1 are local without being
	// listed.
	Local []netip.Addr
}

// IsLocal reports whether an address is one of the node's own.
func (h Host) IsLocal(a netip.Addr) bool {
	return a.IsLoopback() || slices.Contains(h.Local, a)
}

// Packet is the first packet of a connection. It is sent by the node itself if its source is one of the node's own
// addresses, else it arrives from outside.
type Packet struct {
	Source netip.AddrPort // port 0: unknown, no rule of svcctl reads it
	Dest   netip.AddrPort
	Proto  graph.Proto
}

// Fate is what becomes of a packet.
type Fate uint8

// The fates.
const (
	Untouched  Fate = iota // goes on to where it was sent
	Translated             // goes on to an endpoint
	Rejected               // refused, and the sender is told
	Dropped                // thrown away
)

// String gives the word of listings.
func (f Fate) String() string {
	return [...]string{"untouched", "translated", "REJECT", "DROP"}[f]
}

// Outcome is one thing that can become of the packet.
type Outcome struct {
	Fate        Fate
	Dest        netip.AddrPort // where it ends up: the endpoint for Translated
	Probability float64        // in (0, 1]
	Masquerade  bool           // its source is translated to the address of the outgoing interface
	Steps       []Step         // the way, from the first rule on
}

// Step is one lookup that let a rule go on or gave its verdict, or a rule that acted without one.
type Step struct {
	Hook  graph.HookPoint
	Chain *graph.Chain
	Rule  int            // index in Chain.Rules
	Set   *graph.Set     // the set or map that was looked up; nil for none
	Found *graph.Element // the element that was found; nil where the packet is in no element, and for no lookup
}

// Result is everything that can become of a packet. The probabilities of the outcomes add up to 1.
type Result struct {
	Outcomes []Outcome // by fate and destination
}

// Walk follows a packet through the ruleset's table of its family.
func Walk(rs *graph.Ruleset, host Host, p Packet) (*Result, error) {
	family := graph.IPv4
	if p.Dest.Addr().Is6() {
		family = graph.IPv6
	}
	if !family.Of(p.Source.Addr()) || !family.Of(p.Dest.Addr()) {
		return nil, fmt.Errorf("trace: %s and %s are not of one address family", p.Source.Addr(), p.Dest.Addr())
	}
	w := &walker{host: host, table: rs.Table(family)}
	if w.table == nil {
		w.table = &graph.Table{Family: family}
	}
	start := &packet{
		source: p.Source.Addr(), dest: p.Dest, proto: p.Proto, original: p, probability: 1,
	}
	if host.IsLocal(p.Source.Addr()) {
		w.output(start)
	} else {
		w.prerouting(start)
	}
	return &Result{Outcomes: merge(w.outcomes)}, nil
}

// merge adds up the outcomes that differ only in how they came about, keeping the most probable way.
func merge(all []Outcome) []Outcome {
	type key struct {
		fate Fate
		dest netip.AddrPort
		masq bool
	}
	index := map[key]int{}
	best := map[key]float64{}
	var out []Outcome
	for _, o := range all {
		k := key{o.Fate, o.Dest, o.Masquerade}
		i, ok := index[k]
		if !ok {
			index[k], best[k] = len(out), o.Probability
			out = append(out, o)
			continue
		}
		if o.Probability > best[k] {
			best[k], out[i].Steps = o.Probability, o.Steps
		}
		out[i].Probability += o.Probability
	}
	slices.SortFunc(out, func(a, b Outcome) int {
		return cmp.Or(cmp.Compare(a.Fate, b.Fate), a.Dest.Compare(b.Dest), -cmp.Compare(a.Probability, b.Probability))
	})
	return out
}
