package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/behaviour"
)

// The limits of a picture that people can take in.
const (
	maxPictured         = 40 // services drawn one by one; more are counted
	maxPicturedRanges   = 4
	maxOverviewRows     = 40 // namespaces, shapes and services without endpoints
	maxPictureEndpoints = 24 // of a service, where several are drawn
	maxAloneEndpoints   = 200
)

// picture is a drawing in three columns, from left to right: addresses, the shapes that choose an endpoint, endpoints. DOT
// and SVG draw the same one.
type picture struct {
	groups []*pictureGroup
}

// pictureGroup is drawn together: a service, or everything where services are only counted.
type pictureGroup struct {
	title string
	nodes []pictureNode // the columns may be mixed, their order counts in each
	edges []pictureEdge
}

type pictureNode struct {
	column int // 0, 1, 2
	class  pictureClass
	lines  []string // the first one is what the node is
}

// pictureClass says how a node looks.
type pictureClass string

const (
	classAddress  pictureClass = "address"
	classShape    pictureClass = "shape"
	classEndpoint pictureClass = "endpoint"
	classUnserved pictureClass = "unserved" // where connections are refused or dropped
	classMore     pictureClass = "more"     // stands for what is not drawn
)

type pictureEdge struct {
	from, to int
	weight   float64 // in (0, 1]: what part of the traffic, or of the services, goes that way
	label    string
}

// newPicture draws every service where there are few, and counts them where there are many.
func newPicture(b *behaviour.Behaviour) *picture {
	services := pictureServices(b)
	p := &picture{}
	if len(services) > maxPictured {
		p.groups = []*pictureGroup{newOverview(services)}
		return p
	}
	limit := maxPictureEndpoints
	if len(services) == 1 {
		limit = maxAloneEndpoints
	}
	for _, s := range services {
		p.groups = append(p.groups, newServicePicture(s, limit))
	}
	return p
}

// pictureService is a Service with its addresses.
type pictureService struct {
	namespace, name string // plain
	addresses       []*behaviour.Address
}

func (s *pictureService) title() string { return cmp.Or(s.namespace+"/"+s.name, "/") }

// pictureServices gives the services in the order of their names.
func pictureServices(b *behaviour.Behaviour) []*pictureService {
	known := map[[2]string]*pictureService{}
	var out []*pictureService
	for i := range b.Addresses {
		a := &b.Addresses[i]
		key := [2]string{"", "not known"}
		if a.Owner != nil {
			key = [2]string{plainLine(a.Owner.Service.Namespace), plainLine(a.Owner.Service.Name)}
		}
		s := known[key]
		if s == nil {
			s = &pictureService{namespace: key[0], name: key[1]}
			known[key] = s
			out = append(out, s)
		}
		s.addresses = append(s.addresses, a)
	}
	slices.SortFunc(out, func(a, b *pictureService) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
	})
	// A node port is the service's own, but the address is nobody's: it comes last.
	for _, s := range out {
		var nodePorts []*behaviour.Address
		s.addresses = slices.DeleteFunc(s.addresses, func(a *behaviour.Address) bool {
			if a.Kind == behaviour.NodePort {
				nodePorts = append(nodePorts, a)
			}
			return a.Kind == behaviour.NodePort
		})
		s.addresses = append(s.addresses, nodePorts...)
	}
	return out
}

// node gives the place of a node, which is added unless it is there.
func (g *pictureGroup) node(n pictureNode) int {
	for i := range g.nodes {
		if o := &g.nodes[i]; o.column == n.column && o.class == n.class && slices.Equal(o.lines, n.lines) {
			return i
		}
	}
	g.nodes = append(g.nodes, n)
	return len(g.nodes) - 1
}

// edge adds to the weight of the edge between two nodes, which is added unless it is there.
func (g *pictureGroup) edge(from, to int, weight float64) {
	for i := range g.edges {
		if g.edges[i].from == from && g.edges[i].to == to {
			g.edges[i].weight = max(g.edges[i].weight, weight)
			return
		}
	}
	g.edges = append(g.edges, pictureEdge{from: from, to: to, weight: weight})
}

// newServicePicture draws a service. Ports with different endpoints have nodes of their own, also where their shape is the
// same.
func newServicePicture(s *pictureService, limit int) *pictureGroup {
	g := &pictureGroup{title: s.title()}
	for _, a := range s.addresses {
		from := g.node(pictureNode{0, classAddress, addressLabel(a)})
		shape := pictureNode{1, classShape, shapeLabel(a)}
		if a.Shape == "" {
			shape.class = classUnserved
		}
		to := g.node(shape)
		g.edge(from, to, 1)
		g.addTargets(to, a, limit)
	}
	return g
}

func addressLabel(a *behaviour.Address) []string {
	lines := []string{a.String()}
	if a.Kind == behaviour.NodePort {
		lines[0] = "node port " + strconv.Itoa(int(a.Port)) + "/" + a.Proto.String()
	}
	notes := []string{a.Kind.String()}
	switch {
	case a.Kind == behaviour.NodePort && a.Addr.Is6():
		notes = []string{"IPv6"}
	case a.Kind == behaviour.NodePort:
		notes = []string{"IPv4"}
	}
	if a.Owner != nil && a.Owner.Port != "" {
		notes = append(notes, "port "+plainLine(a.Owner.Port))
	}
	lines = append(lines, strings.Join(notes, ", "))
	if a.Restricted {
		for i, r := range a.Sources {
			if i == maxPicturedRanges {
				lines = append(lines, fmt.Sprintf("and %d more", len(a.Sources)-i))
				break
			}
			lines = append(lines, "from "+string(appendRange(nil, r.First, r.Last)))
		}
		if len(a.Sources) == 0 {
			lines = append(lines, "from no source")
		}
	}
	return lines
}

// shapeLabel names the shape, and the port where it is one of several: shapes are shared, endpoints are not.
func shapeLabel(a *behaviour.Address) []string {
	if a.Shape == "" {
		return []string{"no endpoint"}
	}
	lines := []string{plainLine(a.Shape)}
	if a.Owner != nil && a.Owner.Port != "" {
		lines = append(lines, "port "+plainLine(a.Owner.Port))
	}
	if a.Local {
		lines = append(lines, "traffic policy Local")
	}
	if a.Affinity > 0 {
		lines = append(lines, "affinity "+a.Affinity.String())
	}
	return lines
}

// addTargets draws where an address leads, for each kind of client apart where it is not the same for all.
func (g *pictureGroup) addTargets(shape int, a *behaviour.Address, limit int) {
	for c := range behaviour.Clients {
		r := &a.Reach[c]
		suffix, first := clientsSuffix(a, c)
		if !first {
			continue
		}
		if r.Fate != behaviour.Served {
			g.edge(shape, g.node(pictureNode{2, classUnserved, []string{r.Fate.String() + suffix}}), 1)
			continue
		}
		for i, s := range r.Shares {
			if i == limit && len(r.Shares) > limit+1 {
				text := strconv.Itoa(len(r.Shares)-i) + " more endpoints" + suffix
				g.edge(shape, g.node(pictureNode{2, classMore, []string{text}}), 0.5)
				break
			}
			text := s.Endpoint.String() + "  " + shareText(s.Part) + suffix
			g.edge(shape, g.node(pictureNode{2, classEndpoint, []string{text}}), s.Part)
		}
	}
}

// clientsSuffix says for which clients what holds for one does, where not for all, and whether it is the first of them.
func clientsSuffix(a *behaviour.Address, c behaviour.Client) (string, bool) {
	var same []string
	first := true
	for o := range behaviour.Clients {
		if a.Reach[o].Fate == a.Reach[c].Fate && slices.Equal(a.Reach[o].Shares, a.Reach[c].Shares) {
			if o < c {
				first = false
			}
			same = append(same, o.String())
		}
	}
	if len(same) == int(behaviour.Clients) {
		return "", first
	}
	return ", from " + strings.Join(same, " and "), first
}
