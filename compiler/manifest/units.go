package manifest

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/svcctl/svcctl/compiler/diag"
)

// group is a document with the units it was cut into.
type group struct {
	whole      document
	first, end int // its units
}

// cutSources cuts the sources into units.
func cutSources(sources []Source) (units []unit, groups []group, diags diag.List) {
	for _, s := range sources {
		line := max(s.FirstLine, 1)
		text, err := sourceText(s.Data)
		if err != nil {
			diags.Errorf(diag.Syntax, diag.Pos{File: s.Name, Line: line}, diag.Object{}, "", "%v", err)
			continue
		}
		for _, piece := range splitDocuments(s.Name, text, line) {
			for _, d := range cutValues(piece) {
				first := len(units)
				units = appendUnits(units, d)
				groups = append(groups, group{d, first, len(units)})
			}
		}
	}
	return units, groups, diags
}

// appendUnits adds the document as one unit, or a List as one for its header and one for each item.
func appendUnits(units []unit, d document) []unit {
	cut, ok := cutItems(&d)
	if !ok {
		return append(units, unit{document: d})
	}
	list := listOf(&cut.header)
	if list == nil {
		return append(units, unit{document: d})
	}
	units = append(units, unit{document: cut.header})
	for _, item := range cut.items {
		units = append(units, unit{item, list})
	}
	return units
}

// listOf gives the kind of the List with the given header, nil where it is no List that is read, or was cut wrong.
func listOf(header *document) *kindInfo {
	var t tree
	if parse(&t, header) != nil || t.nodes[0].kind != mappingNode {
		return nil
	}
	for k := t.nodes[0].child; k != 0; k = t.nodes[t.nodes[k].next].next {
		value := &t.nodes[t.nodes[k].next]
		if text, _ := t.nodes[k].key(); text == "items" && (value.child != 0 || value.kind == stringNode) {
			return nil // more items than were cut out
		}
	}
	list := listKinds[t.stringValue(0, "kind")]
	if list == nil || t.stringValue(0, "apiVersion") != list.apiVersion {
		return nil
	}
	return list
}

// readUnits decodes units on as many goroutines as there are processors. The result has the order of the units.
func readUnits(units []unit, strict bool) []found {
	// Few units at a time share the work evenly; one at a time has the goroutines contend for the counter.
	const batch = 16
	results := make([]found, len(units))
	var next atomic.Int64
	work := func() {
		r := reader{strict: strict}
		for {
			end := int(next.Add(batch))
			if end-batch >= len(units) {
				return
			}
			for i := end - batch; i < min(end, len(units)); i++ {
				results[i] = r.read(&units[i])
			}
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(units)+batch-1)/batch) {
		wg.Go(work)
	}
	wg.Wait()
	return results
}

// mend reads the Lists again whole whose items could not be parsed each by itself, for they may only have been cut wrong.
// Where the whole cannot be parsed either, what the items said stays: it is nearer to the fault.
func mend(results []found, groups []group, strict bool) {
	r := reader{strict: strict}
	for _, g := range groups {
		if g.end-g.first == 1 || !anyBroken(results[g.first:g.end]) {
			continue
		}
		if whole := r.read(&unit{document: g.whole}); !whole.broken {
			clear(results[g.first:g.end])
			results[g.first] = whole
		}
	}
}

func anyBroken(results []found) bool {
	for _, f := range results {
		if f.broken {
			return true
		}
	}
	return false
}
