package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

func sortAddrs(a []netip.Addr) { slices.SortFunc(a, netip.Addr.Compare) }

// shadows reports whether rules take what is sent to a listener: whether packets to it are packets to a service address.
func (j *judge) shadows(sp *resolve.ServicePort, at *resolve.Address, l *Listener) bool {
	f := familyOf(sp)
	any4 := l.Addr.Addr().IsUnspecified() && (f.Of(l.Addr.Addr()) || l.Both)
	if l.Addr.Port() != at.Port || l.Proto != protoOf(sp) || !any4 && !f.Of(l.Addr.Addr()) {
		return false
	}
	if at.Kind != resolve.NodePort {
		return (any4 || l.Addr.Addr() == at.Addr) && j.own(at.Addr)
	}
	where := prefixesOf(f, j.ask.NodePortAddresses)
	switch {
	case any4 && len(where) == 0:
		return true
	case any4:
		for a := range j.facts.Addrs.Value {
			if anyContains(where, a) {
				return true
			}
		}
		return !j.facts.Addrs.Known
	case len(where) == 0:
		return !l.Addr.Addr().IsLoopback()
	default:
		return anyContains(where, l.Addr.Addr())
	}
}

func (j *judge) listeners() {
	if !j.facts.Listeners.asked() || !j.ask.Given {
		return
	}
	byPort := map[uint16][]*Listener{}
	for i := range j.facts.Listeners.Value {
		l := &j.facts.Listeners.Value[i]
		byPort[l.Addr.Port()] = append(byPort[l.Addr.Port()], l)
	}
	type socket struct {
		proto graph.Proto
		addr  netip.AddrPort
	}
	taken := map[socket]names{}
	kinds := map[socket]string{}
	looked := false
	for _, sp := range j.ask.Ports {
		for i := range sp.Addresses {
			at := &sp.Addresses[i]
			looked = looked || at.Kind == resolve.NodePort || j.own(at.Addr)
			for _, l := range byPort[at.Port] {
				if !j.shadows(sp, at, l) {
					continue
				}
				s := socket{l.Proto, l.Addr}
				if taken[s] == nil {
					taken[s] = names{}
				}
				taken[s].add(sp)
				kinds[s] = "the node port " + strconv.Itoa(int(at.Port))
				if at.Kind != resolve.NodePort {
					kinds[s] = fmt.Sprintf("the %s %s, an address of this host,", at.Kind, at.Addr)
				}
			}
		}
	}
	sockets := make([]socket, 0, len(taken))
	for s := range taken {
		sockets = append(sockets, s)
	}
	slices.SortFunc(sockets, func(a, b socket) int {
		if a.proto != b.proto {
			return int(a.proto) - int(b.proto)
		}
		return a.addr.Compare(b.addr)
	})
	for _, s := range sockets {
		f := Finding{
			Check: Listening, Subject: s.proto.String() + " " + s.addr.String(), Answer: No, Level: Problem, Services: taken[s].sorted(),
			Message: fmt.Sprintf("a program listens there, and what others send to %s goes to the Service instead", kinds[s]),
			Remedy: fmt.Sprintf("ss -Hlnp%s 'sport = :%d' names the program: give it or the Service another port",
				map[graph.Proto]string{graph.TCP: "t", graph.UDP: "u", graph.SCTP: "S"}[s.proto], s.addr.Port()),
		}
		if r := j.facts.LocalPorts; s.proto == graph.UDP && r.Known && r.Value.Contains(int32(s.addr.Port())) {
			f.Level = Warning
			f.Message += "; its port is one that the kernel chooses, so that it may be gone in a moment"
		}
		j.add(f)
	}
	for _, p := range graph.Protos {
		if why := j.facts.Unlistened[p]; why != "" && j.usesNodePorts(p) {
			j.unknown(Listening, p.String(), "the kernel does not tell what listens: "+why, "look with ss -ln")
		}
	}
	if looked && len(taken) == 0 && len(j.facts.Unlistened) < len(graph.Protos) {
		j.yes(Listening, "node ports", "no program listens on a port that a Service takes")
	}
}

func (j *judge) usesNodePorts(p graph.Proto) bool {
	return slices.ContainsFunc(j.ask.Ports, func(sp *resolve.ServicePort) bool {
		return protoOf(sp) == p && slices.ContainsFunc(sp.Addresses, func(a resolve.Address) bool { return a.Kind == resolve.NodePort })
	})
}

func (j *judge) localPorts() {
	local, reserved := j.facts.LocalPorts, j.facts.Reserved
	if !local.asked() {
		return
	}
	if !local.Known || !reserved.Known {
		j.unknown(LocalPort, "node ports", strings.TrimSpace(local.Why+" "+reserved.Why), "")
		return
	}
	free := func(port int) bool {
		return local.Value.Contains(int32(port)) &&
			!slices.ContainsFunc(reserved.Value, func(r resolve.PortRange) bool { return r.Contains(int32(port)) })
	}
	var ports []int
	by := names{}
	if j.ask.Given {
		seen := map[int]bool{}
		nodePorts := false
		for _, sp := range j.ask.Ports {
			for i := range sp.Addresses {
				at := &sp.Addresses[i]
				nodePorts = nodePorts || at.Kind == resolve.NodePort
				if at.Kind != resolve.NodePort || !free(int(at.Port)) {
					continue
				}
				by.add(sp)
				if !seen[int(at.Port)] {
					seen[int(at.Port)] = true
					ports = append(ports, int(at.Port))
				}
			}
		}
		if !nodePorts {
			return
		}
	} else {
		for port := int(j.ask.NodePortRange.First); port <= int(j.ask.NodePortRange.Last); port++ {
			if free(port) {
				ports = append(ports, port)
			}
		}
	}
	slices.Sort(ports)
	subject := fmt.Sprintf("%d-%d", local.Value.First, local.Value.Last)
	if len(ports) == 0 {
		j.yes(LocalPort, subject, "no node port is one that the kernel gives to the host's own sockets")
		return
	}
	j.add(Finding{
		Check: LocalPort, Subject: subject, Answer: No, Level: Warning, Services: by.sorted(),
		Message: fmt.Sprintf("the kernel may give the node ports %s to the host's own programs (ip_local_port_range), and what others "+
			"send to such a program then goes to the Service", spans(ports)),
		Remedy: fmt.Sprintf("sysctl -w net.ipv4.ip_local_reserved_ports=%s%s", spans(reservedWith(ports, reserved.Value)), keep),
	})
}

// reservedWith gives ports together with those that are reserved already: setting them replaces those.
func reservedWith(ports []int, reserved []resolve.PortRange) []int {
	out := slices.Clone(ports)
	for _, r := range reserved {
		for p := int(r.First); p <= int(r.Last); p++ {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// spans writes sorted numbers as "1,3-5".
func spans(n []int) string {
	var out []string
	for i := 0; i < len(n); {
		k := i
		for k+1 < len(n) && n[k+1] == n[k]+1 {
			k++
		}
		if k == i {
			out = append(out, strconv.Itoa(n[i]))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", n[i], n[k]))
		}
		i = k + 1
	}
	return strings.Join(out, ",")
}

func (j *judge) boundAddresses() {
	a := j.facts.Addrs
	if !a.asked() || !j.ask.Given {
		return
	}
	if !a.Known {
		j.unknown(BoundAddress, "service addresses", a.Why, "")
		return
	}
	bound := map[string]names{} // by interface
	some := false
	for _, sp := range j.ask.Ports {
		for i := range sp.Addresses {
			at := &sp.Addresses[i]
			if at.Kind != resolve.ClusterIP {
				continue
			}
			some = true
			if link, ok := a.Value[at.Addr]; ok {
				if bound[link] == nil {
					bound[link] = names{}
				}
				bound[link].add(sp)
			}
		}
	}
	for _, link := range sortedKeys(bound) {
		n := Finding{
			Check: BoundAddress, Subject: link, Answer: No, Level: Warning, Services: bound[link].sorted(),
			Message: "ClusterIPs are addresses of this interface: the host takes them for its own, uses them as sources, and answers on " +
				"their other ports",
			Remedy: "take them from the interface (ip address del); svcctl needs them nowhere",
		}
		if link == "kube-ipvs0" {
			n.Message += "; kube-proxy in its IPVS mode puts them there"
			n.Remedy = "stop kube-proxy, then: ip link del kube-ipvs0; ipvsadm --clear"
		}
		j.add(n)
	}
	if some && len(bound) == 0 {
		j.yes(BoundAddress, "ClusterIPs", "no interface has one as its address")
	}
}
