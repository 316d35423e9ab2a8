package behaviour

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// Diff is what is different for connections between two rulesets.
type Diff struct {
	Services []ServiceDiff // by namespace and name; last, by address, those whose name is not known
	Settings []SettingDiff
}

// Empty reports whether no connection notices a difference.
func (d *Diff) Empty() bool { return len(d.Services)+len(d.Settings) == 0 }

// ServiceDiff is what is different for one Service.
type ServiceDiff struct {
	Service   string        // namespace/name; "" where it is not known
	Addresses []AddressDiff // by key
}

// AddressDiff is what is different for one service address.
type AddressDiff struct {
	Before, After *Address // nil: it is newly exposed, or exposed no more
	Reach         []ReachDiff
	// Cut are the endpoints of Before whose UDP or SCTP flows are cut, because they serve the address no more.
	Cut []netip.AddrPort
}

// Address gives the address as it will be or, where it goes, as it was.
func (d *AddressDiff) Address() *Address {
	if d.After != nil {
		return d.After
	}
	return d.Before
}

// ReachDiff is what becomes of other connections than before of clients of some kinds.
type ReachDiff struct {
	Clients         []Client // all of them where every connection to the address is meant
	Before, After   Fate     // Untouched where the address is not exposed
	Added, Removed  []Share
	Changed         []ShareChange
	Moved           float64 // the part of new connections that go to another endpoint than they would have
	beforeN, afterN int
}

// Everybody reports whether all clients are meant.
func (r *ReachDiff) Everybody() bool { return len(r.Clients) == int(Clients) }

// Endpoints gives the number of endpoints before and after.
func (r *ReachDiff) Endpoints() (before, after int) { return r.beforeN, r.afterN }

// ShareChange is an endpoint that stays and gets another part of the connections.
type ShareChange struct {
	Endpoint      netip.AddrPort
	Before, After float64
}

// SettingDiff is a set of the configuration with other ranges in it.
type SettingDiff struct {
	Family         graph.Family
	Set            string
	Added, Removed []Range
}

// Negligible is a difference of shares that nobody can notice. The chance that every try of a shape misses, which goes to
// one endpoint on top of its share, is 10⁻⁵, and differs with the number of empty slots.
const Negligible = 3e-5

// Compare says what is different in the second behaviour. stale are the flows that the change cuts.
func Compare(before, after *Behaviour, stale []plan.StaleFlow) *Diff {
	d := &Diff{Settings: compareSettings(before.Settings, after.Settings)}
	flows := make(map[Key]*plan.StaleFlow, len(stale))
	for i := range stale {
		flows[Key{stale[i].Addr, stale[i].Proto, stale[i].Port}] = &stale[i]
	}
	var found []AddressDiff
	note := func(was, is *Address) {
		if x, differs := compareAddress(was, is, flows); differs {
			found = append(found, x)
		}
	}
	a, b := before.Addresses, after.Addresses
	for len(a)+len(b) > 0 {
		switch order := firstOf(a, b); {
		case order < 0:
			note(&a[0], nil)
			a = a[1:]
		case order > 0:
			note(nil, &b[0])
			b = b[1:]
		case serviceOf(&a[0]) != serviceOf(&b[0]) && serviceOf(&a[0]) != "":
			note(&a[0], nil) // it is somebody else's now
			note(nil, &b[0])
			a, b = a[1:], b[1:]
		default:
			note(&a[0], &b[0])
			a, b = a[1:], b[1:]
		}
	}
	d.group(found)
	return d
}

// firstOf says which of two lists has the address that comes first.
func firstOf(a, b []Address) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	default:
		return cmp.Or(compareFamily(&a[0], &b[0]), a[0].Compare(b[0].Key))
	}
}

func compareFamily(a, b *Address) int { return cmp.Compare(a.Addr.BitLen(), b.Addr.BitLen()) }

func serviceOf(a *Address) string {
	if a.Owner == nil {
		return ""
	}
	return a.Owner.Service.Namespace + "/" + a.Owner.Service.Name
}

// group sorts differences by Service.
func (d *Diff) group(found []AddressDiff) {
	slices.SortStableFunc(found, func(a, b AddressDiff) int {
		x, y := serviceOf(a.Address()), serviceOf(b.Address())
		if (x == "") != (y == "") {
			return cmp.Compare(len(y), len(x)) // one of them is nothing, and comes last
		}
		return cmp.Compare(x, y)
	})
	for _, x := range found {
		name := serviceOf(x.Address())
		if n := len(d.Services); n == 0 || d.Services[n-1].Service != name {
			d.Services = append(d.Services, ServiceDiff{Service: name})
		}
		last := &d.Services[len(d.Services)-1]
		last.Addresses = append(last.Addresses, x)
	}
}

// compareAddress compares an address with what it was. One of them may be nil.
func compareAddress(was, is *Address, flows map[Key]*plan.StaleFlow) (AddressDiff, bool) {
	d := AddressDiff{Before: was, After: is}
	d.compareReach()
	if was != nil {
		d.Cut = cut(was, flows[was.Key])
	}
	return d, was == nil || is == nil || len(d.Reach)+len(d.Cut) > 0 || !d.SamePolicy()
}

// SamePolicy reports whether an address that stays has the traffic policy, affinity, source translation, way of choosing
// and sources that it had. It does not where the address comes or goes. Of an address that serves nobody the rules do not
// tell all of that: what is not told has not changed.
func (d *AddressDiff) SamePolicy() bool {
	a, b := d.Before, d.After
	if a == nil || b == nil {
		return false
	}
	serving := a.Shape != "" && b.Shape != ""
	return a.Kind == b.Kind && !d.LocalChanged() && a.Restricted == b.Restricted && slices.Equal(a.Sources, b.Sources) &&
		(!serving || a.Affinity == b.Affinity && a.SourceHash == b.SourceHash && a.Source == b.Source)
}

// LocalChanged reports whether an address that stays has another traffic policy.
func (d *AddressDiff) LocalChanged() bool {
	// What is refused has no endpoint anywhere, and the same rules under either policy.
	tells := func(a *Address) bool { return a.Shape != "" || a.Local }
	return tells(d.Before) && tells(d.After) && d.Before.Local != d.After.Local
}

// compareReach compares what becomes of the connections of each kind of client, and puts those together that it makes no
// difference to.
func (d *AddressDiff) compareReach() {
	var none [Clients]Reach
	for c := range none {
		none[c].Fate = Untouched
	}
	was, is := &none, &none
	if d.Before != nil {
		was = &d.Before.Reach
	}
	if d.After != nil {
		is = &d.After.Reach
	}
clients:
	for c := range Clients {
		x, differs := compareReach(&was[c], &is[c])
		if !differs {
			continue
		}
		for i := range d.Reach {
			if o := d.Reach[i].Clients[0]; sameReach(&was[c], &was[o]) && sameReach(&is[c], &is[o]) {
				d.Reach[i].Clients = append(d.Reach[i].Clients, c)
				continue clients
			}
		}
		x.Clients = []Client{c}
		d.Reach = append(d.Reach, x)
	}
}

func sameReach(a, b *Reach) bool {
	return a.Fate == b.Fate && slices.Equal(a.Shares, b.Shares) && slices.Equal(a.deal, b.deal)
}

func compareReach(was, is *Reach) (ReachDiff, bool) {
	d := ReachDiff{Before: was.Fate, After: is.Fate, beforeN: len(was.Shares), afterN: len(is.Shares)}
	a, b := was.Shares, is.Shares
	less := 0.0 // what endpoints lose together
	for len(a)+len(b) > 0 {
		order := 0
		switch {
		case len(b) == 0:
			order = -1
		case len(a) == 0:
			order = 1
		default:
			order = a[0].Endpoint.Compare(b[0].Endpoint)
		}
		switch {
		case order < 0:
			d.Removed = append(d.Removed, a[0])
			less += a[0].Part
			a = a[1:]
		case order > 0:
			d.Added = append(d.Added, b[0])
			b = b[1:]
		default:
			x := ShareChange{a[0].Endpoint, a[0].Part, b[0].Part}
			less += max(0, x.Before-x.After)
			if x.Before-x.After > Negligible || x.After-x.Before > Negligible {
				d.Changed = append(d.Changed, x)
			}
			a, b = a[1:], b[1:]
		}
	}
	if was.Fate == Served && is.Fate == Served {
		d.Moved = less
		if len(was.deal)+len(is.deal) > 0 {
			d.Moved = dealtAnew(was, is)
		}
	}
	return d, d.Before != d.After || len(d.Added)+len(d.Removed)+len(d.Changed) > 0 || d.Moved > Negligible
}

// dealtAnew gives the part of the clients that a source hash sends elsewhere than before.
func dealtAnew(was, is *Reach) float64 {
	// The numbers of slots are powers of two: those of the shorter list are so many of the longer one each. Where there was
	// or is no hash, a client keeps its endpoint by chance.
	if len(was.deal) == 0 || len(is.deal) == 0 {
		kept := 0.0
		for _, a := range was.Shares {
			if i, ok := slices.BinarySearchFunc(is.Shares, a.Endpoint,
				func(s Share, e netip.AddrPort) int { return s.Endpoint.Compare(e) }); ok {
				kept += a.Part * is.Shares[i].Part
			}
		}
		return 1 - kept
	}
	n := max(len(was.deal), len(is.deal))
	moved := 0
	for i := range n {
		a := was.Shares[was.deal[i*len(was.deal)/n]]
		b := is.Shares[is.deal[i*len(is.deal)/n]]
		if a.Endpoint != b.Endpoint {
			moved++
		}
	}
	return float64(moved) / float64(n)
}

// cut gives the endpoints of an address whose flows are cut with a change.
func cut(was *Address, stale *plan.StaleFlow) []netip.AddrPort {
	if stale == nil {
		return nil
	}
	var out []netip.AddrPort
	for c := range Clients {
		for _, s := range was.Reach[c].Shares {
			if _, kept := slices.BinarySearchFunc(stale.Keep, s.Endpoint, netip.AddrPort.Compare); !kept {
				out = append(out, s.Endpoint)
			}
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}

func compareSettings(before, after []Setting) []SettingDiff {
	var out []SettingDiff
	for _, f := range graph.Families {
		for _, name := range [...]string{graph.ClusterCIDRsSet, graph.ServiceCIDRsSet, graph.NodePortAddressesSet} {
			was, is := rangesOf(before, f, name), rangesOf(after, f, name)
			d := SettingDiff{Family: f, Set: name, Added: without(is, was), Removed: without(was, is)}
			if len(d.Added)+len(d.Removed) > 0 {
				out = append(out, d)
			}
		}
	}
	return out
}

func rangesOf(settings []Setting, f graph.Family, set string) []Range {
	for _, s := range settings {
		if s.Family == f && s.Set == set {
			return s.Ranges
		}
	}
	return nil
}

func without(ranges, others []Range) []Range {
	return slices.DeleteFunc(slices.Clone(ranges), func(r Range) bool { return slices.Contains(others, r) })
}

// Sums are what a reader wants to know first.
type Sums struct {
	Services                         int
	Exposed, Withdrawn               int // addresses
	EndpointsAdded, EndpointsRemoved int // of addresses that stay, each endpoint of a Service once
	Policies                         int // addresses that stay, with another policy
	Moved                            int // Services some of whose new connections go to other endpoints
	Unserved                         int // addresses that were served and are refused or dropped now, for some client
	Cut                              int // Services some of whose UDP and SCTP flows are cut
}

// Sum sums a difference up.
func (d *Diff) Sum() Sums {
	var sums Sums
	for i := range d.Services {
		sums.add(d.Services[i].Sum())
	}
	return sums
}

func (s *Sums) add(o Sums) {
	s.Services += o.Services
	s.Exposed += o.Exposed
	s.Withdrawn += o.Withdrawn
	s.EndpointsAdded += o.EndpointsAdded
	s.EndpointsRemoved += o.EndpointsRemoved
	s.Policies += o.Policies
	s.Moved += o.Moved
	s.Unserved += o.Unserved
	s.Cut += o.Cut
}

// Sum sums up what is different for a Service.
func (s *ServiceDiff) Sum() Sums {
	sums := Sums{Services: 1}
	added, removed := map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}
	for i := range s.Addresses {
		x := &s.Addresses[i]
		switch {
		case x.Before == nil:
			sums.Exposed++
			continue
		case x.After == nil:
			sums.Withdrawn++
		default:
			if !x.SamePolicy() {
				sums.Policies++
			}
			unserved := false
			for j := range x.Reach {
				r := &x.Reach[j]
				unserved = unserved || r.Before == Served && r.After != Served
				for _, e := range r.Added {
					added[e.Endpoint] = true
				}
				for _, e := range r.Removed {
					removed[e.Endpoint] = true
				}
			}
			if unserved {
				sums.Unserved++
			}
		}
		if len(x.Cut) > 0 {
			sums.Cut = 1
		}
	}
	if s.Moved() > Negligible {
		sums.Moved = 1
	}
	sums.EndpointsAdded, sums.EndpointsRemoved = len(added), len(removed)
	return sums
}

// Moved gives the largest part of new connections to an address of the Service that go to another endpoint.
func (s *ServiceDiff) Moved() float64 {
	most := 0.0
	for i := range s.Addresses {
		for j := range s.Addresses[i].Reach {
			most = max(most, s.Addresses[i].Reach[j].Moved)
		}
	}
	return most
}
