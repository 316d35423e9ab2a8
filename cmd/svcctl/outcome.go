package main

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/state"
)

// action is what happened to a Service, in kubectl's words.
type action string

// The actions.
const (
	created    action = "created"
	configured action = "configured"
	unchanged  action = "unchanged"
	pruned     action = "pruned"
)

// result is what happened to one Service.
type result struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Action    action `json:"action"`
}

// outcome is what an application did.
type outcome struct {
	*change
	table, netns string
	dryRun       bool
	results      []result // by namespace and name
}

func (o *outcome) changed() bool {
	return !o.plan.Empty() || slices.ContainsFunc(o.results, func(r result) bool { return r.Action != unchanged })
}

// served gives how many Services are applied now.
func (o *outcome) served() int {
	n := 0
	for _, r := range o.results {
		if r.Action != pruned {
			n++
		}
	}
	return n
}

// results says what happens to every Service.
//
// The record, where there is one, knows which Services there were and what they said, and so also knows of those that the
// packet path does not serve. The plan knows what the kernel really lacked. What the plan touches is never "unchanged".
//
// digests are those of the Services, as [digests] gives them; without a record nobody asks for them.
func results(m *resolve.Model, known *state.Record, ch *change, digests func() map[string]string) []result {
	t := touchedServices(m, ch)
	if known == nil {
		t.findExisting(ch.observed)
	} else {
		t.digests = digests()
	}
	out := make([]result, 0, len(m.Services))
	current := make(map[string]bool, len(m.Services))
	for _, s := range m.Services {
		key := serviceKey(s.Ref)
		current[key] = true
		out = append(out, result{s.Ref.Namespace, s.Ref.Name, t.actionOf(s, key, known)})
	}
	if known != nil {
		for key := range known.Services {
			if namespace, name, _ := strings.Cut(key, "/"); !current[key] {
				out = append(out, result{namespace, name, pruned})
			}
		}
	}
	sortResults(out)
	return out
}

func sortResults(results []result) {
	slices.SortFunc(results, func(a, b result) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// touched is which Services a plan changes, and which of these the kernel already had in some form.
type touched struct {
	services, existing map[diag.Object]bool
	addresses          map[serviceAddress]diag.Object // of the services
	wasEmpty           bool                           // the kernel had no table of ours
	digests            map[string]string              // of all Services
}

func (t *touched) actionOf(s *resolve.Service, key string, known *state.Record) action {
	touched := t.services[s.Ref]
	if known == nil {
		switch {
		case touched && t.existing[s.Ref]:
			return configured
		case touched || s.Skipped != "" || t.wasEmpty: // a Service that is not served leaves no trace in the kernel
			return created
		default:
			return unchanged
		}
	}
	was, recorded := known.Services[key]
	switch {
	case !recorded, touched && t.wasEmpty: // recorded, but somebody emptied the kernel
		return created
	case touched, was != t.digests[key]:
		return configured
	default:
		return unchanged
	}
}

// serviceAddress is where a Service port is reached: what the keys of its elements begin with.
type serviceAddress struct {
	family graph.Family
	addr   netip.Addr
	proto  graph.Proto
	port   uint16
}

// addressOf gives the service address in a key, if the set has such keys. The packet path's own elements are nobody's
// doing.
func addressOf(f graph.Family, s *graph.Set, k *graph.Key) (serviceAddress, bool) {
	if s.Dynamic || !slices.Contains(s.Key, graph.ProtoField) {
		return serviceAddress{}, false
	}
	return serviceAddress{f, k.Addr, k.Proto, k.Port}, true
}

func touchedServices(m *resolve.Model, ch *change) *touched {
	t := &touched{
		services: map[diag.Object]bool{}, existing: map[diag.Object]bool{}, addresses: map[serviceAddress]diag.Object{},
		wasEmpty: len(ch.observed.Tables) == 0,
	}
	if ch.plan.Empty() {
		return t
	}
	owners := serviceAddresses(m)
	for i := range ch.plan.Tables {
		tc := &ch.plan.Tables[i]
		for _, e := range tc.Elements {
			for _, elements := range []graph.Elements{e.Del, e.Add} {
				for j := range elements.Len() {
					key := elements.KeyAt(j)
					at, ok := addressOf(tc.Family, e.Set, &key)
					owner, owned := owners[at]
					if ok && owned {
						t.services[owner] = true
						t.addresses[at] = owner
					}
				}
			}
		}
	}
	return t
}

// findExisting finds out which of the services the kernel already had.
func (t *touched) findExisting(observed *graph.Ruleset) {
	if len(t.addresses) == 0 {
		return
	}
	for _, table := range observed.Tables {
		for _, s := range table.Sets {
			for i := range s.Elements.Len() {
				key := s.Elements.KeyAt(i)
				at, ok := addressOf(table.Family, s, &key)
				if !ok {
					break // of this set none is
				}
				if owner, ok := t.addresses[at]; ok {
					t.existing[owner] = true
				}
			}
		}
	}
}

// serviceAddresses knows whose a service address is.
func serviceAddresses(m *resolve.Model) map[serviceAddress]diag.Object {
	protos := map[corev1.Protocol]graph.Proto{
		corev1.ProtocolTCP: graph.TCP, corev1.ProtocolUDP: graph.UDP, corev1.ProtocolSCTP: graph.SCTP,
	}
	out := make(map[serviceAddress]diag.Object, len(m.ServicePorts))
	for _, sp := range m.ServicePorts {
		family := graph.IPv4
		if sp.Family == corev1.IPv6Protocol {
			family = graph.IPv6
		}
		for i := range sp.Addresses {
			a := &sp.Addresses[i]
			out[serviceAddress{family, a.Addr, protos[sp.Protocol], a.Port}] = sp.Service.Ref
		}
	}
	return out
}

// printOutcome writes what happened to each Service.
func (c *cli) printOutcome(o *outcome, format string) error {
	if format == "json" {
		return c.printOutcomeJSON(o)
	}
	for _, r := range o.results {
		switch {
		case format == "changes" && r.Action == unchanged:
		case format == "name":
			c.printf("service/%s\n", r.Name)
		case o.dryRun:
			c.printf("service/%s %s (dry run)\n", r.Name, r.Action)
		default:
			c.printf("service/%s %s\n", r.Name, r.Action)
		}
	}
	switch {
	case !o.dryRun:
		c.noteFlows(o.flowsCut)
	case format == "text":
		c.printFlows(o.flowsCut)
	}
	return nil
}

// outcomeJSON is the form of -o json.
type outcomeJSON struct {
	Table      string     `json:"table"`
	Netns      string     `json:"netns,omitempty"`
	DryRun     bool       `json:"dryRun"`
	Changed    bool       `json:"changed"`
	Generation uint32     `json:"generation"` // of the namespace's nftables, afterwards
	Counts     countsJSON `json:"counts"`
	FlowsCut   int        `json:"flowsCut"` // UDP and SCTP; with dryRun those that would be
	Services   []result   `json:"services"`
}

// countsJSON sums up the transaction.
type countsJSON struct {
	Tables          int `json:"tables"`
	Sets            int `json:"sets"`
	Chains          int `json:"chains"`
	ChainsWithRules int `json:"chainsWithRules"`
	ElementsAdded   int `json:"elementsAdded"`
	ElementsDeleted int `json:"elementsDeleted"`
}

func (c *cli) printOutcomeJSON(o *outcome) error {
	n := o.plan.Count()
	text, err := json.MarshalIndent(outcomeJSON{
		Table: o.table, Netns: o.netns, DryRun: o.dryRun, Changed: o.changed(), Generation: o.generation,
		Counts: countsJSON{
			Tables: n.Tables, Sets: n.Sets, Chains: n.Chains, ChainsWithRules: n.RuleChains,
			ElementsAdded: n.ElementsAdded, ElementsDeleted: n.ElementsDeleted,
		},
		FlowsCut: o.flowsCut, Services: o.results,
	}, "", "    ")
	if err != nil {
		return err
	}
	c.printf("%s\n", text)
	return nil
}
