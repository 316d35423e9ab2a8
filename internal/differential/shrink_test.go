package differential

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/plan"
)

// attempts is how often a packet is sent before a configuration counts as one in which the two agree: where an endpoint is
// drawn at random, the wrong one need not come at once.
const attempts = 40

// shrink takes things away from a scenario as long as model and kernel still disagree about the packet. It gives nil where
// they agree from the start.
func (w *world) shrink(t *testing.T, sc *scenario, p packet) (*scenario, *disagreement) {
	t.Helper()
	// A packet that is lost is waited for in every smaller case, so not for long.
	w.patience = 2 * time.Second
	found := w.disagreement(t, sc, p)
	if found == nil {
		return nil, nil
	}
	for again := true; again; {
		again = false
		for _, smaller := range sc.simpler() {
			if d := w.disagreement(t, smaller, p); d != nil {
				sc, found, again = smaller, d, true
				break
			}
		}
	}
	return sc, found
}

// disagreement applies a scenario to an empty node and sends a packet, time and again.
func (w *world) disagreement(t *testing.T, sc *scenario, p packet) *disagreement {
	t.Helper()
	rs, err := sc.compile()
	if err != nil {
		return nil
	}
	if err := w.conn.Commit(t.Context(), plan.DeleteAll(readState(t, w.conn).Ruleset), 0); err != nil {
		t.Fatal(err)
	}
	if err := apply(t, w.conn, rs); err != nil {
		t.Fatal(err)
	}
	for range attempts {
		if found := w.exchange(t, rs, sc.shortestAffinity(), []packet{p}, func(packet, prediction) {}); len(found) > 0 {
			return &found[0]
		}
	}
	return nil
}

// simpler gives copies of the scenario, each with one thing less, the large things first.
func (sc *scenario) simpler() []*scenario {
	var out []*scenario
	try := func(change func(*scenario)) {
		c := sc.clone()
		change(c)
		out = append(out, c)
	}
	for i := range sc.services {
		try(func(c *scenario) { c.services = slices.Delete(c.services, i, i+1) })
	}
	for i := range sc.slices {
		try(func(c *scenario) { c.slices = slices.Delete(c.slices, i, i+1) })
	}
	for i := range sc.endpoints {
		try(func(c *scenario) { c.endpoints = slices.Delete(c.endpoints, i, i+1) })
	}
	for i := range sc.pods {
		try(func(c *scenario) { c.pods = slices.Delete(c.pods, i, i+1) })
	}
	for i := range sc.nodes {
		try(func(c *scenario) { c.nodes = slices.Delete(c.nodes, i, i+1) })
	}
	sc.simplerSettings(try)
	for i, s := range sc.services {
		simplerService(s, func(change func(*corev1.Service)) { try(func(c *scenario) { change(c.services[i]) }) })
	}
	for i, s := range sc.slices {
		simplerSlice(s, func(change func(*discoveryv1.EndpointSlice)) { try(func(c *scenario) { change(c.slices[i]) }) })
	}
	return out
}

func (sc *scenario) simplerSettings(try func(func(*scenario))) {
	if sc.masqueradeAll {
		try(func(c *scenario) { c.masqueradeAll = false })
	}
	if sc.counters {
		try(func(c *scenario) { c.counters = false })
	}
	if sc.zone != "" {
		try(func(c *scenario) { c.zone = "" })
	}
	for _, list := range []func(*scenario) *[]string{
		func(c *scenario) *[]string { return &c.clusterCIDRs },
		func(c *scenario) *[]string { return &c.serviceCIDRs },
		func(c *scenario) *[]string { return &c.nodePortAddresses },
	} {
		if len(*list(sc)) > 0 {
			try(func(c *scenario) { *list(c) = nil })
		}
	}
}

func simplerService(s *corev1.Service, try func(func(*corev1.Service))) {
	if len(s.Spec.Ports) > 1 {
		for i := range s.Spec.Ports {
			try(func(c *corev1.Service) { c.Spec.Ports = slices.Delete(c.Spec.Ports, i, i+1) })
		}
	}
	for i := range s.Spec.ExternalIPs {
		try(func(c *corev1.Service) { c.Spec.ExternalIPs = slices.Delete(c.Spec.ExternalIPs, i, i+1) })
	}
	for i := range s.Status.LoadBalancer.Ingress {
		try(func(c *corev1.Service) {
			c.Status.LoadBalancer.Ingress = slices.Delete(c.Status.LoadBalancer.Ingress, i, i+1)
		})
	}
	for i := range s.Spec.LoadBalancerSourceRanges {
		try(func(c *corev1.Service) {
			c.Spec.LoadBalancerSourceRanges = slices.Delete(c.Spec.LoadBalancerSourceRanges, i, i+1)
		})
	}
	for name := range s.Annotations {
		try(func(c *corev1.Service) { delete(c.Annotations, name) })
	}
	if s.Spec.ExternalTrafficPolicy != "" {
		try(func(c *corev1.Service) { c.Spec.ExternalTrafficPolicy = "" })
	}
	if s.Spec.InternalTrafficPolicy != nil {
		try(func(c *corev1.Service) { c.Spec.InternalTrafficPolicy = nil })
	}
	if s.Spec.SessionAffinity != "" {
		try(func(c *corev1.Service) { c.Spec.SessionAffinity, c.Spec.SessionAffinityConfig = "", nil })
	}
}

func simplerSlice(s *discoveryv1.EndpointSlice, try func(func(*discoveryv1.EndpointSlice))) {
	for i := range s.Ports {
		try(func(c *discoveryv1.EndpointSlice) { c.Ports = slices.Delete(c.Ports, i, i+1) })
	}
	for i, e := range s.Endpoints {
		try(func(c *discoveryv1.EndpointSlice) { c.Endpoints = slices.Delete(c.Endpoints, i, i+1) })
		if e.Hints != nil {
			try(func(c *discoveryv1.EndpointSlice) { c.Endpoints[i].Hints = nil })
		}
		if e.Conditions != (discoveryv1.EndpointConditions{}) {
			try(func(c *discoveryv1.EndpointSlice) { c.Endpoints[i].Conditions = discoveryv1.EndpointConditions{} })
		}
	}
}
