package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/trace"
)

// Explain writes what becomes of a packet, for people: for every fate the way there, rule by rule with the elements met
// and the manifest lines behind them, then the endpoints with their shares, then what happens to the source address.
//
// Outcomes that share fate and source take the same way but for the endpoint drawn; the way of one stands for all.
func Explain(w io.Writer, p trace.Packet, r *trace.Result) error {
	out := newWriter(w)
	out.str(p.Source.Addr().String(), " -> ", p.Dest.String(), "/", p.Proto.String(), "\n")
	family := graph.IPv4
	if p.Dest.Addr().Is6() {
		family = graph.IPv6
	}
	for _, way := range waysOf(r) {
		out.str("\n", percent(way.probability), " ", way.headline(), "\n")
		hook := ""
		for _, s := range way.outcomes[0].Steps {
			if h := s.Hook.String(); h != hook {
				hook = h
				out.str("  ", hook, "\n")
			}
			out.str("    ", s.Chain.Name, ": ", ruleText(family, s.Chain.Rules[s.Rule]), "\n")
			if s.Found != nil {
				out.str("      @", s.Set.Name, " ", string(appendElement(nil, s.Set, s.Found)), originWords(s.Found), "\n")
			}
		}
		way.writeEndpoints(out)
	}
	return out.close()
}

// way is the outcomes that share fate and source.
type way struct {
	fate        trace.Fate
	masquerade  bool
	probability float64
	outcomes    []trace.Outcome
}

func waysOf(r *trace.Result) []*way {
	var ways []*way
next:
	for _, o := range r.Outcomes {
		for _, w := range ways {
			if w.fate == o.Fate && w.masquerade == o.Masquerade {
				w.outcomes = append(w.outcomes, o)
				w.probability += o.Probability
				continue next
			}
		}
		ways = append(ways, &way{o.Fate, o.Masquerade, o.Probability, []trace.Outcome{o}})
	}
	return ways
}

func (w *way) headline() string {
	switch {
	case w.fate == trace.Rejected:
		return "REJECT: refused, and the sender is told"
	case w.fate == trace.Dropped:
		return "DROP: thrown away"
	case w.fate == trace.Untouched:
		return "untouched: svcctl leaves the packet alone"
	case w.masquerade:
		return "to an endpoint, which sees the address of the outgoing interface as the source (masquerade)"
	default:
		return "to an endpoint, which sees the sender's own address"
	}
}

func (w *way) writeEndpoints(out *writer) {
	if w.fate != trace.Translated {
		return
	}
	out.str("  endpoints\n")
	for _, o := range w.outcomes {
		out.str("    ", percent(o.Probability), " ", o.Dest.String())
		if e := endpointOf(o); e != nil {
			out.str(originWords(e))
		}
		out.str("\n")
	}
}

// endpointOf gives the element that translated an outcome's packet, or nil.
func endpointOf(o trace.Outcome) *graph.Element {
	for _, s := range o.Steps {
		if s.Found != nil && s.Found.Data.Addr.IsValid() {
			return s.Found
		}
	}
	return nil
}

// percent writes a probability in five columns or more: " 33.3%".
func percent(p float64) string { return fmt.Sprintf("%5.1f%%", 100*p) }

// originWords names the Service port and the line behind an element, as a comment.
func originWords(e *graph.Element) string {
	var parts []string
	if e.Owner != nil {
		parts = append(parts, ownerText(e.Owner))
	}
	if !e.Pos.IsZero() {
		parts = append(parts, e.Pos.String())
	}
	if len(parts) == 0 {
		return ""
	}
	return "  # " + plain(strings.Join(parts, ", "))
}

// ExplainJSON writes the same for machines: the packet, and every outcome with its probability and its steps.
func ExplainJSON(w io.Writer, p trace.Packet, r *trace.Result) error {
	family := graph.IPv4
	if p.Dest.Addr().Is6() {
		family = graph.IPv6
	}
	doc := explainDoc{Source: p.Source.Addr().String(), Destination: p.Dest.String(), Protocol: p.Proto.String()}
	for _, o := range r.Outcomes {
		d := explainOutcome{Fate: fateWord(o.Fate), Probability: o.Probability, Masquerade: o.Masquerade}
		if o.Fate == trace.Translated {
			d.Endpoint = o.Dest.String()
		}
		for _, s := range o.Steps {
			d.Steps = append(d.Steps, explainStepOf(family, s))
		}
		doc.Outcomes = append(doc.Outcomes, d)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

type explainDoc struct {
	Source      string           `json:"source"`
	Destination string           `json:"destination"`
	Protocol    string           `json:"protocol"`
	Outcomes    []explainOutcome `json:"outcomes"`
}

type explainOutcome struct {
	Fate        string        `json:"fate"` // "untouched", "translated", "reject" or "drop"
	Endpoint    string        `json:"endpoint,omitempty"`
	Probability float64       `json:"probability"`
	Masquerade  bool          `json:"masquerade"`
	Steps       []explainStep `json:"steps"`
}

type explainStep struct {
	Hook    string `json:"hook"`
	Chain   string `json:"chain"`
	Rule    string `json:"rule"`
	Number  int    `json:"number"` // of the rule in its chain, from 1
	Set     string `json:"set,omitempty"`
	Element string `json:"element,omitempty"`
	Service string `json:"service,omitempty"`
	Port    string `json:"port,omitempty"`
	Pos     string `json:"pos,omitempty"`
}

func explainStepOf(f graph.Family, s trace.Step) explainStep {
	d := explainStep{
		Hook: s.Hook.String(), Chain: s.Chain.Name, Rule: ruleText(f, s.Chain.Rules[s.Rule]), Number: s.Rule + 1,
	}
	if s.Set != nil {
		d.Set = s.Set.Name
	}
	if s.Found != nil {
		d.Element = string(appendElement(nil, s.Set, s.Found))
		d.Pos = s.Found.Pos.String()
		if o := s.Found.Owner; o != nil {
			d.Service, d.Port = o.Service.Namespace+"/"+o.Service.Name, o.Port
		}
	}
	return d
}

func fateWord(f trace.Fate) string { return strings.ToLower(f.String()) }
