package render

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/behaviour"
)

// The measures of a drawing, in pixels. All text is monospaced, so that its width is known without a font.
const (
	svgChar      = 7.25 // the width of a character at 12 pixels, and a little more than most fonts need
	svgLine      = 16
	svgPadding   = 8
	svgGap       = 8  // between nodes
	svgColumnGap = 96 // between columns, for the edges
	svgMargin    = 16
	svgTitle     = 26 // height of a group's title
	svgGroupGap  = 20
	maxLabel     = 64 // characters; of a longer label the whole is in a tooltip
)

// svgStyle gives both the colours of a light page and those of a dark one. The contrast of text is above 7:1 in both.
const svgStyle = `
text { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12px; fill: #111827; }
text.title { font-weight: bold; font-size: 13px; }
text.note { fill: #374151; }
.page { fill: #ffffff; }
.group { fill: none; stroke: #9ca3af; }
.edge { fill: none; stroke: #6b7280; stroke-opacity: 0.75; }
.address { fill: #dbeafe; stroke: #1d4ed8; }
.shape { fill: #ede9fe; stroke: #6d28d9; }
.endpoint { fill: #dcfce7; stroke: #15803d; }
.unserved { fill: #fee2e2; stroke: #b91c1c; }
.more { fill: none; stroke: #6b7280; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
text { fill: #f3f4f6; }
text.note { fill: #d1d5db; }
.page { fill: #111827; }
.group { stroke: #4b5563; }
.edge { stroke: #9ca3af; }
.address { fill: #1e3a8a; stroke: #93c5fd; }
.shape { fill: #4c1d95; stroke: #c4b5fd; }
.endpoint { fill: #14532d; stroke: #86efac; }
.unserved { fill: #7f1d1d; stroke: #fca5a5; }
.more { stroke: #9ca3af; }
}
`

// ServicesSVG draws what [ServicesDOT] does as an SVG image, which a browser shows without Graphviz.
func ServicesSVG(w io.Writer, b *behaviour.Behaviour) error {
	p := newPicture(b)
	d := svgDrawing{out: newWriter(w)}
	d.layout(p)
	d.write(p)
	return d.out.close()
}

// svgDrawing is a picture with the places of everything.
type svgDrawing struct {
	out    *writer
	widths [3]int
	lefts  [3]int
	width  int
	height int
	groups []svgGroup
}

type svgGroup struct {
	top, height int
	tops        []int // of the nodes
}

// layout gives every node its place: the columns are as wide as their longest label, and the nodes of each stand in the middle
// of the group's height, in their order.
func (d *svgDrawing) layout(p *picture) {
	titles := 0
	for _, g := range p.groups {
		titles = max(titles, textWidth(g.title)*13/12+2*svgPadding)
		for i := range g.nodes {
			n := &g.nodes[i]
			for _, l := range n.lines {
				d.widths[n.column] = max(d.widths[n.column], textWidth(l)+2*svgPadding)
			}
		}
	}
	left := svgMargin + svgPadding
	for c := range d.widths {
		d.lefts[c] = left
		left += d.widths[c] + svgColumnGap
	}
	d.width = max(left-svgColumnGap+svgPadding, titles+svgMargin) + svgMargin
	top := svgMargin
	for _, g := range p.groups {
		x := groupLayout(g, top)
		d.groups = append(d.groups, x)
		top += x.height + svgGroupGap
	}
	d.height = max(top-svgGroupGap, svgMargin) + svgMargin
}

func groupLayout(g *pictureGroup, top int) svgGroup {
	var heights [3]int
	for i := range g.nodes {
		heights[g.nodes[i].column] += nodeHeight(&g.nodes[i]) + svgGap
	}
	tallest := slices.Max(heights[:])
	x := svgGroup{top: top, height: svgTitle + tallest + svgPadding, tops: make([]int, len(g.nodes))}
	var next [3]int
	for c := range next {
		next[c] = top + svgTitle + (tallest-heights[c])/2
	}
	for i := range g.nodes {
		n := &g.nodes[i]
		x.tops[i] = next[n.column]
		next[n.column] += nodeHeight(n) + svgGap
	}
	return x
}

func nodeHeight(n *pictureNode) int { return len(n.lines)*svgLine + svgPadding }

// textWidth is the width of a label as it is drawn.
func textWidth(s string) int { return int(float64(len([]rune(clipLabel(s))))*svgChar) + 1 }

func clipLabel(s string) string {
	if r := []rune(s); len(r) > maxLabel {
		return string(r[:maxLabel-1]) + "…"
	}
	return s
}

func (d *svgDrawing) write(p *picture) {
	size := func(n int) string { return strconv.Itoa(n) }
	d.out.str(`<?xml version="1.0" encoding="UTF-8"?>`, "\n",
		`<svg xmlns="http://www.w3.org/2000/svg" width="`, size(d.width), `" height="`, size(d.height),
		`" viewBox="0 0 `, size(d.width), " ", size(d.height), `" role="img">`, "\n",
		"<title>Services: addresses, the shapes that choose an endpoint, and endpoints</title>\n",
		"<style>", svgStyle, "</style>\n",
		`<rect class="page" width="100%" height="100%"/>`, "\n")
	for i, g := range p.groups {
		x := &d.groups[i]
		d.out.str("<g>\n", `<rect class="group" x="`, size(svgMargin), `" y="`, size(x.top), `" width="`,
			size(d.width-2*svgMargin), `" height="`, size(x.height), `" rx="6"/>`, "\n")
		d.text(svgMargin+svgPadding, x.top+18, "title", g.title)
		for _, e := range g.edges {
			d.edge(g, x, e)
		}
		for k := range g.nodes {
			d.node(&g.nodes[k], x.tops[k])
		}
		d.out.str("</g>\n")
	}
	d.out.str("</svg>\n")
}

func (d *svgDrawing) node(n *pictureNode, top int) {
	left := d.lefts[n.column]
	d.out.str("<g>")
	if slices.ContainsFunc(n.lines, func(l string) bool { return clipLabel(l) != l }) {
		d.out.str("<title>", escapeXML(strings.Join(n.lines, ", ")), "</title>")
	}
	d.out.str(`<rect class="`, string(n.class), `" x="`, strconv.Itoa(left), `" y="`, strconv.Itoa(top),
		`" width="`, strconv.Itoa(d.widths[n.column]), `" height="`, strconv.Itoa(nodeHeight(n)), `" rx="4"/>`, "\n")
	for i, l := range n.lines {
		class := ""
		if i > 0 {
			class = "note"
		}
		d.text(left+svgPadding, top+svgLine*(i+1), class, l)
	}
	d.out.str("</g>\n")
}

func (d *svgDrawing) text(x, y int, class, s string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	d.out.str("<text", class, ` x="`, strconv.Itoa(x), `" y="`, strconv.Itoa(y), `" xml:space="preserve">`, escapeXML(clipLabel(s)), "</text>\n")
}

// edge draws a curve from the right side of a node to the left side of another, level at both ends.
func (d *svgDrawing) edge(g *pictureGroup, x *svgGroup, e pictureEdge) {
	from, to := &g.nodes[e.from], &g.nodes[e.to]
	x1, y1 := d.lefts[from.column]+d.widths[from.column], x.tops[e.from]+nodeHeight(from)/2
	x2, y2 := d.lefts[to.column], x.tops[e.to]+nodeHeight(to)/2
	middle := (x1 + x2) / 2
	at := func(x, y int) string { return strconv.Itoa(x) + "," + strconv.Itoa(y) }
	d.out.str(`<path class="edge" stroke-width="`, strconv.FormatFloat(edgeWidth(e.weight), 'f', 1, 64), `" d="M`,
		at(x1, y1), " C", at(middle, y1), " ", at(middle, y2), " ", at(x2, y2), `">`)
	if e.label != "" {
		d.out.str("<title>", escapeXML(from.lines[0]+" to "+to.lines[0]+": "+e.label), "</title>")
	}
	d.out.str("</path>\n")
}

// escapeXML makes text of what is written. What XML cannot hold at all has been replaced: see plainLine.
func escapeXML(s string) string { return xmlEscaper.Replace(plainLine(s)) }

var xmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")
