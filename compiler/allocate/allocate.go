// Package allocate is the phase between decoding and resolving: it takes a [manifest.Bundle] and gives one in which every
// Service has the addresses and node ports that a cluster's API server and load-balancer controller would have allocated.
//
// A Service that says no clusterIP gets one of [Config.ServiceCIDRs], a port that needs a nodePort gets one of
// [Config.NodePortRange], and a LoadBalancer without an address gets one of [Config.LoadBalancerCIDRs], if there are any.
// Headless and ExternalName Services, and those of another proxy, get nothing.
//
// The choice is a function of the input: the same manifests and configuration give the same addresses on every host,
// whatever the order of files. Each Service has, by its name, an order of preference over each range, and where two want
// the same the one to which it is the earlier choice gets it (see [settle]). Three things come before that:
//
//  1. What is written in any manifest is never given out.
//  2. What a Service holds already, because it was applied with it, it keeps: so a Service never moves because others
//     come and go. [Held] is that memory, and the caller's to keep; without it the result depends on the input alone.
//  3. The low part of the ranges is left to those who write addresses by hand as long as the rest lasts (KEP-3070 for
//     ClusterIPs, KEP-3668 for node ports).
//
// The phase is pure. It may assume that the bundle's Services are sorted by namespace and name, without doubles, and
// nothing about what they say: what is wrong with a Service is for resolve to find, and it gets nothing here. What
// allocate reports is that there is nothing left to give, and that what is written belongs to another already.
package allocate

import (
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Config says what there is to give out.
type Config struct {
	// ServiceCIDRs are the ranges of ClusterIPs. The family of the first is that of a Service that asks for none. Ranges
	// of one family are used one after the other.
	ServiceCIDRs []netip.Prefix
	// NodePortRange is the range of node ports. The zero value is [resolve.DefaultNodePortRange].
	NodePortRange resolve.PortRange
	// LoadBalancerCIDRs are the ranges of load-balancer addresses. Where there is none of a family, a LoadBalancer
	// without an address of that family stays without one.
	LoadBalancerCIDRs []netip.Prefix
}

// Result is what was chosen.
type Result struct {
	// Bundle has the Services with what was chosen for them: in spec.clusterIP, with an address of each family in
	// spec.clusterIPs; in spec.ports[].nodePort; and in status.loadBalancer.ingress, with the ipMode VIP. Where nothing
	// was chosen it is the given bundle.
	Bundle *manifest.Bundle
	// Assignments are the choices, sorted by namespace, name and field.
	Assignments []Assignment

	held  Held
	edits []manifest.Edit
}

// Assignment is a value that was chosen for a field.
type Assignment struct {
	Service diag.Object
	Field   string     // "spec.clusterIP", "spec.clusterIPs[1]", "spec.ports[0].nodePort", "status.loadBalancer.ingress[0].ip"
	Addr    netip.Addr // the zero Addr where it is a node port
	Port    uint16     // a node port; 0 where it is an address
}

// Value gives the address or the port as text.
func (a Assignment) Value() string {
	if a.Addr.IsValid() {
		return a.Addr.String()
	}
	return strconv.Itoa(int(a.Port))
}

// Edits are the changes that write the choices into the manifests, for [manifest.Rewrite]. They come in the order in which
// people write the fields.
func (r *Result) Edits() []manifest.Edit { return r.edits }

// Allocate gives every Service what it lacks. The given bundle is not changed: Services that get something are copies.
//
// The list has an error for each thing that could not be given; [manifest.Bundle.Unallocated] of the result names the
// Services it was for, so that resolve does not report the same again.
func Allocate(b *manifest.Bundle, cfg Config, held Held) (*Result, diag.List) {
	if cfg.NodePortRange == (resolve.PortRange{}) {
		cfg.NodePortRange = resolve.DefaultNodePortRange
	}
	a := &allocator{cfg: cfg, services: b.Services, unallocated: map[diag.Object]bool{}}
	a.cluster = rangesOf(cfg.ServiceCIDRs)
	a.balancer = rangesOf(cfg.LoadBalancerCIDRs)
	for i, o := range b.Services {
		if w := a.want(o); w != nil {
			w.index = i
			a.wants = append(a.wants, w)
		}
	}
	if len(a.wants) == 0 && len(a.unallocated) == 0 {
		return &Result{Bundle: b}, nil
	}
	a.keepHeld(held)
	a.takeWritten()
	a.choose()
	a.found.Sort()
	return a.result(b), a.found
}

// allocator is one run of the phase.
type allocator struct {
	cfg               Config
	cluster, balancer ranges
	services          []*manifest.Object[corev1.Service]
	wants             []*want // in the order of services

	addrs map[netip.Addr]bool // what is not to be given out
	ports map[int32]bool

	found       diag.List
	unallocated map[diag.Object]bool // Services that do not get all they lack, about which somebody says why
}

// fail reports what a Service cannot get.
func (a *allocator) fail(o *manifest.Object[corev1.Service], code diag.Code, field, format string, args ...any) {
	a.found.Errorf(code, o.At(field), o.Ref, field, format, args...)
	a.unallocated[o.Ref] = true
}

// hint adds to the last failure what to do about it.
func (a *allocator) hint(text string) { a.found[len(a.found)-1].Hint = text }

// result puts the choices into copies of the Services.
func (a *allocator) result(b *manifest.Bundle) *Result {
	bundle := *b
	bundle.Services = slices.Clone(b.Services)
	bundle.Unallocated = a.unallocated
	r := &Result{Bundle: &bundle}
	for _, w := range a.wants {
		bundle.Services[w.index] = w.fill(r)
	}
	return r
}
