package manifest_test

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/manifest"
)

var separator = regexp.MustCompile(`(?m)^---\n`)

// TestDecodeReference decodes every document of the corpus, and again as JSON, and compares with what Kubernetes makes of
// it.
func TestDecodeReference(t *testing.T) {
	for name, data := range corpus(t) {
		seen := 0
		for i, doc := range separator.Split(string(data), -1) {
			objects, strict, err := reference([]byte(doc))
			if err != nil || len(strict) > 0 {
				t.Fatalf("%s, document %d: the reference refuses it: %v %v", name, i, err, strict)
			}
			asJSON, err := yaml.YAMLToJSON([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			for form, text := range map[string]string{
				"YAML": doc, "CRLF": strings.ReplaceAll(doc, "\n", "\r\n"), "JSON": string(asJSON), "JSON in YAML": "---\n" + string(asJSON) + "\n---\n",
			} {
				got := values(decode(t, name, text))
				if len(got) != len(objects) {
					t.Errorf("%s, document %d as %s: %d objects, want %d", name, i, form, len(got), len(objects))
				}
				for _, want := range objects {
					if d := diff(want, got[refOf(want)]); d != "" {
						t.Errorf("%s, document %d as %s (-want +got):\n%s", name, i, form, d)
					}
					seen++
				}
			}
		}
		if seen == 0 {
			t.Errorf("%s: nothing was compared", name)
		}
		// All at once is the same as one by one.
		decode(t, name, string(data))
	}
}

// TestDecodeForms gives the same two objects in every form of input.
func TestDecodeForms(t *testing.T) {
	const (
		web   = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}}`
		api   = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"api","namespace":"demo"}}`
		block = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80\n"
		next  = "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: demo}\n"
	)
	indented := func(text string) string {
		return strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
	}
	for name, text := range map[string]string{
		"two documents":           block + "---\n" + next,
		"markers everywhere":      "---\n" + block + "...\n---\n---\n# nothing\n---\n" + next + "...\n",
		"comments and spaces":     "\n# first\n\n" + block + "--- # second\n\n" + next + "\n# end\n---\n# only a comment\n",
		"directives":              "%YAML 1.1\n---\n" + block + "...\n%TAG ! tag:example.com,2000:\n---\n" + next,
		"content after marker":    "--- " + web + "\n--- " + api + "\n",
		"CRLF":                    strings.ReplaceAll(block+"---\n"+next, "\n", "\r\n"),
		"CR":                      strings.ReplaceAll(block+"---\n"+next, "\n", "\r"),
		"byte order marks":        "\uFEFF" + block + "\uFEFF---\n" + next,
		"UTF-16LE":                utf16Bytes(block+"---\n"+next, binary.LittleEndian),
		"UTF-16BE":                utf16Bytes(block+"---\n"+next, binary.BigEndian),
		"JSON, concatenated":      web + api,
		"JSON, a line each":       web + "\n" + api + "\n",
		"JSON then YAML":          web + "\n---\n" + next,
		"YAML then JSON":          block + "---\n" + api,
		"List":                    "apiVersion: v1\nkind: List\nitems:\n- " + indented(block) + "- " + indented(next),
		"List, indented":          "apiVersion: v1\nkind: List\nitems:\n  - " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n  - " + api + "\n",
		"List, kubectl's way":     "apiVersion: v1\nitems:\n- " + indented(block) + "-\n  " + indented(next) + "kind: List\nmetadata:\n  resourceVersion: \"\"\n",
		"List in JSON":            `{"kind":"List","apiVersion":"v1","items":[` + web + ",\n" + api + `],"metadata":{}}`,
		"List in a List":          `{"kind":"List","apiVersion":"v1","items":[{"kind":"List","apiVersion":"v1","items":[` + web + `]},` + api + `]}`,
		"List in a List, YAML":    "kind: List\napiVersion: v1\nitems:\n- kind: List\n  apiVersion: v1\n  items:\n  - " + web + "\n- " + api + "\n",
		"typed List":              `{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}},{"metadata":{"name":"api","namespace":"demo"}}]}`,
		"typed List, YAML":        "kind: ServiceList\napiVersion: v1\nitems:\n- metadata: {name: web}\n  spec:\n    ports: [{port: 80}]\n- metadata:\n    name: api\n    namespace: demo\n",
		"List cut wrong":          "apiVersion: v1\nkind: List\nitems:\n- " + web[:len(web)-1] + ",\"status\": {\"x\": \"\n- y\"}}\n- " + api + "\n",
		"aliases across items":    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: &k Service\n  metadata: {name: web}\n  spec: {ports: [&p {port: 80}]}\n- apiVersion: v1\n  kind: *k\n  metadata: {name: api, namespace: demo}\n",
		"merge key":               strings.Replace(block, "- port: 80", "- {<<: [{port: 80}, {port: 81}], name: a}\n  - {<<: {port: 1, name: b}, port: 2}", 1) + "---\n" + next,
		"the status is not yours": block + "status: {loadBalancer: {}, mood: [good]}\n---\n" + strings.Replace(next, "name: api", "name: api, mood: good, managedFields: [{x: 1}]", 1),
	} {
		b := decode(t, "x.yaml", text)
		var got []string
		for _, s := range b.Services {
			got = append(got, s.Ref.String())
		}
		if want := []string{"service default/web", "service demo/api"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
			continue
		}
		v := b.Services[0].Value
		if v.Kind != "Service" || v.APIVersion != "v1" || v.Namespace != "default" || v.Spec.Ports[0].Port != 80 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// utf16Bytes encodes a text as UTF-16 with a byte order mark.
func utf16Bytes(text string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\uFEFF" + text)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// TestDecodeParallel decodes with one processor and many, and the sources in another order: it changes nothing.
func TestDecodeParallel(t *testing.T) {
	var sources []manifest.Source
	for name, data := range corpus(t) {
		sources = append(sources, manifest.Source{Name: name, Data: data})
	}
	sources = append(sources,
		manifest.Source{Name: "generated.yaml", Data: generated(200)},
		manifest.Source{Name: "bad.yaml", Data: []byte("kind: Service\n---\n{\n---\napiVersion: v1\nkind: Pod\nspec: 1\n")})
	summary := func() string {
		b, diags := manifest.Decode(sources, manifest.Options{})
		var s strings.Builder
		for _, o := range b.Services {
			fmt.Fprintln(&s, o.Ref, o.Pos)
		}
		for _, o := range b.EndpointSlices {
			fmt.Fprintln(&s, o.Ref, o.Pos, o.At("endpoints[1]"))
		}
		fmt.Fprintln(&s, len(b.Pods), len(b.Nodes), len(b.Endpoints), b.Skipped, diags.Err())
		return s.String()
	}
	slices.SortFunc(sources, func(a, b manifest.Source) int { return strings.Compare(a.Name, b.Name) })
	want := summary()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if got := summary(); got != want {
		t.Errorf("with one processor:\n%s\nwith several:\n%s", got, want)
	}
	runtime.GOMAXPROCS(8)
	slices.Reverse(sources)
	if got := summary(); got != want {
		t.Errorf("sources in reverse:\n%s\nin order:\n%s", got, want)
	}
}

// Of an object given twice the first by place is kept, whichever source came first, and however many there are.
func TestDecodeTwice(t *testing.T) {
	var sources []manifest.Source
	for i := range 40 {
		sources = append(sources, manifest.Source{
			Name: fmt.Sprintf("%02d.yaml", 39-i), Data: []byte("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"),
		})
	}
	b, diags := manifest.Decode(sources, manifest.Options{})
	if len(b.Services) != 1 || b.Services[0].Pos.File != "00.yaml" {
		t.Errorf("kept %d, the first from %v", len(b.Services), b.Services[0].Pos)
	}
	if len(diags) != 39 || diags[0].Pos.File != "01.yaml" || !strings.Contains(diags[0].Message, "first given at 00.yaml:1") {
		t.Errorf("%d findings, the first %v", len(diags), diags[0])
	}
}
