package render

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/graph"
)

// behaviourGroup is what is different for one Service, or for the settings that all share.
type behaviourGroup struct {
	title  string
	blocks []behaviourBlock
}

// behaviourBlock is what is different for service addresses that have the same lines.
type behaviourBlock struct {
	heads []planLine
	lines []planLine
}

// maxEndpoints is how many endpoints of an address are listed one by one. Beyond that a reader counts.
const maxEndpoints = 20

// maxShares is how many endpoints that stay are listed with their shares.
const maxShares = 8

// behaviourGroups puts a difference into words. An endpoint that an address has for some clients only says for whom.
func behaviourGroups(d *behaviour.Diff) []behaviourGroup {
	var out []behaviourGroup
	for i := range d.Services {
		s := &d.Services[i]
		g := behaviourGroup{title: serviceTitle(s)}
		for j := range s.Addresses {
			x := &s.Addresses[j]
			head, lines := addressHead(x), addressLines(x)
			if n := len(g.blocks); n > 0 && slices.Equal(g.blocks[n-1].lines, lines) {
				g.blocks[n-1].heads = append(g.blocks[n-1].heads, head)
				continue
			}
			g.blocks = append(g.blocks, behaviourBlock{[]planLine{head}, lines})
		}
		out = append(out, g)
	}
	if len(d.Settings) > 0 {
		g := behaviourGroup{title: "settings"}
		for i := range d.Settings {
			g.blocks = append(g.blocks, settingBlock(&d.Settings[i]))
		}
		out = append(out, g)
	}
	return out
}

// serviceTitle gives the name of a Service.
func serviceTitle(s *behaviour.ServiceDiff) string {
	if s.Service == "" {
		return "addresses of services that are not known"
	}
	return "service " + plainLine(s.Service)
}

// addressHead names an address, and says whether it comes or goes.
func addressHead(x *behaviour.AddressDiff) planLine {
	a := x.Address()
	text := addressText(a)
	switch {
	case x.Before == nil:
		return planLine{'+', text + ": newly exposed" + audience(a)}
	case x.After == nil:
		return planLine{'-', text + ": exposed no more"}
	default:
		return planLine{'~', text}
	}
}

// addressText gives "10.96.0.1:80/tcp (ClusterIP, port http)" or "node port 30000/tcp (port http)".
func addressText(a *behaviour.Address) string {
	text, notes := a.String(), []string{a.Kind.String()}
	if a.Kind == behaviour.NodePort {
		text, notes = "node port "+strconv.Itoa(int(a.Port))+"/"+a.Proto.String(), nil
		if a.Addr.Is6() {
			notes = append(notes, "IPv6")
		}
	}
	if a.Owner != nil && a.Owner.Port != "" {
		notes = append(notes, "port "+plainLine(a.Owner.Port))
	}
	if len(notes) == 0 {
		return text
	}
	return text + " (" + strings.Join(notes, ", ") + ")"
}

// audience says to whom an address is newly exposed, where it can be reached from outside the cluster.
func audience(a *behaviour.Address) string {
	switch {
	case a.Restricted:
		return " to " + rangesText(a.Sources)
	case a.Kind == behaviour.ClusterIP:
		return ""
	default:
		return " to every source"
	}
}

func rangesText(ranges []behaviour.Range) string {
	if len(ranges) == 0 {
		return "no source"
	}
	out := make([]string, 0, min(len(ranges), maxEndpoints)+1)
	for i, r := range ranges {
		if i == maxEndpoints {
			out = append(out, strconv.Itoa(len(ranges)-i)+" more")
			break
		}
		out = append(out, string(appendRange(nil, r.First, r.Last)))
	}
	return strings.Join(out, ", ")
}

// addressLines say what is different for connections to an address, the gravest first.
func addressLines(x *behaviour.AddressDiff) []planLine {
	var out []planLine
	for i := range x.Reach {
		if l, ok := fateLine(x, &x.Reach[i]); ok {
			out = append(out, l)
		}
	}
	for i := range x.Reach {
		if x.After != nil || i == 0 { // of an address that goes, the endpoints are named once
			out = append(out, endpointLines(x, &x.Reach[i])...)
		}
	}
	out = append(out, policyLines(x)...)
	if len(x.Cut) > 0 {
		names := make([]string, 0, maxShares+1)
		for i, e := range x.Cut {
			if i == maxShares {
				names = append(names, strconv.Itoa(len(x.Cut)-i)+" more")
				break
			}
			names = append(names, e.String())
		}
		out = append(out, planLine{'~', x.Address().Proto.String() + " flows to " + strings.Join(names, ", ") + " are cut"})
	}
	return out
}

// clientsText says for which clients a line holds, where it does not for all.
func clientsText(r *behaviour.ReachDiff) string {
	if r.Everybody() {
		return ""
	}
	names := make([]string, len(r.Clients))
	for i, c := range r.Clients {
		names[i] = c.String()
	}
	return " from " + strings.Join(names, " and ")
}

// fateLine says that connections are served no more, or again, or are refused from the beginning.
func fateLine(x *behaviour.AddressDiff, r *behaviour.ReachDiff) (planLine, bool) {
	if r.Before == r.After || x.After == nil {
		return planLine{}, false
	}
	connections := "connections" + clientsText(r)
	switch r.After {
	case behaviour.Refused:
		return planLine{'-', connections + " are refused: there is no endpoint"}, true
	case behaviour.Dropped:
		return planLine{'-', connections + " are dropped: there is no endpoint on this node"}, true
	case behaviour.Untouched:
		return planLine{'-', connections + " are left untouched: no rule chooses an endpoint"}, true
	case behaviour.Served:
		if x.Before == nil {
			return planLine{}, false
		}
		return planLine{'+', connections + " are served, and were " + r.Before.String()}, true
	}
	return planLine{}, false
}

// endpointLines say which endpoints come, go, or get another share.
func endpointLines(x *behaviour.AddressDiff, r *behaviour.ReachDiff) []planLine {
	suffix := clientsText(r)
	if x.After == nil {
		suffix = ""
	}
	var out []planLine
	list := func(sign byte, shares []behaviour.Share, had string) {
		for i, s := range shares {
			if i == maxEndpoints {
				out = append(out, planLine{sign, strconv.Itoa(len(shares)-i) + " more endpoints" + suffix})
				return
			}
			out = append(out, planLine{sign, "endpoint " + s.Endpoint.String() + ": " + had + shareText(s.Part) + suffix})
		}
	}
	list('-', r.Removed, "had ")
	list('+', r.Added, "")
	out = append(out, shareLines(r, suffix)...)
	if r.Moved > behaviour.Negligible {
		out = append(out, planLine{'~', shareText(r.Moved) + " of new connections" + suffix + " go to another endpoint"})
	}
	return out
}

func shareLines(r *behaviour.ReachDiff, suffix string) []planLine {
	if len(r.Changed) <= maxShares {
		out := make([]planLine, len(r.Changed))
		for i, s := range r.Changed {
			out[i] = planLine{'~', "endpoint " + s.Endpoint.String() + ": " + shareText(s.Before) + " -> " + shareText(s.After) + suffix}
		}
		return out
	}
	before, after := make([]float64, len(r.Changed)), make([]float64, len(r.Changed))
	for i, s := range r.Changed {
		before[i], after[i] = s.Before, s.After
	}
	return []planLine{{'~', strconv.Itoa(len(r.Changed)) + " endpoints that stay: " + span(before) + " -> " + span(after) + suffix}}
}

// span gives one percentage, or the least and the greatest.
func span(parts []float64) string {
	least, most := shareText(slices.Min(parts)), shareText(slices.Max(parts))
	if least == most {
		return least + " each"
	}
	return least + " to " + most
}

// shareText gives a share with a digit after the point, and with three digits in all where it is less than a thousandth.
func shareText(part float64) string {
	p := part * 100
	text := strconv.FormatFloat(p, 'f', 1, 64)
	if p > 0 && p < 0.1 {
		text = strconv.FormatFloat(p, 'g', 2, 64)
	}
	return strings.TrimSuffix(text, ".0") + "%"
}

// policyLines say what else is different about an address: for one that is new, only what is not as usual.
func policyLines(x *behaviour.AddressDiff) []planLine {
	is := x.After
	if is == nil {
		return nil
	}
	was := x.Before
	if was == nil {
		if is.Shape == "" {
			return nil
		}
		was = &behaviour.Address{Kind: is.Kind, Shape: is.Shape, Source: is.Source, Restricted: is.Restricted, Sources: is.Sources}
	}
	var out []planLine
	add := func(what, before, after string) {
		if before == after {
			return
		}
		if x.Before == nil {
			out = append(out, planLine{'+', what + ": " + after})
			return
		}
		out = append(out, planLine{'~', what + ": " + before + " -> " + after})
	}
	add("kind of address", was.Kind.String(), is.Kind.String())
	if x.Before == nil || x.LocalChanged() {
		add("traffic policy", policyText(was), policyText(is))
	}
	add("sources let through", sourcesText(was), sourcesText(is))
	if was.Shape != "" && is.Shape != "" {
		add("affinity", affinityText(was), affinityText(is))
		add("endpoints chosen", choiceText(was), choiceText(is))
		add("source addresses that this node replaces", was.Source.String(), is.Source.String())
	}
	return out
}

func policyText(a *behaviour.Address) string {
	if a.Local {
		return "Local"
	}
	return "Cluster"
}

func sourcesText(a *behaviour.Address) string {
	if !a.Restricted {
		return "all"
	}
	return rangesText(a.Sources)
}

func affinityText(a *behaviour.Address) string {
	if a.Affinity == 0 {
		return "none"
	}
	return "ClientIP, " + a.Affinity.String()
}

func choiceText(a *behaviour.Address) string {
	if a.SourceHash {
		return "by source hash"
	}
	return "at random"
}

// settingWords say what the sets of the configuration are.
var settingWords = map[string]string{
	graph.ClusterCIDRsSet:      "addresses of pods",
	graph.ServiceCIDRsSet:      "addresses of services, refused or dropped where there is none",
	graph.NodePortAddressesSet: "addresses of the node that have node ports",
}

func settingBlock(s *behaviour.SettingDiff) behaviourBlock {
	b := behaviourBlock{heads: []planLine{{'~', settingWords[s.Set] + " (" + s.Family.String() + ", " + s.Set + ")"}}}
	for _, r := range s.Removed {
		b.lines = append(b.lines, planLine{'-', string(appendRange(nil, r.First, r.Last))})
	}
	for _, r := range s.Added {
		b.lines = append(b.lines, planLine{'+', string(appendRange(nil, r.First, r.Last))})
	}
	return b
}

// summaryText says in one line what is different for a Service.
func summaryText(s *behaviour.ServiceDiff) string {
	sums := s.Sum()
	return sumsText(&sums, s.Moved())
}

// sumsText puts sums into words, the gravest first. moved is the part of new connections that go elsewhere, where that is
// of one Service.
func sumsText(s *behaviour.Sums, moved float64) string {
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, strconv.Itoa(n)+" "+many)
		}
	}
	add(s.Exposed, "address newly exposed", "addresses newly exposed")
	add(s.Withdrawn, "address exposed no more", "addresses exposed no more")
	add(s.Unserved, "address served no more", "addresses served no more")
	add(s.EndpointsRemoved, "endpoint gone", "endpoints gone")
	add(s.EndpointsAdded, "endpoint added", "endpoints added")
	switch {
	case s.Services > 1:
		add(s.Moved, "service whose new connections go elsewhere", "services whose new connections go elsewhere")
	case s.Moved > 0:
		parts = append(parts, shareText(moved)+" of new connections go elsewhere")
	}
	add(s.Policies, "address with another policy", "addresses with another policy")
	if s.Services > 1 {
		add(s.Cut, "service whose flows are cut", "services whose flows are cut")
	} else if s.Cut > 0 {
		parts = append(parts, "flows are cut")
	}
	if len(parts) == 0 {
		return "shares of traffic change"
	}
	return strings.Join(parts, ", ")
}

// addrPorts is a list of endpoints as text.
func addrPorts(endpoints []netip.AddrPort) []string {
	out := make([]string, len(endpoints))
	for i, e := range endpoints {
		out[i] = e.String()
	}
	return out
}
