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
	objects func(w io.Writer, objects []Object) error // name
	// Or values as JSON has them: a single one (json, yaml, jsonpath), or one per object (custom-columns).
	value     func(w io.Writer, v any) error
	values    func(w io.Writer, v []any) error
	separator string // what PrintNext writes between
	printed   bool
}

// PrinterOptions are those of the formats that are tables.
type PrinterOptions struct {
	NoHeaders bool // --no-headers
}

// NewPrinter gives the printer for an output format: "json", "yaml", "name", "jsonpath=TEMPLATE" or
// "custom-columns=HEADER:PATH,…". The error names the formats there are, or what is wrong with the template.
func NewPrinter(format string, opts PrinterOptions) (*Printer, error) {
	name, argument, given := strings.Cut(format, "=")
	switch {
	case name == "json" && !given:
		return &Printer{value: writeJSON}, nil
	case name == "yaml" && !given:
		return &Printer{value: writeYAML, separator: "---\n"}, nil
	case name == "name" && !given:
		return &Printer{objects: printNames}, nil
	case name == "jsonpath":
		return newJSONPathPrinter(argument)
	case name == "custom-columns":
		return newColumnsPrinter(argument, opts)
	default:
		return nil, fmt.Errorf("unable to match a printer suitable for the output format %q, allowed formats are: %s",
			format, strings.Join(outputFormats, ", "))
	}
}

// Print writes objects. With list they are shown as a List, as when a kind and no name was asked for; without it there
// must be one, which is shown by itself.
func (p *Printer) Print(w io.Writer, objects []Object, list bool) error {
	p.printed = true
	switch {
	case p.objects != nil:
		return p.objects(w, objects)
	case p.values != nil:
		values, err := jsonValues(objects)
		if err != nil {
			return err
		}
		return p.values(w, values)
	default:
		doc, err := document(objects, list)
		if err != nil {
			return err
		}
		return p.value(w, doc)
	}
}

// PrintNext writes one object of a listing that is watched. With an event, what happened to it, it writes the pair of
// both that an API server sends to who watches.
func (p *Printer) PrintNext(w io.Writer, event string, o Object) error {
	if p.objects != nil {
		return p.objects(w, []Object{o})
	}
	object, err := jsonValue(o)
	if err != nil {
		return err
	}
	var v any = object
	if event != "" {
		v = map[string]any{"type": event, "object": object}
	}
	if p.values != nil {
		return p.values(w, []any{v})
	}
	if p.printed {
		if _, err := io.WriteString(w, p.separator); err != nil {
			return err
		}
	}
	p.printed = true
	return p.value(w, v)
}

// document gives the JSON value of what is to be printed: the one object, or the List.
func document(objects []Object, list bool) (any, error) {
	if !list && len(objects) == 1 {
		return jsonValue(objects[0])
	}
	items, err := jsonValues(objects)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "List", "items": items, "metadata": map[string]any{"resourceVersion": ""},
	}, nil
}

func jsonValues(objects []Object) ([]any, error) {
	values := make([]any, len(objects))
	for i, o := range objects {
		v, err := jsonValue(o)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
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

func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "    ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escaped(b.Bytes(), controls))
	return err
}

func writeYAML(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if b, err = yaml.JSONToYAML(escaped(b, refusedByYAML)); err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// refusedByYAML reports whether a character may stand in JSON as it is and not in YAML (YAML 1.1, section 5.1): the
// conversion reads the one as the other, and would refuse it.
func refusedByYAML(r rune) bool {
	return '\x7f' <= r && r <= '\u009f' || r == '\ufeff' || r == '\ufffe' || r == '\uffff'
}

// escaped escapes characters in JSON, where they stand in strings only: it says the same.
func escaped(text []byte, which func(rune) bool) []byte {
	inside := func(r rune) bool { return r >= '\x7f' && r <= '\uffff' && which(r) }
	if !bytes.ContainsFunc(text, inside) {
		return text
	}
	out := make([]byte, 0, len(text)+32)
	for _, r := range string(text) {
		if inside(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// printNames writes "service/web" a line each; kinds outside the core group carry their group.
func printNames(w io.Writer, objects []Object) error {
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
	return &Printer{value: func(w io.Writer, v any) error { return path.Execute(w, v) }}, nil
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

// newColumnsPrinter gives a printer of a table of paths. Without objects it is the headers alone, as in kubectl.
func newColumnsPrinter(spec string, opts PrinterOptions) (*Printer, error) {
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
	layout := TableOptions{NoHeaders: opts.NoHeaders, Widths: &Widths{}}
	return &Printer{values: func(w io.Writer, values []any) error {
		t := table{columns: slices.Clone(headers)}
		for _, v := range values {
			row := make([]string, len(paths))
			for i, p := range paths {
				var err error
				if row[i], err = pathText(p, v); err != nil {
					return err
				}
			}
			t.rows = append(t.rows, row)
		}
		if err := t.writeWithHeaders(w, layout); err != nil {
			return err
		}
		layout.NoHeaders = true
		return nil
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

// pathText gives what a path finds, joined by commas, or "<none>". Maps and lists are as Go writes them, "map[app:web]",
// as in kubectl.
func pathText(p *jsonpath.JSONPath, v any) (string, error) {
	results, err := p.FindResults(v)
	if err != nil {
		return "", err
	}
	var items []string
	for _, group := range results {
		for _, r := range group {
			if r.IsValid() && r.CanInterface() && r.Interface() != nil {
				items = append(items, fmt.Sprint(r.Interface()))
			}
		}
	}
	if len(items) == 0 {
		return none, nil
	}
	return strings.Join(items, ","), nil
}
