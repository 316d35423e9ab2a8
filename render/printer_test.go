package render

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func printed(t *testing.T, format string, list bool, objects ...Object) string {
	t.Helper()
	p, err := NewPrinter(format, PrinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return written(t, func(w io.Writer) error { return p.Print(w, objects, list) })
}

func TestPrinter(t *testing.T) {
	svc := &tutorial().Object.Value
	svc.Annotations = map[string]string{"note": "a < b & c"}
	svc.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	eps := slice("web-ipv4", "http", 80, "10.1.0.29").EndpointSlice
	all := []Object{svc, eps}
	for _, c := range []struct {
		format string
		list   bool
		want   string
	}{
		{"name", true, "service/nginx-prod-svc-demo\nendpointslice.discovery.k8s.io/web-ipv4\n"},
		{"jsonpath={.items[*].metadata.name}", true, "nginx-prod-svc-demo web-ipv4"},
		{"jsonpath=.items[0].spec.selector", true, `{"app":"nginx","env":"prod"}`},
		{"jsonpath={.items[0].spec.ports[?(@.name==\"http\")].port}", true, "80"},
		{"jsonpath={range .items[*]}{.kind}{\"\\n\"}{end}", true, "Service\nEndpointSlice\n"},
		{"jsonpath={.items[0].no.such}", true, ""},
		{
			"custom-columns=NAME:.metadata.name,IP:spec.clusterIP,PORTS:{.spec.ports[*].port}", true,
			"NAME                  IP               PORTS\nnginx-prod-svc-demo   10.111.193.186   80\nweb-ipv4              <none>           <none>\n",
		},
	} {
		t.Run(c.format, func(t *testing.T) { same(t, c.want, printed(t, c.format, c.list, all...)) })
	}
}

// JSON and YAML are the object: they decode to the same Service, and both say the same.
func TestPrinterDocuments(t *testing.T) {
	svc := &tutorial().Object.Value
	svc.Annotations = map[string]string{"note": "a < b & c"}
	svc.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	text := printed(t, "json", false, svc)
	if !strings.Contains(text, `a \u003c b \u0026 c`) || !strings.Contains(text, "\n    \"apiVersion\": \"v1\",\n") {
		t.Errorf("not as kubectl writes JSON:\n%s", text)
	}
	fromYAML, err := yaml.YAMLToJSON([]byte(printed(t, "yaml", false, svc)))
	if err != nil {
		t.Fatal(err)
	}
	var a, b corev1.Service
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(fromYAML, &b); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*corev1.Service{&a, &b} {
		if s.Kind != "Service" || s.Spec.ClusterIP != "10.111.193.186" || s.Annotations["note"] != "a < b & c" {
			t.Errorf("decoded as %+v", s)
		}
		if len(s.ManagedFields) > 0 {
			t.Error("the bookkeeping of server-side apply is shown")
		}
	}
	list := printed(t, "yaml", true, svc)
	if !strings.HasPrefix(list, "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Service\n") ||
		!strings.HasSuffix(list, "kind: List\nmetadata:\n  resourceVersion: \"\"\n") {
		t.Errorf("not a List as kubectl writes it:\n%s", list)
	}
}

func TestPrinterRefuses(t *testing.T) {
	for format, want := range map[string]string{
		"toml":                `"toml", allowed formats are: custom-columns, json, jsonpath, name, yaml`,
		"json=x":              "allowed formats are",
		"jsonpath={.a[}":      "error parsing jsonpath",
		"jsonpath=":           "no template given",
		"custom-columns=NAME": "expected <header>:<json-path-expr>",
	} {
		if _, err := NewPrinter(format, PrinterOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", format, err, want)
		}
	}
}
