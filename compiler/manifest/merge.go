package manifest

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/diag"
)

// Merge gives the objects of both bundles. An object of newer replaces the one of the same kind, namespace and name; and a
// Service of newer replaces all that belonged to the old one, its EndpointSlices and Endpoints: its endpoints are those
// that newer gives for it, none if none. EndpointSlices, Endpoints, Pods and Nodes that come without their Service replace
// only their like. What was skipped is what newer skipped. Neither bundle is changed; objects are shared.
func (b *Bundle) Merge(newer *Bundle) *Bundle {
	services := refs(newer.Services)
	m := b.without(services)
	return &Bundle{
		Services:       merged(m.Services, newer.Services),
		EndpointSlices: merged(m.EndpointSlices, newer.EndpointSlices),
		Endpoints:      merged(m.Endpoints, newer.Endpoints),
		Pods:           merged(m.Pods, newer.Pods),
		Nodes:          merged(m.Nodes, newer.Nodes),
		Skipped:        newer.Skipped,
	}
}

// Without gives the bundle without the given Services and without the EndpointSlices and Endpoints that belong to them: by
// the label kubernetes.io/service-name, and by name. Pods and Nodes stay. Names of other kinds mean nothing. The bundle is
// not changed; objects are shared.
func (b *Bundle) Without(services []diag.Object) *Bundle {
	gone := map[diag.Object]bool{}
	for _, s := range services {
		if s.Kind == serviceKind {
			gone[s] = true
		}
	}
	return b.without(gone)
}

const serviceKind = "service"

func (b *Bundle) without(services map[diag.Object]bool) *Bundle {
	m := *b
	m.Services = rejected(b.Services, func(o *Object[corev1.Service]) bool { return services[o.Ref] })
	m.EndpointSlices = rejected(b.EndpointSlices, func(o *Object[discoveryv1.EndpointSlice]) bool {
		return services[diag.Object{
			Kind: serviceKind, Namespace: o.Ref.Namespace, Name: o.Value.Labels[discoveryv1.LabelServiceName],
		}]
	})
	m.Endpoints = rejected(b.Endpoints, func(o *Object[corev1.Endpoints]) bool {
		return services[diag.Object{Kind: serviceKind, Namespace: o.Ref.Namespace, Name: o.Ref.Name}]
	})
	return &m
}

func refs[T any](objects []*Object[T]) map[diag.Object]bool {
	set := make(map[diag.Object]bool, len(objects))
	for _, o := range objects {
		set[o.Ref] = true
	}
	return set
}

// rejected gives the objects for which drop is false.
func rejected[T any](objects []*Object[T], drop func(*Object[T]) bool) []*Object[T] {
	return slices.DeleteFunc(slices.Clone(objects), drop)
}

// merged gives the objects of both, sorted, the newer of two of the same name.
func merged[T any](older, newer []*Object[T]) []*Object[T] {
	replaced := refs(newer)
	all := append(rejected(older, func(o *Object[T]) bool { return replaced[o.Ref] }), newer...)
	slices.SortFunc(all, (*Object[T]).compare)
	return all
}
