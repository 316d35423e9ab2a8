// Package resolve is the second phase: it takes a [manifest.Bundle] and gives the [Model], which says what the objects
// mean on this node: every Service with its defaults filled in, every port with the addresses it is reached at, and for
// each the endpoints that may be used.
//
// It checks all objects as the Kubernetes API server does, in its wording and with its field paths, and the objects
// against each other: what the API server's allocators refuse, and what two Services claim at once. It reports
// everything it finds, never just the first; with an error among it the Model is incomplete and fit only to be listed.
//
// The endpoints of a Service come from one kind of object, the first of these that the input has for it:
//
//  1. EndpointSlices that carry its name in the label kubernetes.io/service-name;
//  2. the v1 Endpoints object of its name, read as the slices that Kubernetes would mirror it to;
//  3. Pods that its selector matches, read as the slices that the EndpointSlice controller would make of them.
//
// Mixing them would count the same endpoints twice: a cluster's dump contains all three. A Pod written by hand needs no
// status but its address; see isReady.
//
// A plain host has no load-balancer controller. So where a LoadBalancer has no status.loadBalancer.ingress,
// spec.loadBalancerIP is its address, and with neither it is served at its other addresses, as while it is pending.
//
// The phase is pure and may assume that the bundle's lists are sorted by namespace and name, without doubles.
package resolve

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// Resolve gives the meaning of the bundle, and everything there is to say about it, in order. The bundle is not changed;
// the Model refers to its objects. With an error in the list the Model lacks what could not be understood.
func Resolve(b *manifest.Bundle, cfg Config) (*Model, diag.List) {
	var found diag.List
	rs := newResolver(b, cfg, &found)
	services, models := make([]resolved, len(b.Services)), make([]Service, len(b.Services))
	parallel(len(services), &found, func(i int, found *diag.List) {
		services[i].Service = &models[i]
		rs.service(&services[i], b.Services[i], found)
	})
	checkClaims(services, &found)
	found.Sort()
	return model(services), found
}

// resolver holds what is the same for all Services.
type resolver struct {
	cfg    Config
	bundle *manifest.Bundle
	zones  map[string]string // by node name

	slices    map[key][]*source
	endpoints map[key]*manifest.Object[corev1.Endpoints]
	pods      podIndex
	weights   map[key]int // of the Pods that have one
}

func newResolver(b *manifest.Bundle, cfg Config, found *diag.List) *resolver {
	rs := &resolver{cfg: cfg, bundle: b}
	// The kubelet and kube-proxy make host names into node names the same way.
	rs.cfg.NodeName = strings.ToLower(strings.TrimSpace(cfg.NodeName))
	if cfg.NodePortRange == (PortRange{}) {
		rs.cfg.NodePortRange = DefaultNodePortRange
	}
	rs.zones = nodeZones(b.Nodes, found)
	if cfg.Zone == "" {
		rs.cfg.Zone = rs.zones[rs.cfg.NodeName]
	}
	rs.slices = rs.givenSlices(found)
	rs.endpoints = rs.givenEndpoints(found)
	var selecting []*manifest.Object[corev1.Service]
	used := 0 // of what is given for a Service
	for _, o := range b.Services {
		k := key{o.Ref.Namespace, o.Ref.Name}
		switch {
		case len(rs.slices[k]) > 0, rs.endpoints[k] != nil: // never both: see givenEndpoints
			used++
		default:
			selecting = append(selecting, o)
		}
	}
	rs.pods = rs.indexPods(selecting, found)
	rs.weights = podWeights(b.Pods, func(o *manifest.Object[corev1.Pod]) *report { return reportOn(found, o) })
	if used < len(rs.slices)+len(rs.endpoints) {
		rs.warnOrphans(found)
	}
	return rs
}

// nodeZones checks the Nodes and gives their zones.
func nodeZones(nodes []*manifest.Object[corev1.Node], found *diag.List) map[string]string {
	zones := make(map[string]string, len(nodes))
	for _, o := range nodes {
		checkNode(reportOn(found, o), &o.Value)
		zones[o.Ref.Name] = o.Value.Labels[corev1.LabelTopologyZone]
	}
	return zones
}

// resolved is one Service with its ports.
type resolved struct {
	*Service
	addrs    addresses
	settings settings
	ports    []*ServicePort
}

// service resolves one Service.
func (rs *resolver) service(out *resolved, o *manifest.Object[corev1.Service], found *diag.List) {
	r := reportOn(found, o)
	svc := out.Service
	svc.Ref, svc.Object = o.Ref, o
	rs.defaulted(&o.Value, &svc.Spec)
	svc.Headless = isHeadless(&svc.Spec)
	svc.Skipped = skipped(svc)
	before := len(*found)
	checkService(r, &o.Value, &svc.Spec)
	refused := (*found)[before:].HasErrors()

	sources := rs.sources(svc, found)
	svc.Slices = sortedSlices(sources)
	out.settings = readSettings(r, o.Value.Annotations)
	if svc.Skipped != "" {
		warnWithoutPath(r, svc)
		return
	}
	out.addrs = parseAddresses(svc)
	rs.checkAllocated(r, svc, refused)
	rs.warnService(r, out)
	out.ports = rs.servicePorts(r, out, sources)
	rs.warnEndpoints(r, out, sources)
}

// skipped says why the packet path does not serve a Service, or nothing.
func skipped(svc *Service) string {
	if _, ok := svc.Object.Value.Labels[LabelProxyName]; ok {
		return LabelProxyName
	}
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return string(corev1.ServiceTypeExternalName)
	case svc.Headless:
		return "headless"
	default:
		return ""
	}
}

func model(services []resolved) *Model {
	m := &Model{Services: make([]*Service, len(services))}
	n := 0
	for i := range services {
		m.Services[i] = services[i].Service
		n += len(services[i].ports)
	}
	m.ServicePorts = make([]*ServicePort, 0, n)
	for i := range services {
		m.ServicePorts = append(m.ServicePorts, services[i].ports...)
	}
	// Services and their ports are in order already.
	slices.SortStableFunc(m.ServicePorts, func(a, b *ServicePort) int { return cmp.Compare(a.Family, b.Family) })
	return m
}
