package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// TestDecodeErrors has the text the user sees for each fault.
func TestDecodeErrors(t *testing.T) {
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: demo}\n" // three lines
	for _, c := range []struct {
		name, text string
		want       []string // without "x.yaml:"
	}{
		{"unknown field", service + "spec:\n  prots: []\n", []string{
			`5:3: service demo/web: spec.prots: unknown field "prots" (did you mean "ports"?)`,
		}},
		{"unknown field in a list", service + "spec:\n  ports:\n  - port: 80\n  - prot: 81\n    foo: 1\n", []string{
			`7:5: service demo/web: spec.ports[1].prot: unknown field "prot" (did you mean "port"?)`,
			`8:5: service demo/web: spec.ports[1].foo: unknown field "foo"`,
		}},
		{"unknown field after the metadata", service + "Spec: {}\nstauts: {}\n", []string{
			`4:1: service demo/web: Spec: unknown field "Spec" (did you mean "spec"?)`,
			`5:1: service demo/web: stauts: unknown field "stauts" (did you mean "status"?)`,
		}},
		{"key that is no string", service + "spec: {on: x, selector: {[a]: b, ~: c}}\n", []string{
			`4:8: service demo/web: spec.true: unknown field "true" (YAML 1.1 reads on as true: quote it)`,
			`4:26: service demo/web: spec.selector: expected a string as key, found a list`,
			`4:34: service demo/web: spec.selector: expected a string as key, found nothing`,
		}},
		{"key twice", service + "spec:\n  type: ClusterIP\n  selector: {a: b, a: c}\n  type: NodePort\n", []string{
			`6:20: service demo/web: spec.selector[a]: key "a" is given twice, first on line 6`,
			`7:3: service demo/web: spec.type: key "type" is given twice, first on line 5`,
		}},
		{"booleans and numbers where strings belong", service + "spec:\n  type: n\n  selector:\n    app: 010\n  ports:\n  - name: yes\n    port: 80\n", []string{
			`5:9: service demo/web: spec.type: expected a string, found the boolean n (quote it: "n")`,
			`7:10: service demo/web: spec.selector[app]: expected a string, found the number 8 (quote it: "8")`,
			`9:11: service demo/web: spec.ports[0].name: expected a string, found the boolean yes (quote it: "yes")`,
		}},
		{"strings where others belong", service + "spec:\n  ports:\n  - port: \"80\"\n    nodePort: 99999999999\n    targetPort: true\n  publishNotReadyAddresses: 'true'\n", []string{
			`6:11: service demo/web: spec.ports[0].port: expected an integer, found a string (remove the quotes)`,
			`7:15: service demo/web: spec.ports[0].nodePort: expected an integer of 32 bits, found the number 99999999999`,
			`8:17: service demo/web: spec.ports[0].targetPort: expected an integer or a string, found the boolean true (quote it: "true")`,
			`9:29: service demo/web: spec.publishNotReadyAddresses: expected a boolean, found a string (remove the quotes)`,
		}},
		{"wrong collections", service + "spec:\n  ports: {port: 80}\n  selector: [a]\nstatus: x\n", []string{
			`5:10: service demo/web: spec.ports: expected a list, found a mapping`,
			`6:13: service demo/web: spec.selector: expected a mapping, found a list`,
			`7:9: service demo/web: status: expected a mapping, found a string`,
		}},
		{"types that decode themselves", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: tomorrow}\nspec:\n  containers:\n  - name: a\n    resources: {limits: {cpu: lots}}\n", []string{
			`3:40: pod default/a: metadata.creationTimestamp: Invalid value: parsing time "tomorrow" as "2006-01-02T15:04:05Z07:00": cannot parse "tomorrow" as "2006"`,
			`7:31: pod default/a: spec.containers[0].resources.limits[cpu]: Invalid value: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
		}},
		{"names", "apiVersion: v1\nkind: Service\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  generateName: web-\n", []string{
			`1:1: service default/: metadata.name: Required value: name or generateName is required`,
			`7:3: pod default/web-: metadata.name: Required value: name or generateName is required (only an API server makes a name of generateName)`,
		}},
		{"no kind", "metadata: {name: a}\n---\nkind: Service\n---\napiVersion: v1\n---\nkind: 1\napiVersion: v1\n", []string{
			`1:1: apiVersion: Required value: every object says its apiVersion and kind`,
			`1:1: kind: Required value: every object says its apiVersion and kind`,
			`3:1: apiVersion: Required value: every object says its apiVersion and kind`,
			`5:1: kind: Required value: every object says its apiVersion and kind`,
			`7:7: kind: expected a string, found the number 1 (quote it: "1")`,
		}},
		{"wrong version", "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: a}\n---\nkind: Service\napiVersion: apps/v1\n---\nkind: ServiceList\napiVersion: v2\n", []string{
			`1:13: endpointslice default/a: apiVersion: Unsupported value: "discovery.k8s.io/v1beta1": EndpointSlice is read as discovery.k8s.io/v1 only (write apiVersion: discovery.k8s.io/v1)`,
			`6:13: service default/: apiVersion: Unsupported value: "apps/v1": Service is read as v1 only (write apiVersion: v1)`,
			`9:13: apiVersion: Unsupported value: "v2": ServiceList is read as v1 only (write apiVersion: v1)`,
		}},
		{"no objects", "hello\n---\n- a\n- b\n---\n42\n--- [1]\n", []string{
			`1:1: expected an object, found a string (a manifest is a mapping with apiVersion, kind and metadata)`,
			`3:1: expected an object, found a list (a manifest is a mapping with apiVersion, kind and metadata)`,
			`6:1: expected an object, found the number 42 (a manifest is a mapping with apiVersion, kind and metadata)`,
			`7:5: expected an object, found a list (a manifest is a mapping with apiVersion, kind and metadata)`,
		}},
		{"twice", service + "---\n" + service, []string{
			`5:1: service demo/web: metadata.name: Duplicate value: "web": first given at x.yaml:1:1`,
		}},
		{"bad items", "apiVersion: v1\nkind: List\nmetadata: {}\nextra: 1\nitems:\n- 1\n-\n- kind: Service\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n  spec: {port: 80}\n", []string{
			`4:1: extra: unknown field "extra"`,
			`6:3: expected an object, found the number 1 (a manifest is a mapping with apiVersion, kind and metadata)`,
			`7:2: expected an object, found nothing (a manifest is a mapping with apiVersion, kind and metadata)`,
			`8:3: apiVersion: Required value: every object says its apiVersion and kind`,
			`12:10: service default/a: spec.port: unknown field "port" (did you mean "ports"?)`,
		}},
		{"items that are none", "apiVersion: v1\nkind: List\nitems: {}\n---\napiVersion: v1\nkind: List\nitems: null\n", []string{
			`3:8: items: expected a list, found a mapping`,
		}},
		{"syntax", "a: [\n---\na: \"b\n---\n" + service + "spec:\n  ports:\n- port: 80\n---\na: b\x07\n---\n{\"a\": \"1\" \"b\"}\n---\na: *b\n---\na: é\xff\n---\na:\n\tb: c\n", []string{
			`1: not YAML: did not find expected node content`,
			`3: not YAML: found unexpected end of stream`,
			`10: not YAML: did not find expected key`,
			`12:5: a control character, U+0007`,
			`14: not YAML: did not find expected ',' or '}'`,
			`16: not YAML: unknown anchor 'b' referenced`,
			`18:5: not UTF-8`,
			`21: not YAML: found character that cannot start any token: YAML takes no tabs as indentation`,
		}},
	} {
		b, diags := manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: []byte(c.text)}}, manifest.Options{})
		if c.name == "twice" && len(b.Services) != 1 {
			t.Errorf("%s: kept %d times", c.name, len(b.Services))
		}
		var got []string
		for _, d := range diags {
			got = append(got, strings.TrimPrefix(d.String(), "x.yaml:"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

// TestDecodeSkipped counts what is not read, and refuses it if told so. Somebody else's kind Service is not ours.
func TestDecodeSkipped(t *testing.T) {
	text := []byte("apiVersion: apps/v1\nkind: Deployment\nspec: {whatever: [1]}\n---\napiVersion: v1\nkind: ConfigMap\ndata: {a: " +
		strings.Repeat("x", 600_000) + "}\n---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n---\n" +
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n")
	b, diags := manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: text}}, manifest.Options{})
	if len(diags) > 0 {
		t.Errorf("skipped kinds are no errors: %v", diags)
	}
	if len(b.Skipped) != 3 || b.Skipped["apps/v1/Deployment"] != 1 || b.Skipped["v1/ConfigMap"] != 2 || b.Skipped["serving.knative.dev/v1/Service"] != 1 {
		t.Errorf("skipped: %v", b.Skipped)
	}
	_, diags = manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: text}}, manifest.Options{Strict: true})
	if len(diags) != 4 || diags[0].Code != "UnknownKind" || diags[0].Pos.String() != "x.yaml:1:1" || diags[3].Pos.String() != "x.yaml:16:3" {
		t.Errorf("strictly: %v", diags)
	}
}
