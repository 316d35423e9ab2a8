package doctest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/render"
)

// TestNotReadIsNotRead compiles the golden cases once as they are and once without the fields that the page says are not
// read: the same must come out.
func TestNotReadIsNotRead(t *testing.T) {
	unread := unreadFields(t)
	entries, err := os.ReadDir(cases)
	if err != nil {
		t.Fatal(err)
	}
	removed := map[string]bool{}
	for _, e := range entries {
		files, _ := filepath.Glob(filepath.Join(cases, e.Name(), "*.yaml"))
		b := decodeFiles(t, files)
		if b == nil {
			continue
		}
		var without []manifest.Source
		for _, s := range typed(b) {
			var object map[string]any
			remarshal(t, s, &object)
			kind, _ := object["kind"].(string)
			for _, path := range unread[kind] {
				if remove(object, strings.Split(path, ".")) {
					removed[kind+" "+path] = true
				}
			}
			for _, path := range unread["Metadata"] {
				if remove(object["metadata"].(map[string]any), []string{path}) {
					removed["Metadata "+path] = true
				}
			}
			data, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			without = append(without, manifest.Source{Name: e.Name(), Data: data})
		}
		again, found := manifest.Decode(without, manifest.Options{})
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		if was, is := ruleset(t, b), ruleset(t, again); !bytes.Equal(was, is) {
			t.Errorf("%s: without the fields that are not read the ruleset is another", e.Name())
		}
	}
	if len(removed) < 30 {
		t.Errorf("only these fields were there to be removed: %v", removed)
	}
}

// unreadFields gives the fields that are not read, by kind.
func unreadFields(t *testing.T) map[string][]string {
	t.Helper()
	text, rows := readPage(t)
	lines := strings.Split(text, "\n")
	unread := map[string][]string{}
	for kind, list := range rows {
		for _, r := range list {
			if strings.Contains(lines[r.line-1], "| Not read: ") {
				unread[kind] = append(unread[kind], r.fields...)
			}
		}
	}
	return unread
}

func decodeFiles(t *testing.T, files []string) *manifest.Bundle {
	t.Helper()
	var sources []manifest.Source
	for _, f := range files {
		if base := filepath.Base(f); base == "config.yaml" || base == "flows.yaml" {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, manifest.Source{Name: f, Data: data})
	}
	b, found := manifest.Decode(sources, manifest.Options{})
	if found.HasErrors() {
		return nil
	}
	return b
}

// typed gives the objects of a bundle.
func typed(b *manifest.Bundle) []any {
	var objects []any
	for _, o := range b.Services {
		objects = append(objects, &o.Value)
	}
	for _, o := range b.EndpointSlices {
		objects = append(objects, &o.Value)
	}
	for _, o := range b.Endpoints {
		objects = append(objects, &o.Value)
	}
	for _, o := range b.Pods {
		objects = append(objects, &o.Value)
	}
	for _, o := range b.Nodes {
		objects = append(objects, &o.Value)
	}
	return objects
}

func remarshal(t *testing.T, from, to any) {
	t.Helper()
	data, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}

// remove removes the field at a path, in every item of the lists on the way, and reports whether it was there.
func remove(object map[string]any, path []string) bool {
	name := strings.TrimSuffix(path[0], "[]")
	value, ok := object[name]
	if !ok {
		return false
	}
	if len(path) == 1 {
		delete(object, name)
		return !reflect.ValueOf(&value).Elem().IsZero()
	}
	removed := false
	switch inside := value.(type) {
	case map[string]any:
		removed = remove(inside, path[1:])
	case []any:
		for _, item := range inside {
			if m, ok := item.(map[string]any); ok {
				removed = remove(m, path[1:]) || removed
			}
		}
	}
	return removed
}

// ruleset gives the text of what a bundle compiles to on a node that has endpoints, nil where it is refused.
func ruleset(t *testing.T, b *manifest.Bundle) []byte {
	t.Helper()
	m, found := resolve.Resolve(b, resolve.Config{NodeName: "node-1"})
	if found.HasErrors() {
		return nil
	}
	rs, err := compiler.Compile(m, compiler.Config{Table: "svcctl"})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := render.NFT(&text, rs); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}
