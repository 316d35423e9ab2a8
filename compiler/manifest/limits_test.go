package manifest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/diag"
)

func decodeText(text string) (*Bundle, diag.List) {
	return Decode([]Source{{Name: "x.yaml", Data: []byte(text)}}, Options{})
}

const aService = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n"

// A document is as large as the API server takes it, and no larger, in every form; white space does not count, and a List that
// can be cut may be larger.
func TestDocumentSize(t *testing.T) {
	comment := func(n int) string { return "# " + strings.Repeat("x", n) + "\n" }
	item := "- " + strings.ReplaceAll(strings.TrimSpace(aService), "\n", "\n  ") + "%d\n" + "  # " + strings.Repeat("x", 1000) + "\n"
	var list strings.Builder
	list.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for i := range 2 * maxDocument / 1000 {
		fmt.Fprintf(&list, item, i)
	}
	for name, c := range map[string]struct {
		text string
		want string // "": accepted
	}{
		"just":             {text: aService + comment(maxDocument-100)},
		"too large":        {aService + comment(maxDocument), ":1:1: a document of 31"},
		"the second":       {"---\n" + aService + "---\n" + aService + comment(maxDocument), ":6:1: a document of 31"},
		"JSON":             {`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "` + strings.Repeat("x", maxDocument) + `"}}`, ":1:1: a document of 31"},
		"with an anchor":   {"a: &a b\n" + aService + comment(maxDocument), ":1:1: a document of 31"},
		"much white space": {text: aService + strings.Repeat(" \n", maxDocument)},
		"a List":           {text: list.String()},
		"a List in one":    {strings.Replace(list.String(), "items:", "items: # cut", 1), ":1:1: a document of"},
		"a List of too many": {
			"apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- {a: b}\n", maxDocuments+10), ":1:1: a document of",
		},
		"a JSON List of too many": {
			`{"apiVersion":"v1","kind":"List","items":[` + strings.Repeat(`{"a":1},`, maxDocuments+10) + "1]}", ":1:1: a document of",
		},
		"many, each little": {text: strings.Repeat("---\napiVersion: v1\nkind: ConfigMap\n"+comment(1000), 2*maxDocument/1000)},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := decodeText(c.text)
			switch {
			case c.want == "" && len(diags) > 0:
				t.Errorf("refused: %v", diags[0])
			case c.want != "" && (len(diags) == 0 || !strings.Contains(diags[0].String(), c.want)):
				t.Errorf("got %v; want %q", diags, c.want)
			}
		})
	}
}

// One document too many is named with its place.
func TestDocumentCount(t *testing.T) {
	b, diags := decodeText(strings.Repeat("---\nkind: X\n", maxDocuments+10))
	want := fmt.Sprintf("x.yaml:%d: more than 1000000 documents: svcctl reads no more at once", 2*maxDocuments+1)
	if len(diags) != 1 || diags[0].String() != want || len(b.Skipped) > 0 {
		t.Errorf("got %v and %v skipped; want %s", diags[:min(3, len(diags))], b.Skipped, want)
	}
}

// Of one mistake repeated a document has a hundred findings, and the input a thousand; the first ones, however many
// goroutines read it.
func TestFindingsEnd(t *testing.T) {
	var fields, twice strings.Builder
	fields.WriteString(aService + "spec:\n")
	twice.WriteString(aService + "  labels:\n")
	for i := range 10_000 {
		fmt.Fprintf(&fields, "  unknown%d: 1\n", i)
		fmt.Fprintf(&twice, "    label%d: x\n", i%5000)
	}
	for name, text := range map[string]string{"unknown fields": fields.String(), "keys twice": twice.String()} {
		_, diags := decodeText(text)
		if len(diags) != maxFindings || !strings.Contains(diags[maxFindings-1].Message, "99 errors in this document") {
			t.Errorf("%s: %d findings, the last is %v", name, len(diags), diags[len(diags)-1])
		}
	}

	var documents strings.Builder
	for i := range 40_000 { // several parts
		fmt.Fprintf(&documents, "---\nkind: Service%d\n", i)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want diag.List
	for _, processors := range []int{1, 4, 16} {
		runtime.GOMAXPROCS(processors)
		_, diags := decodeText(documents.String())
		if len(diags) != maxErrors+1 || !strings.HasPrefix(diags[maxErrors].String(), "x.yaml:1999: 1000 errors up to this document") &&
			!strings.HasPrefix(diags[maxErrors-1].String(), "x.yaml:1999: 1000 errors up to this document") {
			t.Fatalf("%d processors: %d findings, the last ones are %v", processors, len(diags), diags[len(diags)-2:])
		}
		if diff := cmp.Diff(want, diags); want != nil && diff != "" {
			t.Errorf("%d processors: (-one +these)\n%s", processors, diff)
		}
		want = diags
	}
	_, diags := decodeText(strings.Repeat("---\n"+aService, 10_000))
	if len(diags) != maxErrors {
		t.Errorf("of 10,000 objects of one name: %d findings", len(diags))
	}
}

// A List that was cut in the wrong places seems to have thousands of mistakes, and has none.
func TestMistakesOfCuttingAreNotCounted(t *testing.T) {
	text := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: a\n    annotations:\n      x: \"\n" +
		strings.Repeat("- no item\n", 5000) + "- the end\"\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: b\n"
	before := strings.Repeat("---\nkind: Service\n", 10) // each with an error
	for _, text := range []string{text, before + "---\n" + text} {
		b, diags := decodeText(text)
		if wrong := strings.Count(text, "\nkind: Service\n"); len(b.Services) != 2 || len(diags) != wrong {
			t.Errorf("got %d Services and %v; want %d errors", len(b.Services), diags[:min(3, len(diags))], wrong)
		}
	}
}
