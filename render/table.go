package render

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

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
	Now      time.Time // what ages are counted from
}

// table is a listing in kubectl's layout.
type table struct {
	columns []string
	rows    [][]string
}

// write writes the table: columns at least six wide and three apart, the last one not padded (kubectl's tab writer, from
// k8s.io/cli-runtime/pkg/printers). A table without rows is empty, headers and all.
func (t *table) write(w io.Writer, opts TableOptions) error {
	if len(t.rows) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 6, 4, 3, ' ', 0)
	rows := t.rows
	if !opts.NoHeaders {
		rows = append([][]string{t.columns}, rows...)
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = plain(cell)
		}
		if _, err := io.WriteString(tw, strings.Join(row, "\t")+"\n"); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// meta is what every row has, whatever the kind.
type meta struct {
	resource, namespace, name string
	labels                    map[string]string
}

// row puts together the cells around those of the kind.
func (m meta) row(opts TableOptions, cells ...string) []string {
	var row []string
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
