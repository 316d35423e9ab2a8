package manifest_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// marked is a text in which «path» stands where At(path) must point.
func marked(text string) (plain string, places map[string]string) {
	places = map[string]string{}
	var b strings.Builder
	for text != "" {
		before, rest, ok := strings.Cut(text, "«")
		b.WriteString(before)
		if !ok {
			break
		}
		path, after, _ := strings.Cut(rest, "»")
		soFar := b.String()
		places[path] = fmt.Sprintf("x.yaml:%d:%d", 1+strings.Count(soFar, "\n"), len(soFar)-strings.LastIndexByte(soFar, '\n'))
		text = after
	}
	return b.String(), places
}

const markedService = `«»apiVersion: «apiVersion»v1
kind: Service
metadata:
  «metadata»name: «metadata.name»web
  labels: «metadata.labels»{app: «metadata.labels[app]»web, example.com/a.b: «metadata.labels[example.com/a.b]»"c"}
spec:
  «spec»type: «spec.type»ClusterIP
  ports:
  «spec.ports»- «spec.ports[0]»name: http
    port: «spec.ports[0].port»80
  # a comment
  -   «spec.ports[1]»{name: dns, port: «spec.ports[1].port»53}
  -
    «spec.ports[2]»port: 443
    targetPort: «spec.ports[2].targetPort»"https"
  externalIPs: «spec.externalIPs»[«spec.externalIPs[0]»192.0.2.1, «spec.externalIPs[1]»192.0.2.2]
`

const markedJSON = `  «»{"apiVersion": "v1", "kind": "Service",
  "metadata": «metadata»{ "name": «metadata.name»"web", "labels": {"é": "ü", "app": "x"} },
  "spec": {
    "ports": «spec.ports»[ «spec.ports[0]»{"port": «spec.ports[0].port»80}, «spec.ports[1]»{"port": 53},
      «spec.ports[2]»{"port": 443, "targetPort": «spec.ports[2].targetPort»"https"}]}}
`

// listed puts a document into a List.
func listed(text, indent string) string {
	text = strings.TrimSuffix(text, "\n")
	return "apiVersion: v1\nitems:\n" + indent + "- " + strings.ReplaceAll(text, "\n", "\n  "+indent) +
		"\n" + indent + "- {apiVersion: v1, kind: ConfigMap}\nkind: List\n"
}

func TestAt(t *testing.T) {
	for name, text := range map[string]string{
		"document":                 markedService,
		"with a marker":            "# first\n---\n" + markedService + "---\n",
		"after another":            "a: b\nkind: x\napiVersion: z\n---\n\n" + markedService,
		"left to the library":      strings.Replace(markedService, "ClusterIP", "!!str ClusterIP", 1),
		"item of a List":           listed(markedService, ""),
		"item, indented":           listed(markedService, "    "),
		"item, by the library":     listed(strings.Replace(markedService, "ClusterIP", "!!str ClusterIP", 1), ""),
		"item of a List in a List": listed("apiVersion: v1\nkind: List\nitems:\n- "+strings.ReplaceAll(strings.TrimSpace(markedService), "\n", "\n  "), ""),
		"List that is not cut":     strings.Replace(listed(markedService, "  "), "items:", "items: &items", 1),
		"JSON":                     markedJSON,
		"JSON after a marker":      "---\n" + markedJSON,
		"JSON after JSON":          "{\"apiVersion\":\"v1\",\n\"kind\":\"x\"}" + markedJSON,
		"item of a List in JSON":   "{\"apiVersion\":\"v1\",\"kind\":\"List\",\n\"items\":[{\"apiVersion\":\"v1\",\"kind\":\"x\"},\n" + markedJSON + "]}",
	} {
		plain, places := marked(text)
		o := decode(t, "x.yaml", plain).Services[0]
		for path, want := range places {
			if got := o.At(path).String(); got != want {
				t.Errorf("%s: %q is at %s, want %s", name, path, got, want)
			}
		}
		for _, n := range []int{0, 2, 3, 4} { // a list has fewer items where an object was made by hand
			for i, at := range o.Items("spec.ports", n) {
				if want := o.At(fmt.Sprintf("spec.ports[%d]", i)); at != want {
					t.Errorf("%s: of %d items, the one with index %d is at %s, want %s", name, n, i, at, want)
				}
			}
		}
		for path, parent := range map[string]string{
			"spec.clusterIP": "spec", "spec.ports[7]": "spec.ports", "spec.ports[0].nodePort": "spec.ports[0]", "spec.ports[1].name.x": "spec.ports[1].name",
			"status.loadBalancer": "", "metadata.labels[x/y]": "metadata.labels", "nonsense[[": "", "spec.ports[-1]": "spec.ports", "spec.ports[99999999999999999999]": "spec.ports",
		} {
			if got, want := o.At(path), o.At(parent); got != want {
				t.Errorf("%s: %q is at %v, want its parent's %v", name, path, got, want)
			}
		}
	}
}

func TestAtNestedLists(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets:\n")
	for range 50 {
		b.WriteString("- addresses:\n  - ip: 10.0.0.1\n  - ip: 10.0.0.2\n  ports:\n  - port: 1\n")
	}
	o := decode(t, "x.yaml", b.String()).Endpoints[0]
	for i := range 50 {
		for path, want := range map[string]string{
			"subsets[%d]": "x.yaml:%d:3", "subsets[%d].addresses[0]": "x.yaml:%d:5", "subsets[%d].addresses[1]": "x.yaml:%d:5", "subsets[%d].ports[0]": "x.yaml:%d:5", "subsets[%d].ports[0].port": "x.yaml:%d:11",
		} {
			line := 5 + 5*i
			line += map[string]int{"subsets[%d]": 0, "subsets[%d].addresses[0]": 1, "subsets[%d].addresses[1]": 2}[path]
			if strings.Contains(path, "ports") {
				line += 4
			}
			if got, want := o.At(fmt.Sprintf(path, i)).String(), fmt.Sprintf(want, line); got != want {
				t.Errorf("%s is at %s, want %s", fmt.Sprintf(path, i), got, want)
			}
		}
	}
}

// TestAtIsLookedUp: what resolve asks of every object must cost no parsing.
func TestAtIsLookedUp(t *testing.T) {
	b := decode(t, "x.yaml", string(generated(1)))
	if n := testing.AllocsPerRun(10, func() { b.EndpointSlices[0].Items("endpoints", 8) }); n > 1 {
		t.Errorf("the endpoints: %v allocations, want that of the answer", n)
	}
	if n := testing.AllocsPerRun(10, func() { b.Services[0].At("spec.ports[0]") }); n > 0 {
		t.Errorf("spec.ports[0]: %v allocations", n)
	}
}

// TestSources decodes what Sources gives: the same objects in the same places.
func TestSources(t *testing.T) {
	plain, places := marked(listed(markedService, "  "))
	for name, text := range map[string]string{
		"item":     plain,
		"document": "# x\n---\n# y\n" + mustMark(markedService),
		"JSON":     "{\"apiVersion\":\"v1\",\"kind\":\"List\",\n\"items\":[ " + mustMark(markedJSON) + "]}",
	} {
		b := decode(t, "x.yaml", text)
		again, diags := manifest.Decode(b.Sources(), manifest.Options{})
		if len(diags) > 0 {
			t.Fatal(diags.Err())
		}
		if got, want := values(again), values(b); !reflect.DeepEqual(got, want) || len(got) != 1 {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		for path := range places {
			if got, want := again.Services[0].At(path), b.Services[0].At(path); got != want {
				t.Errorf("%s: %q is at %v, was at %v", name, path, got, want)
			}
		}
	}
	// The items of typed lists do not say what they are; their Sources do.
	typed := decode(t, "x.yaml", "apiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: a}\n")
	if got := values(decode(t, "x.yaml", string(typed.Sources()[0].Data))); !reflect.DeepEqual(got, values(typed)) {
		t.Errorf("typed List: got %v", got)
	}
	// The whole corpus, and what there is no text for: places are those of the objects at least.
	for name, data := range corpus(t) {
		b, _ := manifest.Decode([]manifest.Source{{Name: name, Data: data, FirstLine: 100}}, manifest.Options{})
		again, diags := manifest.Decode(b.Sources(), manifest.Options{})
		if len(diags) > 0 {
			t.Fatal(diags.Err())
		}
		got := values(again)
		for ref, want := range values(b) {
			if d := diff(want, got[ref]); d != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, ref, d)
			}
		}
		for i, o := range b.Pods {
			if p := again.Pods[i]; p.Pos != o.Pos || o.Pos.Line < 100 {
				t.Errorf("%s: %s at %v, was at %v", name, o.Ref, p.Pos, o.Pos)
			}
		}
	}
}

func mustMark(text string) string {
	plain, _ := marked(text)
	return plain
}
