package manifest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// dump writes a tree, a node a line, with places.
func (t *tree) dump(b *strings.Builder, n int32, depth int) {
	at := &t.nodes[n]
	fmt.Fprintf(b, "%*s%d:%d %d %v %q\n", 2*depth, "", at.line, at.column, at.kind, at.plain, at.text)
	for c := at.child; c != 0; c = t.nodes[c].next {
		t.dump(b, c, depth+1)
	}
}

func dumped(t *tree) string {
	var b strings.Builder
	t.dump(&b, 0, 0)
	return b.String()
}

// documents are the documents of the corpus and a few that are hard to get right.
func documents(tb testing.TB) []string {
	tb.Helper()
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(names) == 0 {
		tb.Fatal("no corpus: ", err)
	}
	docs := []string{
		"a: |\n  x\n   y\n\n  z\n\n\nb: |-\n  x\n\nc: |+\n  x\n\nd: 1\n",
		"a:\n  b: |\n    x\n   y: z\n",
		"a: 'it''s'\nb: \"x\\ty\"\nc: \"#\" # c\nd: x#y # z\ne: http://x:80/\nf: [a, b: c]\n",
		"a:\n- b\n- - c\n  - d\n-\n  e: f\n- g: h\n  i: j\n-   k: l\n    m: n\n- # comment\n  o: p\n-\nq:\nr: ~\n",
		"a: b\n c: d\n", "a: b\n  c\n", "- a\nb: c\n", "a: - b\n", "a: b: c\n", "? a\n: b\n", "a:b\n", "a :b\n", "a : b\n",
		"a: {b: c, d: [e, 'f', {}], \"g\": {h: i}} # x\nj: [{k: l}]\nm: {n}\no: [p, q,]\nr: {\"s\":1}\nt: [u:v, ::1]\n",
		"a: -1\nb: -\nc: -x\nd: - 1\ne: +1\nf: 0x1F\ng: 1_0\nh: 010\ni: 1e3\nj: .5\nk: 12:30\nl: n\nm: .inf\nn: 0b1\n",
		"y: 1\n010: 2\n~: 3\n1.5: 4\n", "a: b\r\nc: |\r\n  d\r\n  e\r\nf: g\r\n", "--- # x\na: b\n", "---\na: b\n...\n",
		"  a: b\n  c: d\n", "  a: b\n c: d\n", "a: b\n# c\n  # d\n\ne: f", "a: \"b\"c\n", "a: 'b' 'c'\n", "a: \"b\" # c\n", "a: \"b\"# c\n",
		"a: |\n\n  b\n", "a: |2\n  b\n", "a: >\n  b\n", "a: |\nb: c\n", "a: | # x\n  b\n", "a: |\n  b", "-\n", "- \n", "a:\n\n\n", "a: b\n---\n",
		"a:\n  - b\n c: d\n", "a:\n- b\n - c\n", "a: &x b\nc: *x\n", "a: !!str 1\n", "a:\tb\n", "\ta: b\n", "a: b\t\n", "a: b\t# c\n",
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		for _, d := range documentsOf(name, string(data)) {
			docs = append(docs, d.text)
		}
	}
	return docs
}

// TestPlainIsUsual sees that what kubectl prints goes the fast way, and does not quietly come to go the slow one.
func TestPlainIsUsual(t *testing.T) {
	for _, name := range []string{"testdata/kubectl.yaml", "testdata/slices.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range documentsOf(name, string(data)) {
			var fast tree
			if !parsePlain(&fast, &d) {
				t.Errorf("%s:%d: left to the library", name, d.line)
			}
		}
	}
}

// FuzzPlain compares the plain parser with the YAML library: what it reads, it reads the same, places included.
func FuzzPlain(f *testing.F) {
	for _, text := range documents(f) {
		f.Add(text, uint8(0))
		f.Add(text, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, indent uint8) {
		// What splitDocuments gives has no marker inside.
		if len(documentsOf("", text)) > 1 {
			t.Skip("several documents")
		}
		d := document{text: text, line: 7, column: int32(indent%8) + 1}
		if d.column > 1 && !strings.HasPrefix(text, " ") {
			t.Skip("an item begins after a dash, with a space")
		}
		var fast, sure tree
		if !parsePlain(&fast, &d) {
			return
		}
		if err := parseYAML(&sure, &d); err != nil {
			t.Fatalf("the library refuses what the plain parser reads: %+v\n%s", *err, dumped(&fast))
		}
		if len(fast.nodes) == 1 && len(sure.nodes) == 1 {
			return // nothing, which has no place
		}
		if got, want := dumped(&fast), dumped(&sure); got != want {
			t.Errorf("plain:\n%s\nlibrary:\n%s", got, want)
		}
	})
}

// depthOf counts how deep collections are nested.
func depthOf(v any) int {
	depth := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			depth = max(depth, depthOf(e))
		}
	case map[string]any:
		for _, e := range v {
			depth = max(depth, depthOf(e))
		}
	default:
		return 0
	}
	return depth + 1
}

// FuzzJSON compares the JSON parser with encoding/json, and its places with those of the YAML library.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { "a" : [ 1 , -2.5e3, true, null, "x\n\u00e9\ud83d\ude00" ] , "b": {"c": {}} } `, `{"a":1,}`, `{"a":01}`, `{"é": "ü", "x": 1}`,
		"{\n\t\"a\": [],\r\n \"b\": \"\"\n}", `{"a":1e999}`, `{"a": nul}`, `{"a": "` + "\x01" + `"}`, `{"a"}`, `{a: b}`, `{"a": 'b'}`, `{"a": -}`, `{"a": "\x"}`,
		`{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}}`, "{\"a\": \"\xff\"}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := document{text: text, line: 1, column: 1}
		if !isJSON(text) || isMarker(text, "---") || lineFeeds(text) != text {
			t.Skip("nothing that Decode would give to the parser")
		}
		var fast tree
		if !parseJSON(&fast, &d) {
			var v any
			if json.Unmarshal([]byte(text), &v) == nil && depthOf(v) < maxDepth && utf8.ValidString(text) {
				t.Errorf("refused: %q", text)
			}
			return
		}
		var want, got any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if err := json.Unmarshal(fast.appendJSON(nil, 0), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, got) {
			t.Errorf("got %v, want %v", got, want)
		}
		var sure tree
		if strings.Contains(text, `\`) || parseYAML(&sure, &d) != nil {
			return // YAML knows neither all escapes nor all places for a tab
		}
		if got, want := dumped(&fast), dumped(&sure); got != want {
			t.Errorf("JSON:\n%s\nlibrary:\n%s", got, want)
		}
	})
}

// FuzzCut compares a List that was cut with the same List read whole: objects, places and complaints.
func FuzzCut(f *testing.F) {
	const service = "apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n"
	for _, items := range []string{
		"items:\n- " + service + "- " + service, "items:\n- x: \"a\n- b\"\n- " + service, "items:\n- x: [a,\n- b]\n", "items:\n  - a\n - b\n", "items:\n- - a\n  - b\n",
		"items:\n# x\n- # y\n  " + service + "# z\n\n-\n  " + service + "metadata: {}\n", "items:\n- a: |\n   x\n  - y\n- b\n", "items: \n- a\nitems:\n- b\n", "items:\n- &a {a: b}\n- *a\n",
		"items:\n- 'a\n- b'\n", "items:\n- a\nx: [\n- b\n]\n", "items:\n- a: |\n- b\n", "items:\n- a\n   - b\n- |\n  - c\n", "items:\n-\n-\n",
	} {
		f.Add("apiVersion: v1\nkind: List\n" + items)
	}
	f.Add(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"}}, {"a":"]"} ,1],"metadata":{}}`)
	f.Add(`{"apiVersion":"v1","kind":"List","items":[{"":"","":"","":{"":""}},0{""0""} ,0],"00000000",{}}`)
	f.Add(`{"items":[[{}],"a\\","\"",{}],"kind":"List","apiVersion":"v1"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(documentsOf("", text)) != 1 || lineFeeds(text) != text {
			t.Skip("not one document")
		}
		d := document{"x", text, 1, 1}
		p := part{document: d}
		p.add(d)
		if len(p.units) == 1 {
			t.Skip("not cut")
		}
		p.results = make([]found, len(p.units))
		p.readInParallel(Options{}, func(int) bool { return false })
		p.mend(Options{})
		if anyBroken(p.results) {
			t.Skip("no List at all")
		}
		var got found
		for _, f := range p.results {
			got.objects, got.skipped, got.diags = append(got.objects, f.objects...), append(got.skipped, f.skipped...), append(got.diags, f.diags...)
		}
		r := reader{}
		want := r.decodeUnit(&unit{document: d})
		if got, want := summary(got), summary(want); got != want {
			t.Errorf("cut:\n%s\nwhole:\n%s", got, want)
		}
	})
}

func documentsOf(file, text string) (docs []document) {
	splitDocuments(file, text, 1, func(d document, items bool) {
		docs = append(docs, d)
		if _, is := itemsLine(d.text); is && !items {
			panic("items overlooked: " + d.text)
		}
	})
	return docs
}

func summary(f found) string {
	var b strings.Builder
	for _, o := range f.objects {
		data, err := json.Marshal(o)
		fmt.Fprintf(&b, "%s %v\n", data, err)
		if s, ok := o.(*Object[corev1.Service]); ok {
			fmt.Fprintln(&b, s.At("spec.ports[0]"), s.At("spec.ports[0].port"), s.At("metadata.labels"))
		}
	}
	f.diags.Sort()
	fmt.Fprintln(&b, f.skipped, f.diags.Err())
	return b.String()
}
