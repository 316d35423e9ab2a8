package manifest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/diag"
)

// manifests writes objects: "service/a", "slice/a-1=a", "endpoints/a", "pod/p", "node/m".
func manifests(objects ...string) string {
	var b strings.Builder
	for _, o := range objects {
		kind, name, _ := strings.Cut(o, "/")
		name, service, _ := strings.Cut(name, "=")
		labels := ""
		switch kind {
		case "slice":
			kind, labels = "EndpointSlice", ", labels: {kubernetes.io/service-name: "+service+"}"
		default:
			kind = strings.ToUpper(kind[:1]) + kind[1:]
		}
		version := "v1"
		if kind == "EndpointSlice" {
			version = "discovery.k8s.io/v1"
		}
		fmt.Fprintf(&b, "---\napiVersion: %s\nkind: %s\nmetadata: {name: %s%s}\n", version, kind, name, labels)
	}
	return b.String()
}

func TestMerge(t *testing.T) {
	older := decode(t, "old.yaml", manifests("service/a", "slice/a-1=a", "slice/a-2=a", "endpoints/a", "service/b", "slice/b-1=b", "endpoints/b", "pod/p", "pod/q", "node/m"))
	newer := decode(t, "new.yaml", manifests("service/a", "slice/a-3=a", "slice/b-1=b", "slice/b-2=b", "service/c", "pod/q"))
	before := describe(values(older))
	m := older.Merge(newer)
	var got []string
	for _, o := range m.Services {
		got = append(got, o.Ref.String()+" "+o.Pos.File)
	}
	for _, o := range m.EndpointSlices {
		got = append(got, o.Ref.String()+" "+o.Pos.File)
	}
	for _, o := range m.Endpoints {
		got = append(got, o.Ref.String()+" "+o.Pos.File)
	}
	for _, o := range m.Pods {
		got = append(got, o.Ref.String()+" "+o.Pos.File)
	}
	want := []string{
		"service default/a new.yaml", "service default/b old.yaml", "service default/c new.yaml",
		"endpointslice default/a-3 new.yaml", "endpointslice default/b-1 new.yaml", "endpointslice default/b-2 new.yaml",
		"endpoints default/b old.yaml", "pod default/p old.yaml", "pod default/q new.yaml",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(m.Nodes) != 1 {
		t.Error("the node is gone")
	}
	if after := describe(values(older)); !slices.Equal(before, after) {
		t.Errorf("Merge changed its receiver: %q", after)
	}
}

func TestWithout(t *testing.T) {
	b := decode(t, "x.yaml", manifests("service/a", "slice/a-1=a", "endpoints/a", "service/b", "slice/b-1=b", "endpoints/b", "pod/a", "node/a"))
	got := describe(values(b.Without([]diag.Object{
		{Kind: "service", Namespace: "default", Name: "a"}, {Kind: "service", Namespace: "other", Name: "b"}, {Kind: "pod", Namespace: "default", Name: "a"},
	})))
	want := []string{"endpoints default/b", "endpointslice default/b-1", "node a", "pod default/a", "service default/b"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(values(b)) != 8 {
		t.Error("Without changed its receiver")
	}
}

func describe(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
