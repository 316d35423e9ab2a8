package resolve

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// givenEndpoints checks the Endpoints objects of the input and gives them by Service.
func (rs *resolver) givenEndpoints(found *diag.List) map[key]*manifest.Object[corev1.Endpoints] {
	out := make(map[key]*manifest.Object[corev1.Endpoints], len(rs.bundle.Endpoints))
	for _, o := range rs.bundle.Endpoints {
		k := key{o.Ref.Namespace, o.Ref.Name}
		r := reportOn(found, o)
		checkEndpoints(r, &o.Value)
		if given := rs.slices[k]; len(given) > 0 {
			if !givenBySlices(&o.Value, given) {
				r.warn(diag.Ignored, "", "the endpoints of service %s/%s are taken from its EndpointSlices (%s)",
					k.namespace, k.name, given[0].Pos)
			}
			continue
		}
		out[k] = o
	}
	return out
}

// sources gives the slices of a Service, from the first kind of object that there is for it.
func (rs *resolver) sources(svc *Service, found *diag.List) []*source {
	k := key{svc.Ref.Namespace, svc.Ref.Name}
	if given := rs.slices[k]; len(given) > 0 {
		if svc.Skipped == "" {
			warnHeadlessSlices(svc, given, found)
		}
		return given
	}
	var made []*source
	switch o := rs.endpoints[k]; {
	case o != nil:
		made = mirrored(o)
	case svc.Spec.Type != corev1.ServiceTypeExternalName && len(svc.Spec.Selector) > 0:
		made = rs.madeSlices(svc, rs.pods.matching(k.namespace, svc.Spec.Selector))
	}
	distinctNames(made)
	return made
}

// warnHeadlessSlices warns of slices that nobody would use: the label keeps them from the packet path, and the Service
// is not headless.
func warnHeadlessSlices(svc *Service, given []*source, found *diag.List) {
	for _, s := range given {
		if s.headless {
			found.Warnf(diag.Ignored, s.Pos, s.Source, "metadata.labels",
				"the label %s keeps the slice from being used, but %s is not headless", labelHeadless, svc.Ref)
		}
	}
}

// warnOrphans warns of endpoints whose Service is not in the input.
func (rs *resolver) warnOrphans(found *diag.List) {
	const missing = "service %s/%s is not in the input: these endpoints are not used"
	known := make(map[key]bool, len(rs.bundle.Services))
	for _, o := range rs.bundle.Services {
		known[key{o.Ref.Namespace, o.Ref.Name}] = true
	}
	for k, given := range rs.slices {
		if known[k] {
			continue
		}
		for _, s := range given {
			found.Warnf(diag.Ignored, s.Pos, s.Source, "", missing, k.namespace, k.name)
		}
	}
	for k, o := range rs.endpoints {
		if !known[k] {
			found.Warnf(diag.Ignored, o.Pos, o.Ref, "", missing, k.namespace, k.name)
		}
	}
}
