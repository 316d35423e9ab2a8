package manifest_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// memory is a cache in memory, which counts.
type memory struct {
	mu           sync.Mutex
	values       map[manifest.Key]string
	hits, misses int
	refused      int // documents that cannot be remembered
}

func newMemory() *memory { return &memory{values: map[manifest.Key]string{}} }

func (m *memory) Get(k manifest.Key) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[k]
	if ok {
		m.hits++
	} else {
		m.misses++
	}
	return v, ok
}

func (m *memory) Put(k manifest.Key, encode func() []byte) {
	v := encode()
	m.mu.Lock()
	defer m.mu.Unlock()
	if v == nil {
		m.refused++
		return
	}
	m.values[k] = string(v)
}

// count gives hits and misses since the last time.
func (m *memory) count() (hits, misses int) {
	hits, misses = m.hits, m.misses
	m.hits, m.misses = 0, 0
	return hits, misses
}

// decodeThrice decodes without a cache, with an empty one and with a full one, and sees that the results are the same.
func decodeThrice(t *testing.T, sources []manifest.Source, opts manifest.Options) *memory {
	t.Helper()
	m := newMemory()
	opts.Cache = nil
	want, wantDiags := manifest.Decode(sources, opts)
	opts.Cache = m
	for _, what := range []string{"empty", "full"} {
		m.count()
		got, gotDiags := manifest.Decode(sources, opts)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("with an %s cache another bundle:\n%s", what, diff(values(want), values(got)))
		}
		if !reflect.DeepEqual(gotDiags, wantDiags) {
			t.Errorf("with an %s cache other findings: %v\nwithout: %v", what, gotDiags, wantDiags)
		}
	}
	return m
}

func TestCache(t *testing.T) {
	for name, data := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			m := decodeThrice(t, []manifest.Source{{Name: name, Data: data}}, manifest.Options{})
			if hits, misses := m.count(); hits == 0 || misses > m.refused {
				t.Errorf("%d hits, %d misses, %d that cannot be remembered", hits, misses, m.refused)
			}
		})
	}
}

// A document is known wherever it stands, and its places are those where it stands now.
func TestCacheMoved(t *testing.T) {
	text := string(generated(20))
	m := newMemory()
	opts := manifest.Options{Cache: m}
	manifest.Decode([]manifest.Source{{Name: "a.yaml", Data: []byte(text)}}, opts)
	if hits, misses := m.count(); hits != 0 || misses != 40 {
		t.Fatalf("%d hits and %d misses of a first time", hits, misses)
	}
	moved := "# a comment\n\n" + strings.Replace(text, "port: 80\n", "port: 81\n", 1)
	source := manifest.Source{Name: "b.yaml", Data: []byte(moved), FirstLine: 7}
	got, _ := manifest.Decode([]manifest.Source{source}, opts)
	want, _ := manifest.Decode([]manifest.Source{source}, manifest.Options{})
	// The comment belongs to the first document, which changed anyway.
	if hits, misses := m.count(); hits != 39 || misses != 1 {
		t.Errorf("%d hits and %d misses after one change", hits, misses)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("another bundle than without a cache")
	}
	const field = "endpoints[3].addresses"
	if g, w := got.EndpointSlices[5].At(field), want.EndpointSlices[5].At(field); g != w || g.File != "b.yaml" {
		t.Errorf("%s at %v, want %v", field, g, w)
	}
}

// The items of a List are known each by itself, but not as documents: they do not say what they are.
func TestCacheLists(t *testing.T) {
	item := "- metadata: {name: %s}\n  spec:\n    ports: [{port: 80}]\n"
	list := "apiVersion: v1\nkind: %s\nitems:\n" + fmt.Sprintf(item, "a") + fmt.Sprintf(item, "b")
	opts := manifest.Options{Cache: newMemory()}
	services := []manifest.Source{{Name: "x", Data: fmt.Appendf(nil, list, "ServiceList")}}
	for range 2 {
		if b, diags := manifest.Decode(services, opts); len(b.Services) != 2 || len(diags) > 0 {
			t.Fatal(diags)
		}
	}
	for _, kind := range []string{"List", "EndpointsList"} {
		b, diags := manifest.Decode([]manifest.Source{{Name: "x", Data: fmt.Appendf(nil, list, kind)}}, opts)
		if !diags.HasErrors() || len(b.Services) > 0 {
			t.Errorf("the items of a %s were taken for those of a ServiceList", kind)
		}
	}
}

// What is skipped may be a Secret: nothing is left of it. And what is skipped without a word by one run is an error of
// the next, strict one.
func TestCacheSkipped(t *testing.T) {
	sources := []manifest.Source{{Name: "x", Data: []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n")}}
	m := decodeThrice(t, sources, manifest.Options{})
	if hits, misses := m.count(); hits != 0 || misses != 1 || len(m.values) > 0 {
		t.Errorf("%d hits, %d misses, remembered: %v", hits, misses, m.values)
	}
	decodeThrice(t, sources, manifest.Options{Strict: true})
}

// A Quantity of 1000m comes back from JSON as 1. That is the same to everybody but to a comparison, and Pods are not
// compared by it; but what is remembered is what was read, to the last bit.
func TestCacheRefuses(t *testing.T) {
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, resources: {limits: {cpu: %s}}}]}\n"
	for quantity, refused := range map[string]int{"1000m": 2, "500m": 0} {
		m := decodeThrice(t, []manifest.Source{{Name: "x", Data: fmt.Appendf(nil, pod, quantity)}}, manifest.Options{})
		if m.refused != refused {
			t.Errorf("%s: refused %d times, want %d", quantity, m.refused, refused)
		}
	}
}

// Large files are cut in parts that are split side by side.
func TestDecodeParts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{
		"---\n", "--- # a\n", "...\n", "# a comment\n", "%YAML 1.1\n", "\n", "  \n", "\ufeff---\n", "\ufeff...\n", "---x: y\n", "  ---\n", "--- \n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n", "\ufeff# a\n---\n", "a: |\n  b\n  ---\n---\n", "%a\n---\n",
	}
	filler := string(generated(1))
	for range 20 {
		var b strings.Builder
		for b.Len() < 700<<10 {
			for range 8 {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
			b.WriteString(strings.Repeat("# filler\n", r.IntN(20)))
			if r.IntN(4) == 0 {
				b.WriteString(filler)
			}
		}
		manifest.CheckParts(t, b.String())
	}
}

// FuzzMemo sees that no value of a cache makes Decode panic or name a place that is not there.
func FuzzMemo(f *testing.F) {
	for _, data := range corpus(f) {
		m := newMemory()
		manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: data}}, manifest.Options{Cache: m})
		n := 0
		for _, v := range m.values {
			if n++; n < 20 {
				f.Add(v)
			}
		}
	}
	text := generated(1)
	f.Fuzz(func(_ *testing.T, value string) {
		b, _ := manifest.Decode([]manifest.Source{{Name: "x.yaml", Data: text}}, manifest.Options{Cache: always(value)})
		for _, o := range b.Services {
			o.At("spec.ports[0].port")
			o.At("spec.ports[7]")
		}
		for _, o := range b.EndpointSlices {
			o.At("endpoints[0].addresses[1]")
		}
		b.Sources()
	})
}

// always is a cache that has the same value for everything.
type always string

func (a always) Get(manifest.Key) (string, bool)     { return string(a), true }
func (a always) Put(_ manifest.Key, f func() []byte) { f() }

// FuzzCache sees that what is remembered is what was decoded.
func FuzzCache(f *testing.F) {
	addSeeds(f)
	for _, data := range corpus(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sources := []manifest.Source{{Name: "x.yaml", Data: data, FirstLine: 3}}
		decodeThrice(t, sources, manifest.Options{})
		checkDocuments(t, sources)
	})
}

// The same item in another column of the same text is another document: the places on its first line are others.
func TestCacheColumns(t *testing.T) {
	const item = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80}]}}`
	opts := manifest.Options{Cache: newMemory()}
	for _, before := range []string{`{"apiVersion":"v1","kind":"List","items":[`, `{"kind":"List","apiVersion":"v1", "items": [  `} {
		text := before + item + "]}"
		b, diags := manifest.Decode([]manifest.Source{{Name: "x", Data: []byte(text)}}, opts)
		if len(diags) > 0 {
			t.Fatal(diags)
		}
		port := b.Services[0].At("spec.ports[0]")
		if want := int32(len(before) + strings.Index(item, `{"port"`) + 1); b.Services[0].Pos.Column != int32(len(before)+1) || port.Column != want {
			t.Errorf("at %v, its port at %v, want column %d", b.Services[0].Pos, port, want)
		}
	}
}
