package render

import (
	"io"
	"strconv"

	"github.com/svcctl/svcctl/compiler/behaviour"
)

// dotStyles are how the classes of nodes look in Graphviz.
var dotStyles = map[pictureClass]string{
	classAddress:  `style="filled", fillcolor="#dbeafe"`,
	classShape:    `style="filled,rounded", fillcolor="#ede9fe"`,
	classEndpoint: `style="filled", fillcolor="#dcfce7"`,
	classUnserved: `style="filled", fillcolor="#fee2e2"`,
	classMore:     `style="dashed"`,
}

// ServicesDOT draws services as a Graphviz digraph: addresses, the shapes that choose an endpoint, and endpoints with their
// shares of new connections. More than forty services are counted instead of drawn.
func ServicesDOT(w io.Writer, b *behaviour.Behaviour) error {
	out := newWriter(w)
	out.str("digraph services {\n",
		"\trankdir=LR;\n",
		"\tranksep=1.2;\n",
		"\tnode [fontname=\"monospace\", fontsize=10, shape=box];\n",
		"\tedge [fontname=\"monospace\", fontsize=9, arrowsize=0.6];\n")
	for i, g := range newPicture(b).groups {
		id := func(node int) string { return "g" + strconv.Itoa(i) + "n" + strconv.Itoa(node) }
		out.str("\tsubgraph cluster_", strconv.Itoa(i), " {\n\t\tlabel=", quoteDOT(g.title), ";\n")
		for k, n := range g.nodes {
			out.str("\t\t", id(k), " [label=", labelDOT(n.lines), ", ", dotStyles[n.class], "];\n")
		}
		for _, e := range g.edges {
			out.str("\t\t", id(e.from), " -> ", id(e.to),
				" [penwidth=", strconv.FormatFloat(edgeWidth(e.weight), 'f', 1, 64))
			if e.label != "" {
				out.str(", label=", quoteDOT(e.label))
			}
			out.str("];\n")
		}
		out.str("\t}\n")
	}
	out.str("}\n")
	return out.close()
}

// edgeWidth makes the way of much traffic thicker than that of little.
func edgeWidth(weight float64) float64 { return 0.8 + 3*weight }
