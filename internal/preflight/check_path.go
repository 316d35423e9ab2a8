package preflight

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// keep is what makes a setting last.
const keep = ", and put it into /etc/sysctl.d"

// forwardSetting is the setting that makes a host forward.
var forwardSetting = [...]string{graph.IPv4: "net.ipv4.ip_forward", graph.IPv6: "net.ipv6.conf.all.forwarding"}

func (j *judge) forwarding() {
	for _, f := range graph.Families {
		r := j.facts.Forwarding[f]
		if !j.ask.asksFor(f) || !r.asked() {
			continue
		}
		if !r.Known {
			j.unknown(ForwardIP, familyNames[f], r.Why, "")
			continue
		}
		needed := j.remote(func(sp *resolve.ServicePort) bool { return familyOf(sp) == f })
		n := Finding{Check: ForwardIP, Subject: familyNames[f], Services: needed.sorted()}
		setting, remedy := forwardSetting[f], "sysctl -w "+forwardSetting[f]+"=1"+keep
		v := r.Value
		switch {
		case v.All && len(v.Off) == 0:
			n.Answer, n.Message, n.Services = Yes, setting+" is 1", nil
		case j.ask.Given && len(needed) == 0:
			n.Answer, n.Message = Yes, setting+" is off, and no endpoint is beyond this host"
		case v.All:
			n.Answer, n.Level = No, Warning
			n.Message = fmt.Sprintf("forwarding is off for %s: what comes in there reaches no endpoint beyond this host", list(v.Off))
			n.Remedy = fmt.Sprintf("sysctl -w net.ipv4.conf.%s.forwarding=1%s, if clients are there", v.Off[0], keep)
		case len(v.On) > 0:
			n.Answer, n.Level, n.Remedy = No, Warning, remedy
			n.Message = fmt.Sprintf("%s is 0, and only what comes in by %s is forwarded to endpoints beyond this host", setting, list(v.On))
		default:
			n.Answer, n.Level, n.Remedy = No, j.severe(), remedy
			n.Message = setting + " is 0: this host's own connections reach endpoints, those of others do not"
		}
		j.add(n)
	}
}

// list joins a few words and counts the rest.
func list(words []string) string {
	const most = 5
	if len(words) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	return strings.Join(words, ", ")
}

func (j *judge) reversePath() {
	r, ways := j.facts.ReversePath, j.facts.Routing[graph.IPv4]
	switch {
	case !r.asked() || !j.ask.asksFor(graph.IPv4):
	case !r.Known:
		j.unknown(ReverseFilter, "IPv4", r.Why, "")
	case len(r.Value) == 0:
		j.yes(ReverseFilter, "IPv4", "no interface is strict about where sources come from")
	case !ways.Known:
		j.unknown(ReverseFilter, "IPv4", fmt.Sprintf("%s strict, and the routes are not known: %s", are(r.Value), ways.Why), "")
	case len(ways.Value.Defaults) < 2 && ways.Value.Rules == 0:
		j.yes(ReverseFilter, "IPv4", are(r.Value)+" strict, and there is one way out")
	default:
		why := "there are routing rules"
		if len(ways.Value.Defaults) > 1 {
			why = "default routes lead out by " + list(ways.Value.Defaults)
		}
		j.add(Finding{
			Check: ReverseFilter, Subject: "IPv4", Answer: No, Level: Warning,
			Message: fmt.Sprintf("%s strict (rp_filter=1), and %s: what comes in by another interface than the one that leads back "+
				"to its source is dropped, requests of clients and answers of endpoints alike", are(r.Value), why),
			Remedy: fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2%s, where ways in and out differ", r.Value[0], keep),
		})
	}
}

func are(words []string) string {
	if len(words) == 1 {
		return words[0] + " is"
	}
	return list(words) + " are"
}

func (j *judge) bridges() {
	links := map[string]*Link{}
	for i := range j.facts.Links.Value {
		links[j.facts.Links.Value[i].Name] = &j.facts.Links.Value[i]
	}
	for _, f := range graph.Families {
		setting := j.facts.BridgeRules[f]
		if !setting.asked() {
			continue
		}
		on := map[string]names{} // by bridge
		for _, sp := range j.ask.Ports {
			if familyOf(sp) != f || j.ask.MasqueradeAll {
				continue
			}
			for _, e := range endpointsOf(sp) {
				r := j.facts.Routes[e.Addr()]
				link := links[r.Value.Link]
				if !r.Known || !r.Value.Reached || r.Value.Gateway || r.Value.Local || link == nil || !link.Bridge || link.Rules[f] {
					continue
				}
				// Of a neighbour that is no pod the source is translated, and then the answer comes this way.
				if pods := prefixesOf(f, j.ask.ClusterCIDRs); len(pods) > 0 && !anyContains(pods, e.Addr()) {
					continue
				}
				if on[link.Name] == nil {
					on[link.Name] = names{}
				}
				on[link.Name].add(sp)
			}
		}
		name := "net.bridge.bridge-nf-call-" + [...]string{graph.IPv4: "iptables", graph.IPv6: "ip6tables"}[f]
		for _, bridge := range sortedKeys(on) {
			subject := familyNames[f] + " on " + bridge
			switch {
			case !setting.Known:
				j.unknown(BridgeFilter, subject, setting.Why, "")
			case setting.Value:
				j.yes(BridgeFilter, subject, name+" is 1")
			default:
				j.add(Finding{
					Check: BridgeFilter, Subject: subject, Answer: No, Level: Problem, Services: on[bridge].sorted(),
					Message: "endpoints are on this bridge, and it does not hand its packets to the rules: when a neighbour of theirs asks " +
						"for the Service, the answer goes past this host, from an address the neighbour did not ask, and is refused",
					Remedy: "modprobe br_netfilter; sysctl -w " + name + "=1" + keep + " and /etc/modules-load.d; or set masqueradeAll: true",
				})
			}
		}
	}
}

func (j *judge) serviceRoutes() {
	type group struct {
		family graph.Family
		where  string
		why    string
	}
	missing := map[group]names{}
	var order []group
	unknown := map[graph.Family]string{}
	seen := map[graph.Family]bool{}
	look := func(f graph.Family, a netip.Addr, sp *resolve.ServicePort) {
		r := j.facts.Routes[a]
		switch {
		case r.Known && r.Value.Reached:
			seen[f] = true
		case r.Known:
			g := group{f, j.rangeOf(a), r.Value.Why}
			if missing[g] == nil {
				missing[g] = names{}
				order = append(order, g)
			}
			if sp != nil {
				missing[g].add(sp)
			}
		case r.Why != "":
			unknown[f] = r.Why
		}
	}
	for _, sp := range j.ask.Ports {
		for i := range sp.Addresses {
			if at := &sp.Addresses[i]; at.Kind != resolve.NodePort {
				look(familyOf(sp), at.Addr, sp)
			}
		}
	}
	if !j.ask.Given {
		for _, p := range j.ask.ServiceCIDRs {
			f := graph.IPv4
			if p.Addr().Is6() {
				f = graph.IPv6
			}
			look(f, inside(p), nil)
		}
	}
	for _, g := range order {
		level := j.severe()
		j.add(Finding{
			Check: ServiceRoute, Subject: familyNames[g.family] + " " + g.where, Answer: No, Level: level, Services: missing[g].sorted(),
			Message: fmt.Sprintf("this host has no route there (%s): its own processes get that error before any rule sees a packet; "+
				"what comes in by an interface is not affected", g.why),
			Remedy: j.routeRemedy(g.family, g.where),
		})
	}
	for _, f := range graph.Families {
		switch why, failed := unknown[f]; {
		case failed:
			j.unknown(ServiceRoute, familyNames[f], why, "")
		case seen[f] && !hasFamily(order, func(g group) bool { return g.family == f }):
			j.yes(ServiceRoute, familyNames[f], "there is a route to the service addresses")
		}
	}
}

func hasFamily[T any](list []T, is func(T) bool) bool {
	for _, t := range list {
		if is(t) {
			return true
		}
	}
	return false
}

// rangeOf gives the service range that an address is in, or the address.
func (j *judge) rangeOf(a netip.Addr) string {
	for _, p := range j.ask.ServiceCIDRs {
		if p.Contains(a) {
			return p.String()
		}
	}
	return netip.PrefixFrom(a, a.BitLen()).String()
}

// routeRemedy gives the command that makes a route. The packets never take it, as the rules give them another destination
// first; but the kernel chooses their source by it, which so has to be one that endpoints can answer.
func (j *judge) routeRemedy(f graph.Family, where string) string {
	for _, a := range j.hostAddrs(f) {
		return fmt.Sprintf("ip route add %s dev %s src %s", where, j.facts.Addrs.Value[a], a)
	}
	return fmt.Sprintf("ip route add %s dev INTERFACE src ADDRESS, with an address of this host", where)
}

// hostAddrs gives the addresses of this host that others can reach, sorted.
func (j *judge) hostAddrs(f graph.Family) []netip.Addr {
	var out []netip.Addr
	for a := range j.facts.Addrs.Value {
		if f.Of(a) && !a.IsLoopback() && !a.IsLinkLocalUnicast() && j.facts.Addrs.Value[a] != "lo" {
			out = append(out, a)
		}
	}
	sortAddrs(out)
	return out
}

func (j *judge) endpointRoutes() {
	for _, f := range graph.Families {
		missing := map[string]names{}
		examples := map[string][]string{}
		some, unknown, left := false, "", false
		told := map[netip.Addr]bool{}
		for _, sp := range j.ask.Ports {
			if familyOf(sp) != f {
				continue
			}
			for _, e := range endpointsOf(sp) {
				r := j.facts.Routes[e.Addr()]
				switch {
				case r.Known && r.Value.Reached:
					some = true
				case r.Known:
					if missing[r.Value.Why] == nil {
						missing[r.Value.Why] = names{}
					}
					missing[r.Value.Why].add(sp)
					if !told[e.Addr()] {
						told[e.Addr()] = true
						examples[r.Value.Why] = append(examples[r.Value.Why], e.Addr().String())
					}
				case r.Why != "":
					unknown = r.Why
				default:
					left = true
				}
			}
		}
		for _, why := range sortedKeys(missing) {
			j.add(Finding{
				Check: EndpointRoute, Subject: familyNames[f], Answer: No, Level: Problem, Services: missing[why].sorted(),
				Message: fmt.Sprintf("this host has no route to the endpoints %s (%s): connections that are sent there fail",
					list(examples[why]), why),
				Remedy: "make a route to where the endpoints are (ip route get " + examples[why][0] + " tells)",
			})
		}
		switch {
		case len(missing) > 0:
		case unknown != "":
			j.unknown(EndpointRoute, familyNames[f], unknown, "")
		case some && left:
			j.yes(EndpointRoute, familyNames[f], "there is a route to every endpoint that was looked up; there are too many for all")
		case some:
			j.yes(EndpointRoute, familyNames[f], "there is a route to every endpoint")
		}
	}
}
