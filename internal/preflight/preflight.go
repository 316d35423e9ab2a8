// Package preflight judges whether a host can do what manifests ask of it, before or after they are applied.
//
// It takes [Facts], which others find out, and an [Ask], and gives a [Finding] for each thing looked at: whether it is as
// it has to be, for which Services not, and what to do. It is pure, and may assume nothing about the facts: what could not
// be found out is a finding that says so.
package preflight

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Check names what was looked at. The names are part of the output that scripts read.
type Check string

// The checks, in the order in which they are told.
const (
	KernelFeature Check = "kernel-feature"
	ConnTracking  Check = "conntrack"
	ForwardIP     Check = "forwarding"
	ReverseFilter Check = "reverse-path"
	BridgeFilter  Check = "bridge"
	ServiceRoute  Check = "service-route"
	EndpointRoute Check = "endpoint-route"
	Listening     Check = "listening-socket"
	LocalPort     Check = "local-port-range"
	BoundAddress  Check = "bound-address"
	OtherOwner    Check = "other-owner"
	Firewall      Check = "firewall"
)

// Level is what a finding means for who reads it.
type Level uint8

// The levels. A problem is something that will not work.
const (
	OK Level = iota
	Note
	Warning
	Problem
)

// String gives the words of listings.
func (l Level) String() string { return [...]string{"ok", "note", "warning", "problem"}[l] }

// Finding is what is to be said about one thing that was looked at.
type Finding struct {
	Check   Check
	Subject string // of the check: "IPv4", "tcp 30080"
	Answer  Answer
	Level   Level
	Message string
	// Services are those that it matters to, "namespace/name", sorted; none where it matters to all or nobody.
	Services []string
	Remedy   string // what to do; "" for nothing
}

// Judge gives all findings, in the order of the checks.
func Judge(facts *Facts, ask *Ask) []Finding {
	j := judge{facts: facts, ask: ask}
	for _, check := range [...]func(*judge){
		(*judge).features, (*judge).conntrack, (*judge).forwarding, (*judge).reversePath, (*judge).bridges,
		(*judge).serviceRoutes, (*judge).endpointRoutes, (*judge).listeners, (*judge).localPorts,
		(*judge).boundAddresses, (*judge).owners, (*judge).firewalls,
	} {
		check(&j)
	}
	return j.found
}

// Problems gives the findings of that level.
func Problems(found []Finding) []Finding {
	var out []Finding
	for _, f := range found {
		if f.Level == Problem {
			out = append(out, f)
		}
	}
	return out
}

type judge struct {
	facts *Facts
	ask   *Ask
	found []Finding
}

func (j *judge) add(f Finding) { j.found = append(j.found, f) }

func (j *judge) yes(c Check, subject, message string) {
	j.add(Finding{Check: c, Subject: subject, Answer: Yes, Message: message})
}

// unknown says that something could not be found out.
func (j *judge) unknown(c Check, subject, why, remedy string) {
	j.add(Finding{Check: c, Subject: subject, Answer: CannotTell, Level: Warning, Message: why, Remedy: remedy})
}

// severe is a problem where there are manifests, and a warning where it is not known whether anybody needs it.
func (j *judge) severe() Level {
	if j.ask.Given {
		return Problem
	}
	return Warning
}

// familyNames are the names of [graph.Family].
var familyNames = [...]string{graph.IPv4: "IPv4", graph.IPv6: "IPv6"}

// names collects Services.
type names map[string]bool

func (n names) add(sp *resolve.ServicePort) { n[nameOf(sp)] = true }

func (n names) sorted() []string {
	if len(n) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(n))
}

// own reports whether an address is the host's own, as far as that is known.
func (j *judge) own(a netip.Addr) bool {
	if r := j.facts.Routes[a]; r.Known && r.Value.Local {
		return true
	}
	_, bound := j.facts.Addrs.Value[a]
	return bound
}

// sortedKeys gives the keys of a map in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
