package render

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// traffic writes what becomes of connections to a Service: for each port and family the addresses that lead to it, and
// the endpoints they lead to. kubectl has nothing of the kind; its way to write lists of objects is that of describe node.
func traffic(w io.Writer, s *resolve.Service, ports []*resolve.ServicePort, counted connections) error {
	if s.Skipped != "" {
		_, err := io.WriteString(w, "Traffic:  no rules: "+plain(s.Skipped)+"\n")
		return err
	}
	if len(ports) == 0 {
		_, err := io.WriteString(w, "Traffic:  no rules: there is no address\n")
		return err
	}
	if _, err := io.WriteString(w, "Traffic:\n"); err != nil {
		return err
	}
	for _, p := range ports {
		if err := portTraffic(w, p, counted); err != nil {
			return err
		}
	}
	return nil
}

func portTraffic(w io.Writer, p *resolve.ServicePort, counted connections) error {
	out := newWriter(w)
	out.str("  ", cmp.Or(plain(p.Name), unset), "  ", numberText(p), "  ", string(p.Family), "\n")
	addresses := inset{headers: []string{"Address", "Kind", "Traffic Policy"}}
	if counted != nil {
		addresses.headers = append(addresses.headers, "Connections")
	}
	clusterWide, local := false, false
	for i := range p.Addresses {
		a := &p.Addresses[i]
		text := netip.AddrPortFrom(a.Addr, a.Port).String()
		if a.Kind == resolve.NodePort {
			text = "*:" + strconv.Itoa(int(a.Port)) // whatever address the node has
		}
		policy := "Cluster"
		if a.LocalOnly {
			policy = "Local"
		}
		row := []string{text, a.Kind.String(), policy}
		if counted != nil {
			row = append(row, number(counted.at(p, a).Connections))
		}
		addresses.rows = append(addresses.rows, row)
		clusterWide = clusterWide || !a.LocalOnly || a.Kind != resolve.ClusterIP
		local = local || a.LocalOnly
	}
	addresses.write(out)

	endpoints := inset{headers: []string{"Endpoint", "Node", "Zone", "State"}}
	if clusterWide {
		endpoints.headers = append(endpoints.headers, shareHeader(p, "Share"))
	}
	if local {
		endpoints.headers = append(endpoints.headers, shareHeader(p, "Local Share"))
	}
	if counted != nil {
		endpoints.headers = append(endpoints.headers, "Connections")
	}
	for _, b := range behind(p) {
		row := []string{b.addr.String(), cmp.Or(b.node, none), cmp.Or(b.zone, none), b.state()}
		if clusterWide {
			row = append(row, share(p.Cluster, b.addr))
		}
		if local {
			row = append(row, share(p.Local, b.addr))
		}
		if counted != nil {
			row = append(row, number(counted.of(p, b.addr)))
		}
		endpoints.rows = append(endpoints.rows, row)
	}
	endpoints.write(out)
	if clusterWide && len(p.Cluster) == 0 {
		out.str("    No endpoint can be used: new connections are refused.\n")
	} else if local && len(p.Local) == 0 {
		fate := "refused"
		if p.HasEndpoints {
			fate = "dropped"
		}
		out.str("    No endpoint is on this node: new connections under the policy Local are ", fate, ".\n")
	}
	return out.close()
}

// numberText gives "80/TCP".
func numberText(p *resolve.ServicePort) string {
	for i := range p.Service.Spec.Ports {
		if sp := &p.Service.Spec.Ports[i]; sp.Name == p.Name && sp.Protocol == p.Protocol {
			return itoa(sp.Port) + "/" + string(p.Protocol)
		}
	}
	return string(p.Protocol)
}

// shareHeader marks shares that the hash of clients' addresses makes uneven.
func shareHeader(p *resolve.ServicePort, words string) string {
	if p.SourceHash {
		return words + " (source hash)"
	}
	return words
}

// share gives the part of the new connections that an endpoint gets of those that go to a set.
func share(set []resolve.Endpoint, addr netip.AddrPort) string {
	i, found := slices.BinarySearchFunc(set, addr, func(e resolve.Endpoint, a netip.AddrPort) int { return e.Addr.Compare(a) })
	if !found {
		return "0%"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(max(set[i].Weight, 1))/float64(resolve.TotalWeight(set)))
}

// known is what there is to say of an endpoint, usable or not.
type known struct {
	addr                        netip.AddrPort
	node, zone                  string
	ready, serving, terminating bool
}

func (k *known) state() string {
	switch {
	case k.ready:
		return "ready"
	case k.serving && k.terminating:
		return "terminating, serving"
	case k.terminating:
		return "terminating"
	default:
		return "not ready"
	}
}

// rank orders the states of one address that is in several slices; the highest is what the packet path goes by (see
// compiler/resolve).
func (k *known) rank() int {
	rank := 0
	for i, is := range []bool{k.serving, k.ready, !k.terminating} {
		if is {
			rank += 1 << i
		}
	}
	return rank
}

// behind gives the endpoints of a port from all slices, each once, sorted by address.
func behind(p *resolve.ServicePort) []known {
	var out []known
	for _, s := range p.Service.Slices {
		if _, headless := s.Labels[corev1.IsHeadlessService]; headless || string(s.AddressType) != string(p.Family) {
			continue
		}
		port, ok := numberOf(s.Ports, p)
		if !ok {
			continue
		}
		for i := range s.EndpointSlice.Endpoints {
			e := &s.EndpointSlice.Endpoints[i]
			if len(e.Addresses) == 0 {
				continue
			}
			addr, err := netip.ParseAddr(e.Addresses[0])
			if err != nil { // refused long before
				continue
			}
			out = append(out, known{
				netip.AddrPortFrom(addr, port), deref(e.NodeName), deref(e.Zone), isReady(e),
				e.Conditions.Serving == nil || *e.Conditions.Serving, deref(e.Conditions.Terminating),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b known) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(b.rank(), a.rank()))
	})
	return slices.CompactFunc(out, func(a, b known) bool { return a.addr == b.addr })
}

// numberOf finds the number that a slice gives to a Service's port.
func numberOf(ports []discoveryv1.EndpointPort, sp *resolve.ServicePort) (uint16, bool) {
	for _, p := range ports {
		protocol := cmp.Or(deref(p.Protocol), corev1.ProtocolTCP)
		if deref(p.Name) == sp.Name && protocol == sp.Protocol && p.Port != nil && 0 < *p.Port && *p.Port <= 65535 {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// inset is a table inside of a description: indented, two spaces apart, the headers underlined.
type inset struct {
	headers []string
	rows    [][]string
}

func (t *inset) write(out *writer) {
	if len(t.rows) == 0 {
		return
	}
	lines := make([]string, len(t.headers))
	for i, h := range t.headers {
		lines[i] = strings.Repeat("-", len(h))
	}
	rows := append([][]string{t.headers, lines}, t.rows...)
	widths := make([]int, len(t.headers))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = plain(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		out.str("    ")
		for i, cell := range row {
			out.str(cell)
			if i < len(row)-1 {
				out.str(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		out.str("\n")
	}
}
