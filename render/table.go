package render

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"
)

// kubectl's way of saying that there is nothing.
const (
	none    = "<none>"
	unset   = "<unset>"
	unknown = "<unknown>"
)

// TableOptions say which columns a table has.
type TableOptions struct {
	AllNamespaces bool     // -A: NAMESPACE comes first
	Wide          bool     // -o wide
	ShowLabels    bool     // --show-labels: LABELS comes last
	LabelColumns  []string // -L: a column per label key
	NoHeaders     bool     // --no-headers
	// WithKind puts the resource before each name, "service/web": for several kinds in one listing, which are a table
	// each with a blank line between.
	WithKind bool
	// Event is what happened to the rows, as the first column, in a listing that is watched; without it there is none.
	Event string
	// Widths, where a table goes on with one written before, are that one's. They only grow.
	Widths *Widths
	Now    time.Time // what ages are counted from
}

// Widths are the widths of the columns of a table.
type Widths struct{ columns []int }

// kubectl's layout (from k8s.io/cli-runtime/pkg/printers): columns are at least so wide, and so far apart.
const (
	minWidth = 6
	padding  = 3
)

// fit widens the columns to hold the cells of a row. The last one is never padded, so its width does not count.
func (w *Widths) fit(row []string) {
	for i, cell := range row[:max(len(row)-1, 0)] {
		if i == len(w.columns) {
			w.columns = append(w.columns, minWidth)
		}
		w.columns[i] = max(w.columns[i], utf8.RuneCountInString(cell)+padding)
	}
}

// line gives a row as a line of text.
func (w *Widths) line(row []string) string {
	var b strings.Builder
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", w.columns[i]-utf8.RuneCountInString(cell)))
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// table is a listing in kubectl's layout.
type table struct {
	columns []string
	rows    [][]string
}

// write writes the table. Without rows it is empty, headers and all.
func (t *table) write(w io.Writer, opts TableOptions) error {
	if len(t.rows) == 0 {
		return nil
	}
	return t.writeWithHeaders(w, opts)
}

// writeWithHeaders writes the table, be it the headers alone.
func (t *table) writeWithHeaders(w io.Writer, opts TableOptions) error {
	widths := opts.Widths
	if widths == nil {
		widths = &Widths{}
	}
	if opts.Event != "" {
		widths.fit([]string{"MODIFIED", ""}) // the longest, which will come
	}
	rows := t.rows
	if !opts.NoHeaders {
		rows = append([][]string{t.columns}, rows...)
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = plain(cell)
		}
		widths.fit(row)
	}
	out := newWriter(w)
	for _, row := range rows {
		out.str(widths.line(row))
	}
	return out.close()
}

// meta is what every row has, whatever the kind.
type meta struct {
	resource, namespace, name string
	labels                    map[string]string
}

// row puts together the cells around those of the kind.
func (m meta) row(opts TableOptions, cells ...string) []string {
	var row []string
	if opts.Event != "" {
		row = append(row, opts.Event)
	}
	if opts.AllNamespaces {
		row = append(row, m.namespace)
	}
	name := m.name
	if opts.WithKind {
		name = m.resource + "/" + name
	}
	row = append(append(row, name), cells...)
	for _, key := range opts.LabelColumns {
		row = append(row, m.labels[key])
	}
	if opts.ShowLabels {
		row = append(row, labelsText(m.labels))
	}
	return row
}

// columns puts together the headers around those of the kind.
func columns(opts TableOptions, headers ...string) []string {
	var out []string
	if opts.Event != "" {
		out = append(out, "EVENT")
	}
	if opts.AllNamespaces {
		out = append(out, "NAMESPACE")
	}
	out = append(append(out, "NAME"), headers...)
	for _, key := range opts.LabelColumns {
		out = append(out, strings.ToUpper(key[strings.LastIndex(key, "/")+1:]))
	}
	if opts.ShowLabels {
		out = append(out, "LABELS")
	}
	return out
}

// labelsText gives labels as "k=v,k2=v2", sorted, or "<none>".
func labelsText(labels map[string]string) string {
	if len(labels) == 0 {
		return none
	}
	pairs := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, k+"="+labels[k])
	}
	return strings.Join(pairs, ",")
}

// maxListed is how many endpoints or ports kubectl lists before it counts the rest.
const maxListed = 3

// clipped joins the first few items and counts the rest: "a,b,c + 2 more...".
func clipped(items []string) string {
	if len(items) <= maxListed {
		return strings.Join(items, ",")
	}
	return strings.Join(items[:maxListed], ",") + " + " + strconv.Itoa(len(items)-maxListed) + " more..."
}

// ageText gives the time since t as kubectl shows ages.
func ageText(t, now time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return duration.HumanDuration(now.Sub(t))
}
