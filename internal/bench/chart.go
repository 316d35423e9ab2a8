package main

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// chart is curves in a frame with two logarithmic axes.
type chart struct {
	title  string
	x, y   axis
	curves []*curve
}

// axis runs from one power of ten to another one.
type axis struct {
	name     string
	from, to float64
	text     func(float64) string // labels a power of ten
}

// at gives where a value is on the axis, from 0 to 1.
func (a axis) at(v float64) float64 { return math.Log(v/a.from) / math.Log(a.to/a.from) }

// curve is a line through points; dashed for what is there to compare with.
type curve struct {
	name   string
	points []point
	dashed bool
}

type point struct{ x, y float64 }

// The frame, in the units of the picture. The names of the curves stand to the right of it.
const (
	chartWidth, chartHeight = 840, 485
	chartLeft, chartRight   = 70, 600
	chartTop, chartBottom   = 50, 430
	labelHeight             = 19
)

// The background changes with the reader's preference together with everything on it, so that the picture can be read
// wherever it is shown. The colours are those of Okabe and Ito, which people with any colour vision can tell apart.
const chartStyle = `
	.ground { fill: #fff; }
	text { font: 13px system-ui, sans-serif; fill: #24292f; }
	.title { font-weight: 600; font-size: 15px; }
	.grid { stroke: #d8dee4; stroke-width: 1; }
	.fine { stroke: #eef1f4; stroke-width: 1; }
	.line { fill: none; stroke-width: 2.25; stroke-linejoin: round; }
	.lead { fill: none; stroke-width: 1; opacity: .5; }
	.dashed { stroke-dasharray: 6 4; }
	@media (prefers-color-scheme: dark) {
		.ground { fill: #0d1117; }
		text { fill: #e6edf3; }
		.grid { stroke: #30363d; }
		.fine { stroke: #1d232b; }
	}
`

var chartColours = []string{"#8c8c8c", "#0072b2", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#e69f00"}

// svg draws the chart.
func (c *chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
		chartWidth, chartHeight, html.EscapeString(c.title))
	fmt.Fprintf(&b, "<style>%s</style>\n", chartStyle)
	fmt.Fprintf(&b, "<rect class=\"ground\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", chartWidth, chartHeight)
	text(&b, chartLeft, chartTop-22, "start", "title", c.title)
	c.grid(&b)
	c.lines(&b)
	b.WriteString("</svg>\n")
	return b.String()
}

func (c *chart) place(p point) (x, y float64) {
	return chartLeft + c.x.at(p.x)*(chartRight-chartLeft), chartBottom - c.y.at(p.y)*(chartBottom-chartTop)
}

// grid draws a line for each power of ten, and finer ones for the whole numbers between them.
func (c *chart) grid(b *strings.Builder) {
	for v, major := range ticks(c.x) {
		x, _ := c.place(point{v, c.y.from})
		fmt.Fprintf(b, "<path class=\"%s\" d=\"M%.1f %dV%d\"/>\n", gridClass(major), x, chartTop, chartBottom)
		if major {
			text(b, x, chartBottom+20, "middle", "", c.x.text(v))
		}
	}
	for v, major := range ticks(c.y) {
		if !major { // over many powers of ten they would only be grey
			continue
		}
		_, y := c.place(point{c.x.from, v})
		fmt.Fprintf(b, "<path class=\"%s\" d=\"M%d %.1fH%d\"/>\n", gridClass(major), chartLeft, y, chartRight)
		text(b, chartLeft-8, y+4, "end", "", c.y.text(v))
	}
	text(b, (chartLeft+chartRight)/2, chartBottom+40, "middle", "", c.x.name)
}

func gridClass(major bool) string {
	if major {
		return "grid"
	}
	return "fine"
}

// ticks gives the whole multiples of the powers of ten on an axis, and whether each is such a power itself.
func ticks(a axis) func(yield func(float64, bool) bool) {
	return func(yield func(float64, bool) bool) {
		for power := a.from; power < a.to*1.01; power *= 10 {
			for k := 1; k < 10; k++ {
				if v := power * float64(k); v < a.to*1.01 && !yield(v, k == 1) {
					return
				}
			}
		}
	}
}

// lines draws the curves, finer ones at last, and their names where they end, but none over another.
func (c *chart) lines(b *strings.Builder) {
	type label struct {
		name, colour string
		x, end, y    float64
	}
	var labels []label
	for i, cv := range c.curves {
		if len(cv.points) == 0 {
			continue
		}
		colour := chartColours[i%len(chartColours)]
		class := "line"
		if cv.dashed {
			class += " dashed"
		}
		path := ""
		var x, y float64
		for k, p := range cv.points {
			x, y = c.place(p)
			path += fmt.Sprintf("%c%.1f %.1f", "ML"[min(k, 1)], x, y)
			fmt.Fprintf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x, y, colour)
		}
		fmt.Fprintf(b, "<path class=\"%s\" stroke=\"%s\" d=\"%s\"/>\n", class, colour, path)
		labels = append(labels, label{cv.name, colour, x, y, y})
	}
	slices.SortStableFunc(labels, func(p, q label) int { return cmp.Compare(p.y, q.y) })
	for i := range labels { // from the top, each at least a line below the one before
		if i > 0 {
			labels[i].y = max(labels[i].y, labels[i-1].y+labelHeight)
		}
	}
	for i := len(labels) - 1; i >= 0; i-- { // and back into the frame
		limit := float64(chartBottom)
		if i < len(labels)-1 {
			limit = labels[i+1].y - labelHeight
		}
		labels[i].y = min(labels[i].y, limit)
	}
	for _, l := range labels {
		fmt.Fprintf(b, "<path class=\"lead\" stroke=\"%s\" d=\"M%.1f %.1fL%d %.1f\"/>\n", l.colour, l.x+4, l.end, chartRight+14, l.y)
		fmt.Fprintf(b, "<circle cx=\"%d\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", chartRight+16, l.y, l.colour)
		text(b, chartRight+26, l.y+4, "start", "", l.name)
	}
}

func text(b *strings.Builder, x, y float64, anchor, class, s string) {
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", x, y, anchor, class, html.EscapeString(s))
}
