package render

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// FuzzShown puts text into everything of a Service that may hold free text. However it is shown, it must not control the
// terminal, and in tables and descriptions not begin a line or a cell of its own; JSON and YAML must give it back.
func FuzzShown(f *testing.F) {
	f.Add(hostile, hostile)
	f.Add("a\nName: forged", "\t\t\t")
	f.Add("\u2028\u2066\ufeff\ufffe\uffff\u0085", strings.Repeat("x", 200)+"\x1b[2J")
	f.Add("é"+strings.Repeat("日", 100), "---\n# {}[]: |>&*!%@`")
	f.Fuzz(func(t *testing.T, key, value string) {
		s := tutorial()
		o := &s.Object.Value
		o.Annotations, o.Labels = map[string]string{key: value}, map[string]string{key: value}
		s.Spec.ExternalName, s.Spec.LoadBalancerIP = value, key
		e := &s.Slices[0].EndpointSlice.Endpoints[0]
		e.NodeName, e.Zone, e.Hostname = new(value), new(key), new(value)
		checkLines(t, "table", 2, written(t, func(w io.Writer) error {
			opts := TableOptions{Wide: true, ShowLabels: true, LabelColumns: []string{key}, AllNamespaces: true}
			return ServiceTable(w, []*resolve.Service{s}, opts)
		}))
		checkLines(t, "slices", 2, written(t, func(w io.Writer) error {
			return EndpointSliceTable(w, []*discoveryv1.EndpointSlice{s.Slices[0].EndpointSlice}, TableOptions{ShowLabels: true})
		}))
		p, err := NewPrinter("custom-columns=A:.metadata.annotations,L:.metadata.labels,N:.spec.externalName", PrinterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		checkLines(t, "custom-columns", 2, written(t, func(w io.Writer) error { return p.Print(w, []Object{o}, true) }))
		// An annotation of several lines is shown as such: its lines, below its key, and then one less for the key itself.
		lines := 1
		if v := strings.TrimSuffix(value, "\n"); strings.Contains(v, "\n") || len(key)+len(v)+2 > maxAnnotation {
			lines += strings.Count(v, "\n") + 1
		}
		if key == corev1.LastAppliedConfigAnnotation {
			lines = 1
		}
		plainLines := strings.Count(written(t, describeTutorial), "\n")
		external := 0
		for _, v := range []string{value, key} {
			if v != "" {
				external++
			}
		}
		checkLines(t, "describe", plainLines+lines-1+external, written(t, func(w io.Writer) error {
			return DescribeService(w, s, tutorialPorts(s))
		}))
		checkDocuments(t, o)
	})
}

func describeTutorial(w io.Writer) error {
	s := tutorial()
	return DescribeService(w, s, tutorialPorts(s))
}

// checkLines looks for what a terminal would obey, and counts the lines.
func checkLines(t *testing.T, name string, want int, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: not UTF-8: %q", name, text)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && controls(r) }) {
		t.Errorf("%s: control characters in %q", name, text)
	}
	if got := strings.Count(text, "\n"); got != want {
		t.Errorf("%s: %d lines, want %d:\n%s", name, got, want, text)
	}
}

// checkDocuments reads JSON and YAML back.
func checkDocuments(t *testing.T, o *corev1.Service) {
	t.Helper()
	for k, v := range o.Annotations {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return // no document can hold it; manifests that do are refused
		}
	}
	for name, decode := range map[string]func(text string, o any) error{
		"json": func(text string, o any) error { return json.Unmarshal([]byte(text), o) },
		"yaml": func(text string, o any) error { return yaml.Unmarshal([]byte(text), o) },
	} {
		text := printed(t, name, false, o)
		// YAML has no way to escape in plain scalars, which text with nothing but marks of direction may be.
		allowed := func(r rune) bool { return r == '\n' || name == "yaml" && unicode.Is(unicode.Bidi_Control, r) }
		if strings.ContainsFunc(text, func(r rune) bool { return !allowed(r) && controls(r) }) {
			t.Errorf("%s: control characters in %q", name, text)
		}
		var back corev1.Service
		if err := decode(text, &back); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		for k, v := range o.Annotations {
			if got, there := back.Annotations[k]; !there || got != v || len(back.Annotations) != 1 {
				t.Errorf("%s: %q came back as %q", name, o.Annotations, back.Annotations)
			}
		}
	}
}
