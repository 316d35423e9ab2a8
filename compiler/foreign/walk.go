package foreign

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// Packet is the first packet of a connection, as far as it is known.
type Packet struct {
	To       netip.AddrPort
	Proto    uint8
	Local    bool // To is one of the host's own addresses
	In       string
	Out      string // "" for not known
	Tracked  bool   // connection tracking has seen it: its state is new
	Received bool   // it has come by an interface, even where it is not known by which
	// Translated says that svcctl has chosen an endpoint, which is what To is.
	Translated bool
}

// Outcomes says what can become of a packet in a chain.
type Outcomes struct {
	// Otherwise is what becomes of it where nothing matches of which that is not known.
	Otherwise Op
	// Possible are the outcomes that are possible, by [Op].
	Possible [Queue + 1]bool
	// Untracked says that the packet certainly passes connection tracking by, and so every translation.
	Untracked bool
	// By names the rule or policy that decides Otherwise: "rule 3 of chain FORWARD", "the policy of chain forward".
	By string
}

// Drops reports whether the packet is dropped where nothing unknown matches, and whether it is whatever matches.
func (o *Outcomes) Drops() (mostly, certainly bool) {
	mostly = o.Otherwise == Drop || o.Otherwise == Reject
	return mostly, mostly && !o.Possible[Accept] && !o.Possible[Queue]
}

// Walk sends a packet through a base chain. The outcome is Accept, Drop, Reject, Queue or Translate; NoTrack is only ever
// possible besides.
func (t *Table) Walk(c *Chain, p *Packet) Outcomes {
	w := walker{table: t, packet: p}
	w.chain(c, true, 0)
	if !w.decided {
		w.out.Otherwise, w.out.By = Accept, "the policy of chain "+c.Name
		if c.Base != nil && c.Base.Drop {
			w.out.Otherwise = Drop
		}
	}
	w.out.Possible[w.out.Otherwise] = true
	return w.out
}

type walker struct {
	table   *Table
	packet  *Packet
	out     Outcomes
	decided bool
	steps   int
}

const (
	maxDepth = 16 // the kernel's own (NFT_JUMP_STACK_SIZE)
	maxSteps = 1 << 16
)

// answer is what is known of a match.
type answer uint8

const (
	no answer = iota
	yes
	maybe
)

func (a answer) not(invert bool) answer {
	if !invert || a == maybe {
		return a
	}
	return yes - a
}

// chain goes through a chain. Where the way there is certain, what it decides is decided; where it is not, it is possible.
func (w *walker) chain(c *Chain, certain bool, depth int) {
	for i := range c.Rules {
		if w.steps++; w.steps > maxSteps {
			w.giveUp()
			return
		}
		if leaves := w.rule(c, i, certain, depth); leaves || w.decided {
			return
		}
	}
}

// rule carries out a rule and reports whether the chain is certainly left by it.
func (w *walker) rule(c *Chain, i int, certain bool, depth int) (leaves bool) {
	a := yes
	if !certain {
		a = maybe
	}
	for _, term := range c.Rules[i].Terms {
		var v Verdict
		switch term := term.(type) {
		case Verdict:
			v = term
		case VerdictMap:
			v = w.lookup(&term, c, i, depth)
		default:
			switch w.match(term) {
			case no:
				return false
			case maybe:
				a = maybe
			case yes:
			}
			continue
		}
		if w.verdict(v, a, c, i, depth) && certain && a == yes {
			return true
		}
		if v.Op != Continue && v.Op != NoTrack || w.decided {
			return false
		}
	}
	return false
}

// giveUp says that anything is possible: the rules are too many to follow.
func (w *walker) giveUp() {
	for op := range w.out.Possible {
		if o := Op(op); o == Accept || o == Drop || o == Translate {
			w.out.Possible[op] = true
		}
	}
}

// verdict carries out a verdict and reports whether the chain is left by it.
func (w *walker) verdict(v Verdict, a answer, c *Chain, rule, depth int) (leaves bool) {
	switch v.Op {
	case Continue:
		return false
	case Return:
		return true
	case NoTrack:
		w.out.Possible[NoTrack] = true
		w.out.Untracked = w.out.Untracked || a == yes
		return false
	case Jump, Goto:
		next := w.table.Chain(v.Chain)
		if next == nil || depth >= maxDepth {
			w.giveUp()
			return false
		}
		w.chain(next, a == yes, depth+1)
		return v.Op == Goto
	default:
		w.out.Possible[v.Op] = true
		if a == yes {
			w.decided, w.out.Otherwise = true, v.Op
			w.out.By = ordinal(rule) + " of chain " + c.Name
		}
		return false
	}
}

func ordinal(i int) string { return "rule " + strconv.Itoa(i+1) }

// lookup gives the verdict of a map. Where it is not known which, all that are possible are noted and it is none.
func (w *walker) lookup(m *VerdictMap, c *Chain, rule, depth int) Verdict {
	unsure := false
	for _, e := range m.Entries {
		var here answer
		if m.Names {
			here = w.name(m.Out, e.Name)
		} else {
			here = w.in(m.Field, []Range{e.In})
		}
		switch {
		case here == yes && !unsure:
			return e.Verdict
		case here != no:
			unsure = true
			w.verdict(e.Verdict, maybe, c, rule, depth)
		}
	}
	return Verdict{Op: Continue}
}

func (w *walker) match(t Term) answer {
	switch t := t.(type) {
	case Match:
		return w.in(t.Field, t.In).not(t.Not)
	case MatchBits:
		bits, known := w.bits(t.Field)
		switch {
		case !known:
			return maybe
		case bits&t.Bits != 0:
			return yes.not(t.Not)
		default:
			return no.not(t.Not)
		}
	case MatchInterface:
		a := no
		for _, n := range t.Names {
			switch w.name(t.Out, n) {
			case yes:
				a = yes
			case maybe:
				if a == no {
					a = maybe
				}
			case no:
			}
		}
		return a.not(t.Not)
	default:
		return maybe
	}
}

// name compares an interface with a name.
func (w *walker) name(out bool, name string) answer {
	have := w.packet.In
	if out {
		have = w.packet.Out
	}
	if have == "" {
		if !out && !w.packet.Received {
			return no // the host itself sends it
		}
		if name == "lo" {
			return no // what is not known here is never the loopback
		}
		return maybe
	}
	if prefix, wild := strings.CutSuffix(name, "*"); wild && strings.HasPrefix(have, prefix) || have == name {
		return yes
	}
	return no
}

// in asks whether a field is in one of some ranges.
func (w *walker) in(f Field, ranges []Range) answer {
	v, known := w.value(f)
	if !known {
		return maybe
	}
	for _, r := range ranges {
		if bytes.Compare(v[:], r.First[:]) >= 0 && bytes.Compare(v[:], r.Last[:]) <= 0 {
			return yes
		}
	}
	return no
}

func (w *walker) value(f Field) (Value, bool) {
	p := w.packet
	switch f {
	case Destination:
		return Address(p.To.Addr()), true
	case DestinationPort:
		return Number(uint32(p.To.Port())), true
	case Protocol:
		return Number(uint32(p.Proto)), true
	case NetworkFamily:
		if p.To.Addr().Is4() {
			return Number(2), true // NFPROTO_IPV4
		}
		return Number(10), true // NFPROTO_IPV6
	case DestinationType:
		if p.Local {
			return Number(TypeLocal), true
		}
		return Number(TypeUnicast), true
	case State, Status:
		bits, known := w.bits(f)
		return Number(bits), known && f == State
	case Other:
	}
	return Value{}, false
}

// bits gives the bits of connection tracking. Of the status only what svcctl does to a connection is known.
func (w *walker) bits(f Field) (bits uint32, known bool) {
	p := w.packet
	switch {
	case f == State && p.Tracked:
		return StateNew, true
	case f == Status && p.Translated:
		return StatusDNAT, true
	default:
		return 0, false
	}
}
