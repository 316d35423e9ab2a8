package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

// Object is a typed API object, such as *corev1.Service.
type Object interface {
	runtime.Object
	metav1.Object
}

// outputFormats are the formats a Printer knows, sorted as error messages list them.
var outputFormats = []string{"custom-columns", "json", "jsonpath", "name", "yaml"}

// Printer writes API objects in one of kubectl's output formats.
type Printer struct {
	print func(w io.Writer, objects []Object, list bool) error
}

// NewPrinter gives the printer for an output format: "json", "yaml", "name", "jsonpath=TEMPLATE" or
// "custom-columns=HEADER:PATH,…". The error names the formats there are, or what is wrong with the template.
func NewPrinter(format string) (*Printer, error) {
	name, argument, given := strings.Cut(format, "=")
	switch {
	case name == "json" && !given:
		return &Printer{printJSON}, nil
	case name == "yaml" && !given:
		return &Printer{printYAML}, nil
	case name == "name" && !given:
		return &Printer{printNames}, nil
	case name == "jsonpath":
		return newJSONPathPrinter(argument)
	case name == "custom-columns":
		return newColumnsPrinter(argument)
	default:
		return nil, fmt.Errorf("unable to match a printer suitable for the output format %q, allowed formats are: %s",
			format, strings.Join(outputFormats, ", "))
	}
}

// Print writes objects. With list they are shown as a List, as when a kind and no name was asked for; without it there
// must be one, which is shown by itself.
func (p *Printer) Print(w io.Writer, objects []Object, list bool) error {
	return p.print(w, objects, list)
}

// document gives the JSON value of what is to be printed: the one object, or the List.
func document(objects []Object, list bool) (any, error) {
	if !list && len(objects) == 1 {
		return jsonValue(objects[0])
	}
	items := make([]any, len(objects))
	for i, o := range objects {
		v, err := jsonValue(o)
		if err != nil {
			return nil, err
		}
		items[i] = v
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "List", "items": items, "metadata": map[string]any{"resourceVersion": ""},
	}, nil
}

// jsonValue gives an object as maps and lists, which marshal with sorted keys, without the bookkeeping of server-side
// apply that kubectl hides too.
func jsonValue(o Object) (map[string]any, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", kindOf(o).Kind, o.GetNamespace(), o.GetName(), err)
	}
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", kindOf(o).Kind, o.GetNamespace(), o.GetName(), err)
	}
	kind := kindOf(o)
	v["apiVersion"], v["kind"] = kind.GroupVersion().String(), kind.Kind
	if m, ok := v["metadata"].(map[string]any); ok {
		delete(m, "managedFields")
	}
	return v, nil
}

func printJSON(w io.Writer, objects []Object, list bool) error {
	doc, err := document(objects, list)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "    ")
	return enc.Encode(doc)
}

func printYAML(w io.Writer, objects []Object, list bool) error {
	doc, err := document(objects, list)
	if err != nil {
		return err
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if b, err = yaml.JSONToYAML(escapedForYAML(b)); err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// escapedForYAML escapes the characters that may stand in JSON as they are and not in YAML (YAML 1.1, section 5.1): the
// conversion reads the one as the other, and would refuse them. In JSON they stand in strings only.
func escapedForYAML(text []byte) []byte {
	refused := func(r rune) bool {
		return '\x7f' <= r && r <= '\u009f' || r == '\ufeff' || r == '\ufffe' || r == '\uffff'
	}
	if !bytes.ContainsFunc(text, refused) {
		return text
	}
	out := make([]byte, 0, len(text)+32)
	for _, r := range string(text) {
		if refused(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// printNames writes "service/web" a line each; kinds outside the core group carry their group.
func printNames(w io.Writer, objects []Object, _ bool) error {
	out := newWriter(w)
	for _, o := range objects {
		out.str(resourceName(o), "\n")
	}
	return out.close()
}

func resourceName(o Object) string {
	kind := kindOf(o)
	name := strings.ToLower(kind.Kind)
	if kind.Group != "" {
		name += "." + kind.Group
	}
	return name + "/" + o.GetName()
}

// newJSONPathPrinter gives a printer of a JSONPath template. There is no line feed after the result.
func newJSONPathPrinter(template string) (*Printer, error) {
	if template == "" {
		return nil, fmt.Errorf("template format specified but no template given")
	}
	path, err := parsePath(template)
	if err != nil {
		return nil, err
	}
	return &Printer{func(w io.Writer, objects []Object, list bool) error {
		doc, err := document(objects, list)
		if err != nil {
			return err
		}
		return path.Execute(w, doc)
	}}, nil
}

func parsePath(template string) (*jsonpath.JSONPath, error) {
	path := jsonpath.New("output").AllowMissingKeys(true)
	if err := path.Parse(bracedPath(template)); err != nil {
		return nil, fmt.Errorf("error parsing jsonpath %s, %w", template, err)
	}
	return path, nil
}

// bracedPath accepts a plain path, "metadata.name" or ".metadata.name", as the template {.metadata.name}.
func bracedPath(path string) string {
	if strings.ContainsAny(path, "{}") {
		return path
	}
	return "{." + strings.TrimPrefix(path, ".") + "}"
}

// newColumnsPrinter gives a printer of a table of paths.
func newColumnsPrinter(spec string) (*Printer, error) {
	var headers []string
	var paths []*jsonpath.JSONPath
	for _, column := range splitColumns(spec) {
		header, path, ok := strings.Cut(column, ":")
		if !ok || header == "" || path == "" {
			return nil, fmt.Errorf("unexpected custom-columns spec: %s, expected <header>:<json-path-expr>", column)
		}
		p, err := parsePath(path)
		if err != nil {
			return nil, err
		}
		headers, paths = append(headers, header), append(paths, p)
	}
	return &Printer{func(w io.Writer, objects []Object, _ bool) error {
		t := table{columns: slices.Clone(headers)}
		for _, o := range objects {
			v, err := jsonValue(o)
			if err != nil {
				return err
			}
			row := make([]string, len(paths))
			for i, p := range paths {
				if row[i], err = pathText(p, v); err != nil {
					return err
				}
			}
			t.rows = append(t.rows, row)
		}
		return t.write(w, TableOptions{})
	}}, nil
}

// splitColumns splits at the commas between columns, not at those inside brackets or parentheses of a path.
func splitColumns(spec string) []string {
	var out []string
	depth, start := 0, 0
	for i, r := range spec {
		switch r {
		case '[', '(', '{':
			depth++
		case ']', ')', '}':
			depth--
		case ',':
			if depth == 0 {
				out, start = append(out, spec[start:i]), i+1
			}
		}
	}
	return append(out, spec[start:])
}

// pathText gives what a path finds, joined by commas, or "<none>".
func pathText(p *jsonpath.JSONPath, v any) (string, error) {
	results, err := p.FindResults(v)
	if err != nil {
		return "", err
	}
	var items []string
	for _, group := range results {
		for _, r := range group {
			var b bytes.Buffer
			if !r.IsValid() || (r.CanInterface() && r.Interface() == nil) {
				continue
			}
			if err := p.PrintResults(&b, append(group[:0:0], r)); err != nil {
				return "", err
			}
			items = append(items, b.String())
		}
	}
	if len(items) == 0 {
		return none, nil
	}
	return strings.Join(items, ","), nil
}
