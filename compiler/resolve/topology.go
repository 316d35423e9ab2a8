package resolve

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// nearby gives the ready endpoints that hints keep for this node or, failing that, for its zone. A hint counts only where
// every ready endpoint has one and one of them is for here: otherwise the hints are of another time, and following them
// would leave somebody without endpoints (KEP-2433, KEP-3015).
func (rs *resolver) nearby(ready []candidate) []candidate {
	if rs.cfg.NodeName != "" {
		if near, ok := hinted(ready, rs.forThisNode); ok {
			return near
		}
	}
	if rs.cfg.Zone != "" {
		if near, ok := hinted(ready, rs.forThisZone); ok {
			return near
		}
	}
	return ready
}

// hinted gives the endpoints that are for here, and whether the hints can be followed. match says whether an endpoint
// has a hint at all, and whether it is for here.
func hinted(ready []candidate, match func(*discoveryv1.EndpointHints) (has, here bool)) ([]candidate, bool) {
	var near []candidate
	for i := range ready {
		c := &ready[i]
		if c.endpoint.Hints == nil {
			return nil, false
		}
		has, here := match(c.endpoint.Hints)
		if !has {
			return nil, false
		}
		if here {
			near = append(near, *c)
		}
	}
	return near, len(near) > 0
}

func (rs *resolver) forThisNode(h *discoveryv1.EndpointHints) (has, here bool) {
	here = slices.ContainsFunc(h.ForNodes, func(n discoveryv1.ForNode) bool { return n.Name == rs.cfg.NodeName })
	return len(h.ForNodes) > 0, here
}

func (rs *resolver) forThisZone(h *discoveryv1.EndpointHints) (has, here bool) {
	here = slices.ContainsFunc(h.ForZones, func(z discoveryv1.ForZone) bool { return z.Name == rs.cfg.Zone })
	return len(h.ForZones) > 0, here
}
