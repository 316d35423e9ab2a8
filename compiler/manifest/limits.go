package manifest

import (
	"fmt"
	"strings"

	"github.com/svcctl/svcctl/compiler/diag"
)

// The limits. A document may be hostile; and what it makes is some ten times as large as its text, or, where it is nothing but
// tiny nodes or mistakes, a thousand times.
const (
	// maxDocument is how many bytes other than white space a document takes, or an item of a List: the API server takes no
	// larger request (k8s.io/apiserver, MaxRequestBodyBytes).
	maxDocument = 3 << 20
	// maxDocuments is how many documents, and items of Lists, are read at once: five for each Service where there are 200,000.
	maxDocuments = 1_000_000
	// maxFindings is how many findings are kept of one document, and maxErrors after how many in all the rest is not read
	// any more: more than anybody reads are one mistake repeated.
	maxFindings = 100
	maxErrors   = 1000
)

// checkSize refuses a document that is too large to be one.
func checkSize(d *document) *syntaxError {
	if len(d.text) <= maxDocument {
		return nil
	}
	blanks := 0 // of which the header of a List that was cut is full
	for _, blank := range [...]string{" ", "\n"} {
		blanks += strings.Count(d.text, blank)
	}
	if size := len(d.text) - blanks; size > maxDocument {
		return &syntaxError{d.line, d.column, fmt.Sprintf("a document of %d bytes: svcctl takes up to %d in one, as the API server does. "+
			"A List may be larger, if it is written as kubectl does", size, maxDocument)}
	}
	return nil
}

// countUnits reports the first document that is one too many.
func countUnits(parts []part) (diags diag.List) {
	count := 0
	for i := range parts {
		p := &parts[i]
		p.cut() // again, or after all
		if count+len(p.units) <= maxDocuments {
			count += len(p.units)
			*p = part{}
			continue
		}
		u := &p.units[maxDocuments-count]
		diags.Errorf(diag.Limit, diag.Pos{File: u.file, Line: u.line}, diag.Object{}, "",
			"more than %d documents: svcctl reads no more at once", maxDocuments)
		break
	}
	return diags
}

// readFirst reads all again, in order, until it has found enough that is wrong. What comes after that holds nothing.
func readFirst(parts []part, opts Options) (diags diag.List) {
	r := newReader(opts)
	errors := 0
	for i := range parts {
		p := &parts[i]
		clear(p.results)
		lists := p.lists
		for k := 0; k < len(p.units) && errors < maxErrors; k++ {
			for len(lists) > 0 && lists[0].end <= k {
				lists = lists[1:]
			}
			p.results[k] = r.read(&p.units[k])
			errors += len(p.results[k].diags)
			if p.results[k].broken && len(lists) > 0 && lists[0].first <= k && p.mendList(lists[0], opts) {
				errors = 0
				for j := range i {
					errors += countFindings(parts[j].results)
				}
				errors += countFindings(p.results)
				k = lists[0].end - 1
			}
			if errors >= maxErrors {
				diags.Errorf(diag.Limit, diag.Pos{File: p.units[k].file, Line: p.units[k].line}, diag.Object{}, "",
					"%d errors up to this document: what comes after it was not read", errors)
			}
		}
	}
	return diags
}

func countFindings(results []found) int {
	n := 0
	for i := range results {
		n += len(results[i].diags)
	}
	return n
}
