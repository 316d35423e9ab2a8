package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// docs/semantics.md says what svcctl makes of every field. The tests below keep it honest: what it says of a field it says
// of one that there is, it leaves none out, and what it names as proof is there and is about that field.

const (
	root      = "../.."
	semantics = root + "/docs/semantics.md"
	cases     = root + "/golden/cases"
)

// sections are the parts of the page with a table of fields: the type, and the structs whose fields need a row each. All
// other fields are told as a whole.
var sections = map[string]struct {
	object   any
	expanded []string
}{
	"Metadata": {metav1.ObjectMeta{}, []string{""}},
	"Service": {corev1.Service{}, []string{
		"spec", "spec.ports[]", "spec.sessionAffinityConfig", "spec.sessionAffinityConfig.clientIP", "status",
		"status.loadBalancer", "status.loadBalancer.ingress[]", "status.loadBalancer.ingress[].ports[]",
	}},
	"EndpointSlice": {discoveryv1.EndpointSlice{}, []string{
		"", "ports[]", "endpoints[]", "endpoints[].conditions", "endpoints[].hints", "endpoints[].hints.forZones[]",
		"endpoints[].hints.forNodes[]",
	}},
	"Endpoints": {corev1.Endpoints{}, []string{"", "subsets[]", "subsets[].addresses[]", "subsets[].ports[]"}},
	"Pod": {corev1.Pod{}, []string{
		"spec", "spec.containers[]", "spec.containers[].ports[]", "status", "status.conditions[]", "status.podIPs[]",
	}},
	"Node": {corev1.Node{}, []string{"spec", "status"}},
}

// row is a row of a table.
type row struct {
	line   int
	fields []string // what the first cell has in backquotes
	proofs []string // golden cases as "case/NAME", tests as "package.TestName"
}

var (
	code    = regexp.MustCompile("`([^`]+)`")
	caseRef = regexp.MustCompile(`\]\(\.\./golden/cases/([^)]+)\)`)
	testRef = regexp.MustCompile("`([a-z]+\\.Test[A-Za-z]+)`")
)

func readPage(t *testing.T) (text string, rows map[string][]row) {
	t.Helper()
	data, err := os.ReadFile(semantics)
	if err != nil {
		t.Fatal(err)
	}
	rows = map[string][]row{}
	section := ""
	for i, line := range strings.Split(string(data), "\n") {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = name
		}
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		r := row{line: i + 1, proofs: proofsIn(cells[len(cells)-2])}
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			r.fields = append(r.fields, m[1])
		}
		rows[section] = append(rows[section], r)
	}
	return string(data), rows
}

func proofsIn(text string) []string {
	var proofs []string
	for _, m := range caseRef.FindAllStringSubmatch(text, -1) {
		proofs = append(proofs, "case/"+m[1])
	}
	for _, m := range testRef.FindAllStringSubmatch(text, -1) {
		proofs = append(proofs, m[1])
	}
	return proofs
}

func TestEveryFieldHasARow(t *testing.T) {
	_, rows := readPage(t)
	for name, s := range sections {
		told := map[string]int{}
		for _, r := range rows[name] {
			for _, f := range r.fields {
				if told[f]++; told[f] > 1 {
					t.Errorf("%s:%d: %s %s has a row already", semantics, r.line, name, f)
				}
				if !exists(reflect.TypeOf(s.object), f) {
					t.Errorf("%s:%d: a %s has no field %s", semantics, r.line, name, f)
				}
			}
		}
		for _, f := range fieldsOf(reflect.TypeOf(s.object), "", s.expanded) {
			if told[f] == 0 {
				t.Errorf("%s: a %s has the field %s, and there is no row for it", semantics, name, f)
			}
		}
	}
}

// fieldsOf gives the paths of the fields of the expanded structs that are not expanded themselves.
func fieldsOf(typ reflect.Type, path string, expanded []string) []string {
	var out []string
	for i := range typ.NumField() {
		name, child, ok := jsonField(typ.Field(i))
		if !ok || path == "" && name == "metadata" {
			continue // metadata has a section of its own
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		inside := slices.ContainsFunc(expanded, func(x string) bool { return x == at || strings.HasPrefix(x, at+".") })
		switch {
		case inside:
			out = append(out, fieldsOf(child, at, expanded)...)
		case slices.Contains(expanded, path):
			out = append(out, strings.TrimSuffix(at, "[]"))
		}
	}
	return out
}

// jsonField gives the name of a field as manifests have it, with "[]" where it is a list of structs, and the type of what
// is in it.
func jsonField(f reflect.StructField) (name string, typ reflect.Type, ok bool) {
	name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	typ = f.Type
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct {
		typ, name = typ.Elem(), name+"[]"
	}
	return name, typ, name != "" && name != "-"
}

// exists reports whether there is a field at the path.
func exists(typ reflect.Type, path string) bool {
	head, rest, more := strings.Cut(path, ".")
	for i := range typ.NumField() {
		name, child, ok := jsonField(typ.Field(i))
		if !ok || strings.TrimSuffix(name, "[]") != strings.TrimSuffix(head, "[]") {
			continue
		}
		return !more || strings.HasSuffix(name, "[]") == strings.HasSuffix(head, "[]") && exists(child, rest)
	}
	return false
}

// TestProofsAreAboutTheField: every row names a proof, every proof exists, and together they have each field of the row.
func TestProofsAreAboutTheField(t *testing.T) {
	_, rows := readPage(t)
	for name := range rows {
		for _, r := range rows[name] {
			if len(r.proofs) == 0 {
				t.Errorf("%s:%d: no proof", semantics, r.line)
			}
			var text strings.Builder
			for _, p := range r.proofs {
				text.WriteString(proofText(t, r.line, p))
			}
			for _, f := range r.fields {
				if !mentions(text.String(), f) {
					t.Errorf("%s:%d: none of the proofs %v has the field %s", semantics, r.line, r.proofs, f)
				}
			}
		}
	}
}

// mentions reports whether a text has a field, by the last part of its path: as manifests write it, or as Go does.
func mentions(text, path string) bool {
	last := regexp.QuoteMeta(path[strings.LastIndex(path, ".")+1:])
	if strings.Contains(path, "/") {
		last = regexp.QuoteMeta(path) // an annotation
	}
	either := "[" + last[:1] + strings.ToUpper(last[:1]) + "]" + last[1:]
	return regexp.MustCompile(`(^|[^A-Za-z])` + either + `([^A-Za-z]|$)`).MatchString(text)
}

// proofText gives the input of a golden case, or the file that a test is in.
func proofText(t *testing.T, line int, proof string) string {
	t.Helper()
	dir, pattern, needle := "", "*.yaml", ""
	if name, ok := strings.CutPrefix(proof, "case/"); ok {
		dir = filepath.Join(cases, name)
	} else {
		pkg, test, _ := strings.Cut(proof, ".")
		dir, pattern, needle = packageDir(pkg), "*_test.go", "func "+test+"("
	}
	var text strings.Builder
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(f) != "flows.yaml" && strings.Contains(string(data), needle) {
			text.Write(data)
		}
	}
	if text.Len() == 0 {
		t.Errorf("%s:%d: there is no %s", semantics, line, proof)
	}
	return text.String()
}

func packageDir(name string) string {
	for _, parent := range []string{"compiler", "internal", ""} {
		if dir := filepath.Join(root, parent, name); isDir(dir) {
			return dir
		}
	}
	return ""
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// TestNothingIsNamedInVain: what the text names outside of the tables exists, too, and no golden case is left out.
func TestNothingIsNamedInVain(t *testing.T) {
	text, _ := readPage(t)
	for i, line := range strings.Split(text, "\n") {
		for _, p := range proofsIn(line) {
			proofText(t, i+1, p)
		}
	}
	entries, err := fs.ReadDir(os.DirFS(cases), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(text, "](../golden/cases/"+e.Name()+")") {
			t.Errorf("%s does not say what the golden case %s is about", semantics, e.Name())
		}
	}
}
