package differential

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/trace"
	"github.com/svcctl/svcctl/internal/netlab"
)

// silence is how long to wait before a packet that should be dropped counts as dropped. The links are virtual: an answer
// takes well under a millisecond.
const silence = 120 * time.Millisecond

// patience is how long to wait for an answer that is predicted: longer than a busy machine leaves a process without a
// processor, which is seconds.
const patience = 30 * time.Second

// packet is the first packet of a connection.
type packet struct {
	from  netip.Addr
	to    netip.AddrPort
	proto graph.Proto
}

func (p packet) String() string { return fmt.Sprintf("%s to %s/%s", p.from, p.to, p.proto) }

// memory is the key under which the node remembers the packet's sender.
func (p packet) memory() graph.Key {
	return graph.Key{Addr: p.from, Peer: p.to.Addr(), Proto: p.proto, Port: p.to.Port()}
}

// prediction is one thing that may come of a packet.
type prediction struct {
	outcome netlab.Outcome
	// Where outcome is Answered: the endpoint, and the sources that it may see.
	endpoint netip.AddrPort
	sources  []netip.Addr
	learns   bool // the node remembers the client for this
}

func (p prediction) String() string {
	if p.outcome != netlab.Answered {
		return p.outcome.String()
	}
	return fmt.Sprintf("answered at %s, which sees one of %v", p.endpoint, p.sources)
}

func (p prediction) agrees(a netlab.Answer) bool {
	return p.outcome == a.Outcome &&
		(a.Outcome != netlab.Answered || p.endpoint == a.Local && slices.Contains(p.sources, a.Source.Addr()))
}

// predict says what may come of a packet.
func (w *world) predict(t *testing.T, rs *graph.Ruleset, p packet) []prediction {
	t.Helper()
	// Where the packet has no port of its own yet, no rule asks for one.
	r, err := trace.Walk(rs, w.host, trace.Packet{Source: netip.AddrPortFrom(p.from, 0), Dest: p.to, Proto: p.proto})
	if err != nil {
		t.Fatal(err)
	}
	var out []prediction
	for _, o := range r.Outcomes {
		switch o.Fate {
		case trace.Rejected:
			out = append(out, prediction{outcome: netlab.Refused})
		case trace.Dropped:
			out = append(out, prediction{outcome: netlab.Silent})
		case trace.Untouched, trace.Translated:
			sources := []netip.Addr{p.from}
			if o.Masquerade {
				sources = w.masqueraded(o.Dest.Addr())
			}
			learns := slices.ContainsFunc(o.Steps, func(s trace.Step) bool { return s.Set != nil && s.Set.Name == graph.AffinityMap })
			out = append(out, prediction{netlab.Answered, o.Dest, sources, learns})
		default:
			panic(fmt.Sprintf("unhandled fate %s", o.Fate))
		}
	}
	return out
}

// masqueraded gives the sources that an endpoint may see where the source is translated: the node's address on the link to
// it, or for one on the node itself any of the node's.
func (w *world) masqueraded(endpoint netip.Addr) []netip.Addr {
	if w.host.IsLocal(endpoint) {
		return of(familyOf(endpoint), w.host.Local)
	}
	return []netip.Addr{gateway(endpoint)}
}

// disagreement is a packet of which something else became than what was predicted.
type disagreement struct {
	packet
	predicted []prediction
	answer    netlab.Answer
	note      string
}

func (d disagreement) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  the model: ", d.packet)
	for i, p := range d.predicted {
		if i > 0 {
			b.WriteString(", or ")
		}
		b.WriteString(p.String())
	}
	fmt.Fprintf(&b, "\n  the kernel: %s", d.answer)
	if d.note != "" {
		fmt.Fprintf(&b, "\n  %s", d.note)
	}
	return b.String()
}

// exchange sends packets and compares what comes of them with what is predicted. forgets is the shortest time for which
// the ruleset remembers clients, 0 for one that does not. count is told of every prediction that came true.
func (w *world) exchange(
	t *testing.T, rs *graph.Ruleset, forgets time.Duration, packets []packet, count func(packet, prediction),
) []disagreement {
	t.Helper()
	var all []disagreement
	for len(packets) > 0 {
		var now, later []packet
		taken := map[graph.Key]bool{}
		// What the node remembers of a packet's sender has to be known before the packet is sent: packets that are
		// remembered alike go one after the other.
		for _, p := range packets {
			if k := p.memory(); !taken[k] {
				taken[k] = true
				now = append(now, p)
			} else {
				later = append(later, p)
			}
		}
		all = append(all, w.round(t, rs, forgets, now, count)...)
		packets = later
	}
	return all
}

// round sends packets all at once.
func (w *world) round(
	t *testing.T, rs *graph.Ruleset, forgets time.Duration, packets []packet, count func(packet, prediction),
) []disagreement {
	t.Helper()
	current := rs
	if forgets > 0 {
		current = withMemory(rs, readState(t, w.conn).Ruleset)
	}
	trials := make([]trial, len(packets))
	var wg sync.WaitGroup
	for i, p := range packets {
		trials[i] = trial{packet: p, predicted: w.predict(t, current, p)}
		wg.Go(func() { trials[i].run(t.Context(), w) })
	}
	wg.Wait()
	var out []disagreement
	for _, x := range trials {
		if x.forgotten(current) {
			out = append(out, disagreement{x.packet, x.predicted, x.answer, "the node remembers the client, which the model ignores"})
			continue
		}
		// What was remembered may have been forgotten before the packet came.
		const slack = 100 * time.Millisecond
		key := x.memory()
		if since, known := w.remembered[key]; forgets > 0 && (!known || x.answered.Sub(since) > forgets-slack) {
			x.predicted = append(x.predicted, w.predict(t, rs, x.packet)...)
		}
		if x.answer.Outcome == netlab.Answered {
			w.remembered[key] = x.asked
		}
		if i := slices.IndexFunc(x.predicted, func(p prediction) bool { return p.agrees(x.answer) }); i >= 0 {
			count(x.packet, x.predicted[i])
		} else {
			out = append(out, disagreement{x.packet, x.predicted, x.answer, ""})
		}
	}
	return out
}

// trial is a packet that is sent.
type trial struct {
	packet
	predicted       []prediction
	answer          netlab.Answer
	asked, answered time.Time
}

// forgotten reports whether the model draws an endpoint for a client that the node remembers, at a service that still
// remembers its clients. A comparison of answers would never show it: the endpoint that is remembered is one of those
// that could have been drawn.
func (x *trial) forgotten(rs *graph.Ruleset) bool {
	_, remembered := rs.Table(familyOf(x.from)).Set(graph.AffinityMap).Find(x.memory())
	return remembered && len(x.predicted) > 1 &&
		!slices.ContainsFunc(x.predicted, func(p prediction) bool { return !p.learns })
}

func (x *trial) run(ctx context.Context, w *world) {
	r := netlab.Request{Protocol: protocolOf(x.proto), To: x.to, From: x.from, Patience: w.patience}
	if !slices.ContainsFunc(x.predicted, func(p prediction) bool { return p.outcome != netlab.Silent }) {
		r.Patience = silence
	}
	for again := true; again; {
		x.asked = time.Now()
		x.answer = w.places[x.from].Ask(ctx, r)
		x.answered = time.Now()
		// The next source port may be one on which the node itself listens.
		again = errors.Is(x.answer.Err, unix.EADDRINUSE)
	}
}

// withMemory gives a ruleset with what the kernel remembers at the moment.
func withMemory(rs, observed *graph.Ruleset) *graph.Ruleset {
	out := &graph.Ruleset{}
	for _, was := range rs.Tables {
		c := *was
		c.Sets = slices.Clone(was.Sets)
		for i, s := range c.Sets {
			if s.Name != graph.AffinityMap {
				continue
			}
			learnt := *s
			learnt.Elements = observed.Table(was.Family).Set(s.Name).Elements
			learnt.SortElements()
			c.Sets[i] = &learnt
		}
		out.Tables = append(out.Tables, &c)
	}
	return out
}

func protocolOf(p graph.Proto) netlab.Protocol {
	switch p {
	case graph.TCP:
		return netlab.TCP
	case graph.UDP:
		return netlab.UDP
	case graph.SCTP:
		return netlab.SCTP
	default:
		panic("no protocol " + p.String())
	}
}
