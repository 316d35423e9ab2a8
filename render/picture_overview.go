package render

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/svcctl/svcctl/compiler/behaviour"
)

// newOverview counts services: how many addresses each namespace has, which shapes they use, and how many endpoints those
// lead to. Services that serve nobody are what one looks for in such a picture: they are named.
func newOverview(services []*pictureService) *pictureGroup {
	o := overview{
		namespaces: map[string]*overviewRow{}, shapes: map[string]*overviewRow{}, flows: map[[2]string]int{},
	}
	for _, s := range services {
		o.add(s)
	}
	return o.draw(len(services))
}

// overview gathers the counts.
type overview struct {
	namespaces, shapes map[string]*overviewRow
	flows              map[[2]string]int // addresses, by namespace and shape
	unserved           []string
}

type overviewRow struct {
	name                string
	services, addresses int
	last                *pictureService // that was counted
	endpoints           map[netip.AddrPort]bool
	unserved            bool
}

// noShape is the row of addresses that no endpoint can take. A shape has no blank in its name.
const noShape = "no endpoint"

func (o *overview) add(s *pictureService) {
	serves := false
	for _, a := range s.addresses {
		shape := cmp.Or(plainLine(a.Shape), noShape)
		for _, x := range []struct {
			rows map[string]*overviewRow
			name string
		}{{o.namespaces, s.namespace}, {o.shapes, shape}} {
			row := x.rows[x.name]
			if row == nil {
				row = &overviewRow{name: x.name, endpoints: map[netip.AddrPort]bool{}, unserved: x.name == noShape}
				x.rows[x.name] = row
			}
			row.addresses++
			if row.last != s {
				row.last = s
				row.services++
			}
			for c := range a.Reach {
				for _, e := range a.Reach[c].Shares {
					row.endpoints[e.Endpoint] = true
				}
			}
		}
		o.flows[[2]string{s.namespace, shape}]++
		serves = serves || slices.ContainsFunc(a.Reach[:], func(r behaviour.Reach) bool { return r.Fate == behaviour.Served })
	}
	if !serves {
		o.unserved = append(o.unserved, s.title())
	}
}

// rows gives the rows with the most addresses, in the order of their names, and a last one that stands for the others.
func rows(all map[string]*overviewRow) []*overviewRow {
	out := make([]*overviewRow, 0, len(all))
	for _, r := range all {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *overviewRow) int {
		return cmp.Or(cmp.Compare(b.addresses, a.addresses), cmp.Compare(a.name, b.name))
	})
	out = out[:min(len(out), maxOverviewRows)]
	slices.SortFunc(out, func(a, b *overviewRow) int {
		switch {
		case a.unserved == b.unserved:
			return cmp.Compare(a.name, b.name)
		case a.unserved:
			return 1 // it comes last, as what it leads to does
		default:
			return -1
		}
	})
	return out
}

func (o *overview) draw(services int) *pictureGroup {
	g := &pictureGroup{title: count(services, "service")}
	namespaces, shapes := rows(o.namespaces), rows(o.shapes)
	left, middle := map[string]int{}, map[string]int{}
	for _, r := range namespaces {
		left[r.name] = g.node(pictureNode{0, classAddress, []string{
			cmp.Or(r.name, "no namespace"), count(r.services, "service") + ", " + addressCount(r.addresses),
		}})
	}
	for _, r := range shapes {
		n := pictureNode{1, classShape, []string{r.name, count(r.services, "service") + ", " + addressCount(r.addresses)}}
		if r.unserved {
			n.class = classUnserved
		}
		middle[r.name] = g.node(n)
	}
	others := func(column, more int, what string) int {
		return g.node(pictureNode{column, classMore, []string{strconv.Itoa(more) + " more " + what}})
	}
	find := func(known map[string]int, name string, column, all int, what string) int {
		if i, ok := known[name]; ok {
			return i
		}
		return others(column, all-len(known), what)
	}
	keys := make([][2]string, 0, len(o.flows))
	for k := range o.flows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	sums := map[[2]int]int{}
	for _, k := range keys {
		from := find(left, k[0], 0, len(o.namespaces), "namespaces")
		to := find(middle, k[1], 1, len(o.shapes), "shapes")
		if sums[[2]int{from, to}] += o.flows[k]; sums[[2]int{from, to}] == o.flows[k] {
			g.edges = append(g.edges, pictureEdge{from: from, to: to})
		}
	}
	most := 1
	for _, n := range sums {
		most = max(most, n)
	}
	for i := range g.edges {
		n := sums[[2]int{g.edges[i].from, g.edges[i].to}]
		g.edges[i].weight, g.edges[i].label = float64(n)/float64(most), strconv.Itoa(n)
	}
	for _, r := range shapes {
		if !r.unserved {
			to := g.node(pictureNode{2, classEndpoint, []string{count(len(r.endpoints), "endpoint") + " by " + r.name}})
			g.edges = append(g.edges, pictureEdge{from: middle[r.name], to: to, weight: float64(r.addresses) / float64(o.most())})
		}
	}
	o.drawUnserved(g, middle)
	return g
}

// most is the number of addresses of the shape that has the most.
func (o *overview) most() int {
	n := 1
	for _, r := range o.shapes {
		n = max(n, r.addresses)
	}
	return n
}

// drawUnserved names the services that serve nobody.
func (o *overview) drawUnserved(g *pictureGroup, middle map[string]int) {
	from, ok := middle[noShape]
	if !ok {
		return
	}
	for i, name := range o.unserved {
		n := pictureNode{2, classUnserved, []string{name}}
		if i == maxOverviewRows {
			n = pictureNode{2, classMore, []string{strconv.Itoa(len(o.unserved)-i) + " more without endpoints"}}
		}
		g.edges = append(g.edges, pictureEdge{from: from, to: g.node(n), weight: 0.01})
		if i == maxOverviewRows {
			return
		}
	}
}

func addressCount(n int) string {
	if n == 1 {
		return "1 address"
	}
	return strconv.Itoa(n) + " addresses"
}
