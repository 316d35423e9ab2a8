package manifest

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/svcctl/svcctl/compiler/diag"
)

// part is a piece of a source that is cut into units, and read, on its own.
type part struct {
	document
	units   []unit
	lists   []group
	results []found // of the units
	mended  bool    // what some of them held was found out from the whole of their List
}

// group is a List with the units it was cut into.
type group struct {
	whole      document
	first, end int // its units
}

const (
	// partSize is about how long a part is, so that the parts of a large file can be read side by side.
	partSize = 256 << 10
	// typicalUnit is how long a unit is on average, at least.
	typicalUnit = 512
	// largePart is how many units make a part that is not read by one goroutine: it has a List of thousands.
	largePart = 4 * partSize / typicalUnit
)

// readSources reads all sources. The result has their order.
func readSources(sources []Source, opts Options) (parts []part, diags diag.List) {
	parts, diags = cutSources(sources)
	var units, errors atomic.Int64
	wrong := func(n int) bool { return n > 0 && errors.Add(int64(n)) > maxErrors || errors.Load() > maxErrors }
	inParallel(len(parts), partBatch(parts), func() func(int) {
		r := newReader(opts)
		return func(i int) {
			p := &parts[i]
			if units.Load() > maxDocuments {
				return
			}
			p.cut()
			units.Add(int64(len(p.units)))
			if len(p.units) <= largePart {
				p.read(r, 0, len(p.units), wrong)
			}
		}
	})
	if units.Load() > maxDocuments {
		return nil, append(diags, countUnits(parts)...)
	}
	for i := range parts {
		p := &parts[i]
		if len(p.units) > largePart {
			p.readInParallel(opts, wrong)
		}
		if wrong(0) {
			break
		}
		p.mend(opts)
	}
	if wrong(0) {
		diags = append(diags, readFirst(parts, opts)...)
	}
	return parts, diags
}

// cutSources cuts all sources into parts.
func cutSources(sources []Source) (parts []part, diags diag.List) {
	for _, s := range sources {
		line := max(s.FirstLine, 1)
		text, err := sourceText(s.Data)
		if err != nil {
			diags.Errorf(diag.Syntax, diag.Pos{File: s.Name, Line: line}, diag.Object{}, "", "%v", err)
			continue
		}
		parts = appendParts(parts, document{s.Name, text, line, 1})
	}
	return parts, diags
}

// partBatch is how many parts a goroutine takes at a time. Few share the work evenly; one at a time has the goroutines
// contend for the counter where files are small.
func partBatch(parts []part) int { return 1 + len(parts)/256 }

func newReader(opts Options) *reader {
	return &reader{strict: opts.Strict, cache: opts.Cache, named: opts.Documents}
}

// appendParts adds the file as parts. They end where a document certainly ends: at a marker after a line of content or
// another marker.
func appendParts(parts []part, file document) []part {
	c := newCursor(&file)
	for end := partSize; end < len(file.text); {
		i := strings.Index(file.text[end:], "\n---")
		if i < 0 {
			break
		}
		at := end + i + 1
		before := strings.TrimPrefix(file.text[strings.LastIndexByte(file.text[:at-1], '\n')+1:at], byteOrderMark)
		if !isMarker(file.text[at:], "---") || !hasContent(before) {
			end = at
			continue
		}
		parts = append(parts, part{document: c.document(file.file, at)})
		c.advance(at)
		end = at + partSize
	}
	return append(parts, part{document: c.document(file.file, len(file.text))})
}

// cut cuts a part into units.
func (p *part) cut() {
	p.units = make([]unit, 0, 1+len(p.text)/typicalUnit)
	splitDocuments(p.file, p.text, p.line, func(piece document, items bool) {
		switch {
		case len(p.units) > maxDocuments:
		case isJSON(piece.text):
			for _, d := range cutValues(piece) {
				p.add(d)
			}
		case items:
			p.add(piece)
		default:
			p.units = append(p.units, unit{document: piece})
		}
	})
	p.results = make([]found, len(p.units))
}

// add adds a document that may be a List.
func (p *part) add(d document) {
	first := len(p.units)
	if p.units = appendUnits(p.units, d); len(p.units) > first+1 {
		p.lists = append(p.lists, group{d, first, len(p.units)})
	}
}

// read reads some of the units, until wrong, which it tells how much was, says that it is enough.
func (p *part) read(r *reader, from, to int, wrong func(int) bool) {
	for i := from; i < to && !wrong(0); i++ {
		p.results[i] = r.read(&p.units[i])
		wrong(len(p.results[i].diags))
	}
}

// readInParallel reads all units, on as many goroutines as there are processors.
func (p *part) readInParallel(opts Options, wrong func(int) bool) {
	inParallel(len(p.units), 16, func() func(int) {
		r := newReader(opts)
		return func(i int) { p.read(r, i, i+1, wrong) }
	})
}

// inParallel does n things on as many goroutines as there are processors, a batch at a time. Each goroutine makes a worker
// of its own.
func inParallel(n, batch int, worker func() func(i int)) {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), (n+batch-1)/batch) {
		wg.Go(func() {
			work := worker()
			for {
				end := int(next.Add(int64(batch)))
				if end-batch >= n {
					return
				}
				for i := end - batch; i < min(end, n); i++ {
					work(i)
				}
			}
		})
	}
	wg.Wait()
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

// mend reads the Lists again whole whose items could not be parsed each by itself, for they may only have been cut wrong.
// Where the whole cannot be parsed either, what the items said stays: it is nearer to the fault.
func (p *part) mend(opts Options) {
	for _, g := range p.lists {
		if anyBroken(p.results[g.first:g.end]) && p.mendList(g, opts) {
			p.mended = true
		}
	}
}

// mendList reports whether a List could be read whole.
func (p *part) mendList(g group, opts Options) bool {
	whole := newReader(opts).decodeUnit(&unit{document: g.whole})
	if whole.broken {
		return false
	}
	results := p.results[g.first:g.end]
	clear(results)
	results[0] = whole
	return true
}

func anyBroken(results []found) bool {
	for _, f := range results {
		if f.broken {
			return true
		}
	}
	return false
}
