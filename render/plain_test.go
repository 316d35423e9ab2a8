package render

import (
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
)

// hostile is text that would move the cursor, ring, erase, or turn what follows around; as UTF-8 and as a lone byte.
const hostile = "a\x1b[2J\x07\b\r\n\t\x00\x7f\u009b31m\u0085\u2028\u202ez\x9b"

// TestNothingFromTheInputControlsTheTerminal puts hostile text wherever free text is shown, and looks for anything in the
// output that a terminal would obey.
func TestNothingFromTheInputControlsTheTerminal(t *testing.T) {
	s := tutorial()
	s.Object.Value.Annotations = map[string]string{"example.com/" + hostile: hostile}
	s.Object.Value.Labels = map[string]string{"app": hostile}
	s.Spec.ExternalName = hostile
	s.Slices[0].EndpointSlice.Endpoints[0].NodeName, s.Slices[0].EndpointSlice.Endpoints[0].Zone = new(hostile), new(hostile)
	skipped := *s
	skipped.Skipped = hostile
	e := &graph.Element{Pos: diag.Pos{File: hostile, Line: 1}}
	outputs := map[string]func(io.Writer) error{
		"describe": func(w io.Writer) error { return DescribeService(w, s, tutorialPorts(s)) },
		"skipped":  func(w io.Writer) error { return DescribeService(w, &skipped, nil) },
		"columns": func(w io.Writer) error {
			p, err := NewPrinter("custom-columns=A:.metadata.annotations,L:.metadata.labels.app,"+hostile+":.kind", PrinterOptions{})
			if err != nil {
				return err
			}
			return p.Print(w, []Object{&s.Object.Value}, true)
		},
		"json": func(w io.Writer) error { return writeJSON(w, &s.Object.Value) },
		"table": func(w io.Writer) error {
			return (&table{columns: []string{"NAME"}, rows: [][]string{{hostile, hostile}}}).write(w, TableOptions{})
		},
		"origin": func(w io.Writer) error { _, err := io.WriteString(w, originWords(e)); return err },
	}
	for name, write := range outputs {
		text := written(t, write)
		for _, r := range strings.ReplaceAll(text, "\n", "") {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%s: %U in %q", name, r, text)
			}
		}
		if !utf8.ValidString(text) {
			t.Errorf("%s: not UTF-8: %q", name, text)
		}
	}
}

// TestPlainText shows what is left of the text: enough to see what it was.
func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"":                "",
		"naïve 日本 👩‍💻":    "naïve 日本 👩‍💻",
		"a\x1b[31mred":    "a^[[31mred",
		"a\r\nb\tc\\d":    `a\r\nb\tc\d`,
		"\x07\x7f\u009b":  `\a\x7f\u009b`,
		"\u202eabc\u2066": `\u202eabc\u2066`,
		"a\x9bb":          `a\x9bb`,
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestYAMLTakesEveryText: an annotation may hold any text, and YAML has a form for all of it.
func TestYAMLTakesEveryText(t *testing.T) {
	o, back := &corev1.Service{}, &corev1.Service{}
	o.Annotations = map[string]string{"a": strings.ToValidUTF8(hostile, "") + "\ufeff\uffff"}
	text := written(t, func(w io.Writer) error { return writeYAML(w, o) })
	if err := yaml.Unmarshal([]byte(text), back); err != nil {
		t.Fatal(err)
	}
	if got, want := back.Annotations["a"], o.Annotations["a"]; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
