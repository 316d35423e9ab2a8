package manifest_test

import (
	"slices"
	"testing"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// Documents: Cut names the documents that Decode names, and each holds by itself what it holds among the others.
func TestDocuments(t *testing.T) {
	named := 0
	for name, data := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			sources := []manifest.Source{{Name: name, Data: data}}
			named += checkDocuments(t, sources)
		})
	}
	if named < 10 {
		t.Errorf("only %d documents were named", named)
	}
}

func checkDocuments(t *testing.T, sources []manifest.Source) int {
	t.Helper()
	plain, found := manifest.Decode(sources, manifest.Options{})
	whole, _ := manifest.Decode(sources, manifest.Options{Documents: true})
	if plain.Documents != nil {
		t.Error("documents were named, and nobody asked")
	}
	if whole.Documents == nil || found.HasErrors() {
		return 0
	}
	cut, err := manifest.Cut(sources)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]manifest.Key, len(whole.Documents))
	objects := 0
	for i, d := range whole.Documents {
		keys[i] = d.Key
		if d.Object != (diag.Object{}) {
			objects++
		}
		if i > 100 {
			continue // it takes a decoder for each
		}
		alone, found := cut.Decode([]int{i})
		if len(found) > 0 || len(alone.Documents) != 1 || alone.Documents[0] != d {
			t.Errorf("%v is %v by itself: %v", d, alone.Documents, found)
		}
	}
	if !slices.Equal(keys, cut.Keys()) {
		t.Errorf("the keys are %x, and %x where the documents are only cut", keys, cut.Keys())
	}
	if n := len(plain.Services) + len(plain.EndpointSlices) + len(plain.Endpoints) + len(plain.Pods) + len(plain.Nodes); n != objects {
		t.Errorf("%d objects, and the documents name %d", n, objects)
	}
	return objects
}

// What depends on more than one document's text, or is several objects, is not named.
func TestDocumentsOfLists(t *testing.T) {
	const service = "{apiVersion: v1, kind: Service, metadata: {name: a}}"
	for name, tc := range map[string]struct {
		text  string
		named bool
	}{
		"block list": {"apiVersion: v1\nkind: List\nitems:\n- " + service + "\n", true},
		"flow list":  {"apiVersion: v1\nkind: List\nitems: [" + service + ", {apiVersion: v1, kind: Service, metadata: {name: b}}]\n", false},
		"of one":     {"apiVersion: v1\nkind: List\nitems: [" + service + "]\n", true},
		// The items are cut within a scalar, so that they are read again from the whole.
		"mended": {"apiVersion: v1\nkind: List\nitems:\n- " + service + "\n- {apiVersion: v1, kind: Service, metadata: {name: \"\n- b\"}}\n" +
			"- {apiVersion: v1, kind: Service, metadata: {name: c}}\n", false},
		"mended, of one": {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: \"\n- b\"}}\n", false},
	} {
		bundle, found := manifest.Decode([]manifest.Source{{Name: "a.yaml", Data: []byte(tc.text)}}, manifest.Options{Documents: true})
		if len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
		if named := bundle.Documents != nil; named != tc.named {
			t.Errorf("%s: documents %v", name, bundle.Documents)
		}
	}
}
