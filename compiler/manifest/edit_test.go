package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

var web = diag.Object{Kind: "service", Namespace: "default", Name: "web"}

// A line of these texts that begins with + is what the edits write, and where; of a line with a ± the part between « and »
// is. Without them the text is what is edited.
var rewrites = []struct {
	name, text string
	edits      []manifest.Edit
}{
	{"after spec, before its comment", `
# Above.
apiVersion: v1 # v1
kind:   Service

metadata: {name: web}   # flow
spec:   # what it does
+  clusterIP: 10.96.0.9
  # Who serves it.
  selector: {app: 'web'}


  ports:
    # The web.
    - name: "http"   # name
      port: 80
+      nodePort: 31000

# Below.
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}, {web, "spec.ports[0].nodePort", 31000}}},
	{"after type; the second of two ports", `
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  ports:
  - port: 80
    targetPort: http
  - port: 443
    # For TLS.
    targetPort: >-
      https
    name: x
  type: NodePort # really
+  clusterIP: 10.96.0.9
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}},
	{"two families", `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
+  clusterIP: 10.96.0.9
+  clusterIPs: [10.96.0.9, "fd00::1"]
  ports: []
`, []manifest.Edit{
		{web, "spec.clusterIP", "10.96.0.9"}, {web, "spec.clusterIPs", []any{"10.96.0.9", "fd00::1"}},
	}},
	{"a second address, flow", `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: '10.96.0.9'
±  clusterIPs: [ '10.96.0.9'«, "fd00::1"» ] # both
`, []manifest.Edit{{web, "spec.clusterIPs", []any{"10.96.0.9", "fd00::1"}}}},
	{"a second address, block", `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: 10.96.0.9
  clusterIPs:
  # Both.
  - 10.96.0.9   # one
+  - "fd00::1"
  # No more.
`, []manifest.Edit{{web, "spec.clusterIPs", []any{"10.96.0.9", "fd00::1"}}}},
	{"flow", `
±{apiVersion: v1, kind: Service, metadata: {name: web}, spec: { «clusterIP: 10.96.0.9, »ports: [{«nodePort: 31000, »port: 80}] }}
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}, {web, "spec.ports[0].nodePort", 31000}}},
	{"JSON", `
{
	"kind": "Service", "apiVersion": "v1",
	"metadata": {"name": "web"},
	"spec": {
+		"clusterIP": "10.96.0.9",
		"ports": [
±			{«"nodePort": 31000, »"port": 80}
		]
	}
}
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}, {web, "spec.ports[0].nodePort", 31000}}},
	{"tight JSON", `
±{"kind":"Service","apiVersion":"v1","metadata":{"name":"web"},"spec":{«"clusterIP":"10.96.0.9",»"ports":[{"port":80}]}}
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}},
	{"several documents", `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {a: "1"}
--- # the one
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
+  clusterIP: 10.96.0.9
  ports: [{port: 80}]
...
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {ports: [{port: 80}]}
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}},
	{"items of a List, ä", `
apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata: {name: other, annotations: {ä: "ö"}}
  spec: {ports: [{port: 80}]}
-   kind: Service
    apiVersion: v1
±    metadata: {annotations: {ä: "ö"}, name: web}
    spec:
+      clusterIP: 10.96.0.9
      ports:
      - {port: 80}
kind: List
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}},
	{"a List in a List", `
{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [
  {apiVersion: v1, kind: Service, metadata: {name: other}},
±  {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {«clusterIP: 10.96.0.9, »type: ClusterIP}}]}]}
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}},
	{"a List of JSON on one line", `
±{"apiVersion":"v1","kind":"List","items":[{"kind":"Service","apiVersion":"v1","metadata":{"name":"ä"}},{"kind":"Service","apiVersion":"v1","metadata":{"name":"web"},"spec":{«"clusterIP":"10.96.0.9",»"ports":[]}}]}
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}},
	{"a status", `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ports: [{port: 80}]
  type: LoadBalancer
+status: {loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: VIP}]}}
# The end.
`, []manifest.Edit{{web, "status.loadBalancer.ingress", []any{map[string]any{"ip": "192.0.2.1", "ipMode": "VIP"}}}}},
	{"an empty status", `
apiVersion: v1
kind: Service
metadata: {name: web}
status:
±  loadBalancer: {«ingress: [{ip: 192.0.2.1}]»}
`, []manifest.Edit{{web, "status.loadBalancer.ingress", []any{map[string]any{"ip": "192.0.2.1"}}}}},
	{
		"no line feed at the end", "\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  type: ClusterIP\n+  clusterIP: 10.96.0.9",
		[]manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}},
	},
	{"an anchor", `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: &spec
+  clusterIP: 10.96.0.9
  ports: [{port: 80}]
`, []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}},
}

// halves gives what a marked text is before the edits and after them.
func halves(marked string) (before, after string) {
	var b, a strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(marked, "\n")) {
		if rest, ok := strings.CutPrefix(line, "+"); ok {
			a.WriteString(rest)
			continue
		}
		if rest, ok := strings.CutPrefix(line, "±"); ok {
			line = rest
		}
		a.WriteString(strings.NewReplacer("«", "", "»", "").Replace(line))
		for {
			from, rest, ok := strings.Cut(line, "«")
			b.WriteString(from)
			if !ok {
				break
			}
			_, line, _ = strings.Cut(rest, "»")
		}
	}
	return b.String(), a.String()
}

func TestRewrite(t *testing.T) {
	for _, x := range rewrites {
		t.Run(x.name, func(t *testing.T) {
			before, after := halves(x.text)
			if strings.HasPrefix(x.name, "no line feed") {
				before = strings.TrimSuffix(before, "\n")
			}
			for name, change := range map[string]func(string) string{
				"as it is": func(s string) string { return s },
				"CRLF":     func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
				"BOM":      func(s string) string { return "\uFEFF" + s },
			} {
				got := rewritten(t, change(before), x.edits)
				if diff := cmp.Diff(change(after), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func rewritten(t *testing.T, text string, edits []manifest.Edit) string {
	t.Helper()
	other := manifest.Source{Name: "other.yaml", Data: []byte("apiVersion: v1\nkind: Service\nmetadata: {name: nobody}\n")}
	got, found := manifest.Rewrite([]manifest.Source{other, {Name: "x.yaml", Data: []byte(text)}}, edits)
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Name != "x.yaml" {
		t.Fatalf("%d sources changed, want x.yaml", len(got))
	}
	return string(got[0].Data)
}

// What is there and says nothing gives way, in whatever way it is written.
func TestRewriteReplaces(t *testing.T) {
	for given, want := range map[string]string{
		`clusterIP: "" # x`: `clusterIP: 10.96.0.9 # x`, "clusterIP: ''": "clusterIP: 10.96.0.9", "clusterIP:": "clusterIP: 10.96.0.9",
		"clusterIP: ~": "clusterIP: 10.96.0.9", "clusterIP: null # x": "clusterIP: 10.96.0.9 # x", "clusterIP:   # x": "clusterIP: 10.96.0.9   # x",
		"clusterIP: ": "clusterIP: 10.96.0.9 ", "{}": "{clusterIP: 10.96.0.9}", "{ }": "{clusterIP: 10.96.0.9 }",
		`{clusterIP: "", type: ClusterIP}`: `{clusterIP: 10.96.0.9, type: ClusterIP}`, "{clusterIP: null}": "{clusterIP: 10.96.0.9}",
		"~": "{clusterIP: 10.96.0.9}", "": "{clusterIP: 10.96.0.9}",
	} {
		head := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:"
		if strings.HasPrefix(given, "c") {
			head += "\n  "
		} else if given != "" || want != "" {
			head += " "
		}
		if given == "" {
			head = strings.TrimSuffix(head, " ")
			want = " " + want
		}
		if got := rewritten(t, head+given+"\n", []manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}}); got != head+want+"\n" {
			t.Errorf("%s:\n%s", given, got)
		}
	}
	text := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 'a', clusterIPs: [ ], ports: [{nodePort: 0, port: 1}]}\nstatus: {loadBalancer: }\n"
	want := strings.NewReplacer("[ ]", "[a, b]", "nodePort: 0", "nodePort: 7", "loadBalancer: }", "loadBalancer: {ingress: [{ip: c}]}}").Replace(text)
	got := rewritten(t, text, []manifest.Edit{
		{web, "spec.clusterIPs", []any{"a", "b"}}, {web, "spec.ports[0].nodePort", 7}, {web, "status.loadBalancer.ingress", []any{map[string]any{"ip": "c"}}},
	})
	if got != want {
		t.Errorf("got %s", got)
	}
}

// What cannot be written by inserting text is an error, and not a changed meaning.
func TestRewriteRefuses(t *testing.T) {
	head := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	for name, text := range map[string]string{
		"shared by an alias": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: other}\n  spec: &s\n    type: ClusterIP\n" +
			"- apiVersion: v1\n  kind: Service\n  metadata: {name: web}\n  spec: *s\n",
		"merged": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: other}\n  spec: &s {clusterIP: ''}\n" +
			"- apiVersion: v1\n  kind: Service\n  metadata: {name: web}\n  spec: {<<: *s}\n",
		"no mapping, tagged":   head + "spec:\n  clusterIP: !!null ''\n",
		"an anchor on nothing": head + "spec:\n  clusterIP: &a\n",
		"UTF-16":               "\xff\xfe" + wide(head),
	} {
		b, found := manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: []byte(text)}}, manifest.Options{})
		if len(b.Services) == 0 {
			t.Fatalf("%s: %v", name, found)
		}
		got, found := manifest.Rewrite([]manifest.Source{{Name: "x.yaml", Data: []byte(text)}},
			[]manifest.Edit{{web, "spec.clusterIP", "10.96.0.9"}})
		if len(got) > 0 {
			t.Errorf("%s: rewritten to\n%s", name, got[0].Data)
		}
		want := "service default/web: spec.clusterIP: cannot be edited in place: write 10.96.0.9 here by hand"
		if name == "UTF-16" {
			want = "cannot be edited in place: it is UTF-16"
		}
		if err := found.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func wide(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(c)
		b.WriteByte(0)
	}
	return b.String()
}

// FuzzRewrite sees that an edit writes what it is to write, and that taking its text out again gives the old text: nothing
// else is touched, however the manifest is written.
func FuzzRewrite(f *testing.F) {
	addSeeds(f)
	for _, x := range rewrites {
		before, _ := halves(x.text)
		f.Add([]byte(before))
		f.Add([]byte(strings.ReplaceAll(before, "\n", "\r\n")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		source := manifest.Source{Name: "x.yaml", Data: data}
		before, _ := manifest.Decode([]manifest.Source{source}, manifest.Options{})
		var edits []manifest.Edit
		for _, o := range before.Services {
			if o.Value.Spec.ClusterIP == "" {
				edits = append(edits, manifest.Edit{Object: o.Ref, Field: "spec.clusterIP", Value: "10.96.0.9"})
			}
			if ports := o.Value.Spec.Ports; len(ports) > 0 && ports[len(ports)-1].NodePort == 0 {
				last := "spec.ports[" + string(rune('0'+(len(ports)-1)%10)) + "].nodePort"
				if len(ports) <= 10 {
					edits = append(edits, manifest.Edit{Object: o.Ref, Field: last, Value: 31000})
				}
			}
		}
		got, found := manifest.Rewrite([]manifest.Source{source}, edits)
		if len(got) == 0 {
			if len(edits) > 0 && len(found) == 0 {
				t.Fatal("neither rewritten nor refused")
			}
			return
		}
		after, _ := manifest.Decode(got, manifest.Options{})
		want := values(before)
		for i, o := range after.Services {
			p := before.Services[i]
			if o.Value.Spec.ClusterIP == "10.96.0.9" {
				o.Value.Spec.ClusterIP = p.Value.Spec.ClusterIP
			}
			if n := len(p.Value.Spec.Ports); n > 0 && n <= 10 && p.Value.Spec.Ports[n-1].NodePort == 0 {
				if o.Value.Spec.Ports[n-1].NodePort != 31000 {
					t.Errorf("%s: the node port is not there", o.Ref)
				}
				o.Value.Spec.Ports[n-1].NodePort = 0
			}
		}
		for ref, v := range values(after) {
			if d := diff(want[ref], v); d != "" {
				t.Errorf("%s (-before +after):\n%s", ref, d)
			}
		}
		if !isSubsequence(data, got[0].Data) && !strings.ContainsAny(string(data), "~0") && !strings.Contains(string(data), "ull") {
			t.Errorf("more was touched than was empty:\n%q\n%q", data, got[0].Data)
		}
	})
}

// isSubsequence reports whether all of part is in whole, in order; but for quotes, which are what emptiness is written in.
func isSubsequence(part, whole []byte) bool {
	i := 0
	for _, c := range whole {
		for i < len(part) && (part[i] == '"' || part[i] == '\'') && part[i] != c {
			i++
		}
		if i < len(part) && part[i] == c {
			i++
		}
	}
	for i < len(part) && (part[i] == '"' || part[i] == '\'') {
		i++
	}
	return i == len(part)
}
