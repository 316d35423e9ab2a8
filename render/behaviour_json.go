package render

import (
	"math"

	"github.com/svcctl/svcctl/compiler/behaviour"
)

// What the document of PlanJSON says about connections. Members that do not apply are left out.
type (
	behaviourDocument struct {
		Services []behaviourService `json:"services"`
		Settings []behaviourSetting `json:"settings,omitempty"`
		Summary  behaviourSums      `json:"summary"`
	}
	behaviourService struct {
		Service   string             `json:"service,omitempty"` // namespace/name, where it is known
		Addresses []behaviourAddress `json:"addresses"`
	}
	behaviourAddress struct {
		Op      string           `json:"op"`      // expose, withdraw, change
		Address string           `json:"address"` // address:port/protocol; a node port's address is unspecified
		Kind    string           `json:"kind"`    // ClusterIP, node port, external address
		Port    string           `json:"port,omitempty"`
		Before  *behaviourPolicy `json:"before,omitempty"`
		After   *behaviourPolicy `json:"after,omitempty"`
		Reach   []behaviourReach `json:"reach,omitempty"`
		Cut     []string         `json:"cut,omitempty"` // endpoints whose UDP or SCTP flows are cut
	}
	behaviourPolicy struct {
		TrafficPolicy   string   `json:"trafficPolicy"`
		AffinitySeconds int      `json:"affinitySeconds,omitempty"`
		SourceHash      bool     `json:"sourceHash,omitempty"`
		SourceNAT       string   `json:"sourceNAT"`         // none, always, offCluster, node, other
		Sources         []string `json:"sources,omitempty"` // the only ones let through, where restricted
		Restricted      bool     `json:"restricted,omitempty"`
	}
	behaviourReach struct {
		Clients   []string            `json:"clients"` // pods, node, outside
		Before    string              `json:"before"`  // served, refused, dropped, untouched
		After     string              `json:"after"`
		Moved     float64             `json:"moved"` // part of new connections that go to another endpoint
		Endpoints []behaviourEndpoint `json:"endpoints,omitempty"`
	}
	behaviourEndpoint struct {
		Op       string  `json:"op"` // add, delete, change
		Endpoint string  `json:"endpoint"`
		Before   float64 `json:"before"` // part of new connections
		After    float64 `json:"after"`
	}
	behaviourSetting struct {
		Family  string   `json:"family"`
		Set     string   `json:"set"`
		Added   []string `json:"added,omitempty"`
		Removed []string `json:"removed,omitempty"`
	}
	behaviourSums struct {
		Services         int `json:"services"`
		Exposed          int `json:"addressesExposed"`
		Withdrawn        int `json:"addressesWithdrawn"`
		Unserved         int `json:"addressesUnserved"`
		EndpointsAdded   int `json:"endpointsAdded"`
		EndpointsRemoved int `json:"endpointsRemoved"`
		Moved            int `json:"servicesMoved"`
		Policies         int `json:"policiesChanged"`
		Cut              int `json:"servicesCut"`
	}
)

// The words of the document, which programs compare.
var (
	sourceNATWords = [...]string{"none", "always", "offCluster", "node", "other"}
	clientWords    = [...]string{"pods", "node", "outside"}
)

func behaviourJSON(d *behaviour.Diff) behaviourDocument {
	s := d.Sum()
	doc := behaviourDocument{Services: []behaviourService{}, Summary: behaviourSums{
		Services: s.Services, Exposed: s.Exposed, Withdrawn: s.Withdrawn, Unserved: s.Unserved,
		EndpointsAdded: s.EndpointsAdded, EndpointsRemoved: s.EndpointsRemoved,
		Moved: s.Moved, Policies: s.Policies, Cut: s.Cut,
	}}
	for i := range d.Services {
		svc := behaviourService{Service: d.Services[i].Service}
		for j := range d.Services[i].Addresses {
			svc.Addresses = append(svc.Addresses, addressJSON(&d.Services[i].Addresses[j]))
		}
		doc.Services = append(doc.Services, svc)
	}
	for i := range d.Settings {
		x := &d.Settings[i]
		doc.Settings = append(doc.Settings, behaviourSetting{x.Family.String(), x.Set, rangeList(x.Added), rangeList(x.Removed)})
	}
	return doc
}

func addressJSON(x *behaviour.AddressDiff) behaviourAddress {
	a := x.Address()
	out := behaviourAddress{
		Op: "change", Address: a.String(), Kind: a.Kind.String(), Cut: addrPorts(x.Cut),
		Before: policyJSON(x.Before), After: policyJSON(x.After),
	}
	switch {
	case x.Before == nil:
		out.Op = "expose"
	case x.After == nil:
		out.Op = "withdraw"
	}
	if a.Owner != nil {
		out.Port = a.Owner.Port
	}
	for i := range x.Reach {
		out.Reach = append(out.Reach, reachJSON(&x.Reach[i]))
	}
	return out
}

func policyJSON(a *behaviour.Address) *behaviourPolicy {
	if a == nil {
		return nil
	}
	return &behaviourPolicy{
		TrafficPolicy: policyText(a), AffinitySeconds: int(a.Affinity.Seconds()), SourceHash: a.SourceHash,
		SourceNAT: sourceNATWords[a.Source], Sources: rangeList(a.Sources), Restricted: a.Restricted,
	}
}

func reachJSON(r *behaviour.ReachDiff) behaviourReach {
	out := behaviourReach{Before: r.Before.String(), After: r.After.String(), Moved: roundedShare(r.Moved)}
	for _, c := range r.Clients {
		out.Clients = append(out.Clients, clientWords[c])
	}
	for _, s := range r.Removed {
		out.Endpoints = append(out.Endpoints, behaviourEndpoint{"delete", s.Endpoint.String(), roundedShare(s.Part), 0})
	}
	for _, s := range r.Added {
		out.Endpoints = append(out.Endpoints, behaviourEndpoint{"add", s.Endpoint.String(), 0, roundedShare(s.Part)})
	}
	for _, s := range r.Changed {
		out.Endpoints = append(out.Endpoints,
			behaviourEndpoint{"change", s.Endpoint.String(), roundedShare(s.Before), roundedShare(s.After)})
	}
	return out
}

func rangeList(ranges []behaviour.Range) []string {
	var out []string
	for _, r := range ranges {
		out = append(out, string(appendRange(nil, r.First, r.Last)))
	}
	return out
}

// roundedShare leaves nine digits of a share: processors that fuse a multiplication with an addition differ in the last
// ones, and the text is to be the same on all.
func roundedShare(part float64) float64 { return math.Round(part*1e9) / 1e9 }
