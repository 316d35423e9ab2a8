package manifest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// hostile inputs must give an error, soon, and never a panic.
var hostile = map[string]string{
	"deep flow":         "apiVersion: v1\nkind: Service\nmetadata: " + strings.Repeat("[", 100_000),
	"deep closed flow":  "apiVersion: v1\nkind: Service\nmetadata: " + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000),
	"deep blocks":       deepBlocks(2000),
	"deep JSON":         strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
	"alias bomb":        bomb("apiVersion: v1\nkind: List\n", "items: "),
	"alias bomb, merge": mergeBomb(),
	"alias of itself":   "apiVersion: v1\nkind: List\nitems: &a [*a]\n",
	"List in itself":    "&a\napiVersion: v1\nkind: List\nitems: [*a]\n",
	"merge of itself":   "apiVersion: v1\nkind: Service\nmetadata: &a {<<: *a}\n",
	"NUL":               "apiVersion: v1\nkind: Service\nmetadata: {name: \"a\x00b\"}\n",
	"not UTF-8":         "apiVersion: v1\nkind: Service\nmetadata: {name: \"a\xff\"}\n",
	"not UTF-8, JSON":   `{"apiVersion":"v1","kind":"Service","metadata":{"name":"` + "a\xff" + `"}}`,
	"half UTF-16":       "\xff\xfea\x00b",
	"long string":       "apiVersion: v1\nkind: Service\nmetadata: {name: a" + strings.Repeat("a", 1_000_000) + "}\n",
	"long key":          "apiVersion: v1\nkind: Service\nmetadata:\n  " + strings.Repeat("a", 1_000_000) + ": b\n",
	"open quote":        "apiVersion: v1\nkind: Service\nmetadata: {name: \"" + strings.Repeat("a\n", 100_000),
	"many dashes":       "apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- ", 50_000),
	"many keys":         "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n" + strings.Repeat("  a: b\n", 20_000),
	"many anchors":      "apiVersion: v1\nkind: Service\nmetadata:\n  annotations:\n" + strings.Repeat("    a: &a\n", 20_000),
}

func deepBlocks(n int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Service\nspec:\n")
	for i := range n {
		fmt.Fprintf(&b, "%*sa:\n", i+1, "")
	}
	return b.String()
}

func bomb(head, tail string) string {
	var b strings.Builder
	b.WriteString(head + "metadata:\n  a0: &a0 {apiVersion: v1, kind: List, items: []}\n")
	for i := range 30 {
		ref := fmt.Sprintf("*a%d, ", i)
		fmt.Fprintf(&b, "  a%d: &a%d {apiVersion: v1, kind: List, items: [%s]}\n", i+1, i+1, strings.Repeat(ref, 9))
	}
	return b.String() + tail + "[*a30]\n"
}

func mergeBomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Service\nmetadata:\n  x: &a\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "    k%d: v\n", i)
	}
	b.WriteString("  annotations:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "    a%d: {<<: *a}\n", i)
	}
	return b.String()
}

func TestDecodeHostile(t *testing.T) {
	for name, text := range hostile {
		b, diags := manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: []byte(text)}}, manifest.Options{})
		if !diags.HasErrors() || len(b.Services) > 0 {
			t.Errorf("%s: accepted", name)
		}
		if deep := strings.HasPrefix(name, "deep"); deep && !strings.Contains(diags.Err().Error(), "nested deeper") && len(text) < 100_000 {
			t.Errorf("%s: %v", name, diags[0])
		}
		checkPlaces(t, text, b, diags)
	}
}

// checkPlaces sees that every place is in the text.
func checkPlaces(t *testing.T, text string, b *manifest.Bundle, diags diag.List) {
	t.Helper()
	lines := int32(1 + strings.Count(text, "\n") + strings.Count(text, "\r"))
	check := func(what any, p diag.Pos) {
		if p.File != "x.yaml" || p.Line < 1 || p.Line > lines || p.Column < 0 {
			t.Errorf("%v: no such place: %+v", what, p)
		}
	}
	for i, d := range diags {
		check(d, d.Pos)
		if d.String() == "" || d.Message == "" {
			t.Error("an error without a message")
		}
		if i > 1000 {
			break
		}
	}
	for _, o := range b.Services {
		check(o.Ref, o.Pos)
		check(o.Ref, o.At("spec.ports[0].port"))
		check(o.Ref, o.At("metadata.labels[app]"))
	}
	for _, o := range b.EndpointSlices {
		for i := range o.Value.Endpoints {
			check(o.Ref, o.At(fmt.Sprintf("endpoints[%d]", i)))
		}
	}
}

func addSeeds(f *testing.F) {
	f.Helper()
	for _, data := range corpus(f) {
		for _, doc := range separator.Split(string(data), -1) {
			f.Add([]byte(doc))
		}
	}
	for _, text := range hostile {
		if len(text) < 10_000 {
			f.Add([]byte(text))
		}
	}
	for _, spec := range []string{
		"clusterIP: n", "ports: [{port: 0b-1, name: 1_0}]", "ports: [{port: 80.0}]", "ports: [{port: 1e2, targetPort: 0x1F}]", "selector: {y: \"1\", 010: x}",
		"selector: {a: 1}", "selector: {a: !!str 1, b: !!binary aGk=}", "selector: {a: ~, b: null, c: }", "ports: [{port: ~}, ~]", "type: !x y",
		"externalIPs: [1.2.3.4, 2001-01-01, 12:30, .5, '1']", "sessionAffinityConfig: {clientIP: {timeoutSeconds: 10_800}}", "allocateLoadBalancerNodePorts: off",
		"selector: {<<: {a: b}, c: d}", "selector: {a: b, a: c}", "prots: []", "ports: {}", "ports: x", "type: [x]", "selector: {? [a] : b}",
	} {
		f.Add([]byte("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  " + spec + "\n"))
	}
}

// isOneDocument reports whether a text is a single YAML document in UTF-8, which is all the reference reads.
func isOneDocument(data []byte) bool {
	return utf8.Valid(data) && !regexp.MustCompile(`(?m)^(\x{FEFF}|---|\.\.\.|%)|\r[^\n]|\r$`).Match(data)
}

// FuzzDecode sees that nothing makes Decode panic or name a place that is not there, and that it agrees with Kubernetes on
// what decodes and what to. The known differences:
//   - An object without a name, of another version, longer or deeper than any that exists is refused here only.
//   - A key given twice, and .nan and .inf, are no errors in what is dropped: unknown fields of metadata and status.
//   - What a merge key brings may be overridden, as YAML has it; sigs.k8s.io/yaml takes that for a key given twice.
//   - The tag ! makes no string of a plain scalar; !!timestamp makes one of anything.
func FuzzDecode(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, diags := manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: data}}, manifest.Options{})
		checkPlaces(t, string(data), b, diags)
		if !isOneDocument(data) || bytes.ContainsAny(data, "!") || bytes.Contains(data, []byte("<<")) {
			return
		}
		objects, strict, err := reference(data)
		if !diags.HasErrors() {
			if err != nil && len(values(b)) > 0 && !mentions(err, "unsupported value") && !mentions(err, "already set in map") {
				t.Fatalf("the reference refuses what we accept: %v", err)
			}
			compareObjects(t, objects, b)
			return
		}
		if err == nil && len(strict) == 0 && len(objects) > 0 && !refusable(diags) {
			t.Errorf("the reference accepts what we refuse: %v", diags.Err())
		}
	})
}

func mentions(err error, text string) bool { return strings.Contains(err.Error(), text) }

// refusable reports whether some error is one that the reference does not know: it checks neither name nor version, and
// has no limits.
func refusable(diags diag.List) bool {
	return slices.ContainsFunc(diags, func(d diag.Diagnostic) bool {
		switch d.Code {
		case diag.Required, diag.Unsupported, diag.Limit, diag.Duplicate:
			return true
		}
		return strings.Contains(d.Message, "nested deeper") || strings.Contains(d.Message, "expected an object") ||
			strings.Contains(d.Message, "excessive aliasing") || strings.Contains(d.Message, "as key")
	})
}

func compareObjects(t *testing.T, objects []object, b *manifest.Bundle) {
	t.Helper()
	got := values(b)
	for _, want := range objects {
		if d := diff(want, got[refOf(want)]); d != "" {
			t.Errorf("%s (-want +got):\n%s", refOf(want), d)
		}
	}
}

// FuzzSources sees that Sources gives back what was decoded, and where it was.
func FuzzSources(f *testing.F) {
	addSeeds(f)
	for _, data := range corpus(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, _ := manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: data, FirstLine: 3}}, manifest.Options{})
		again, diags := manifest.Decode(b.Sources(), manifest.Options{})
		if len(diags) > 0 {
			t.Fatalf("Sources give %v", diags.Err())
		}
		want, got := values(b), values(again)
		for ref, v := range want {
			if d := diff(v, got[ref]); d != "" && !reflect.DeepEqual(asJSON(t, v), asJSON(t, got[ref])) {
				t.Errorf("%s (-want +got):\n%s", ref, d)
			}
		}
		for i, o := range b.Services {
			if p := again.Services[i]; p.Pos != o.Pos {
				t.Errorf("%s: at %v, was at %v", o.Ref, p.Pos, o.Pos)
			}
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
