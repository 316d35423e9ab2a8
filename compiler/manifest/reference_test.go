package manifest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// The reference is what happens to a manifest in Kubernetes: kubectl makes JSON of it with sigs.k8s.io/yaml, and the API
// server decodes that with sigs.k8s.io/json. Neither knows places, which is why they are not used outside tests.

// newObject gives an empty object of a kind, nil for a kind that is not read.
func newObject(m metav1.TypeMeta) metav1.Object {
	switch m.APIVersion + " " + m.Kind {
	case "v1 Service":
		return &corev1.Service{}
	case "v1 Endpoints":
		return &corev1.Endpoints{}
	case "v1 Pod":
		return &corev1.Pod{}
	case "v1 Node":
		return &corev1.Node{}
	case "discovery.k8s.io/v1 EndpointSlice":
		return &discoveryv1.EndpointSlice{}
	}
	return nil
}

// reference decodes a document as Kubernetes does. It gives the objects, those of a List one by one; what strict decoding
// finds, and the error that keeps it from decoding.
func reference(doc []byte) (objects []metav1.Object, strict []error, err error) {
	data, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, nil, err
	}
	return referenceJSON(data)
}

func referenceJSON(data []byte) (objects []metav1.Object, strict []error, err error) {
	var head struct {
		metav1.TypeMeta
		Items []json.RawMessage `json:"items"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &head); err != nil {
		return nil, nil, err
	}
	if head.Kind == "List" && head.APIVersion == "v1" {
		for _, item := range head.Items {
			more, found, err := referenceJSON(item)
			if err != nil {
				return nil, nil, err
			}
			objects, strict = append(objects, more...), append(strict, found...)
		}
		return objects, strict, nil
	}
	o := newObject(head.TypeMeta)
	if o == nil {
		return nil, nil, nil
	}
	strict, err = kjson.UnmarshalStrict(data, o)
	if err != nil {
		return nil, nil, err
	}
	o.SetManagedFields(nil)
	if _, cluster := o.(*corev1.Node); o.GetNamespace() == "" && !cluster {
		o.SetNamespace("default")
	}
	return []metav1.Object{o}, strict, nil
}

type object = metav1.Object

// refOf gives an object's name as [diag.Object.String] does.
func refOf(o object) string {
	kind := strings.ToLower(reflect.TypeOf(o).Elem().Name())
	if kind == "node" {
		return "node " + o.GetName()
	}
	return kind + " " + o.GetNamespace() + "/" + o.GetName()
}

// values gives the objects of a bundle by kind, namespace and name.
func values(b *manifest.Bundle) map[string]any {
	m := map[string]any{}
	for _, o := range b.Services {
		m[o.Ref.String()] = &o.Value
	}
	for _, o := range b.EndpointSlices {
		m[o.Ref.String()] = &o.Value
	}
	for _, o := range b.Endpoints {
		m[o.Ref.String()] = &o.Value
	}
	for _, o := range b.Pods {
		m[o.Ref.String()] = &o.Value
	}
	for _, o := range b.Nodes {
		m[o.Ref.String()] = &o.Value
	}
	return m
}

// diff compares two objects: deeply, but with numbers in resource quantities by value, for they remember how they were
// written only until they are first printed.
func diff(want, got any) string {
	if reflect.DeepEqual(want, got) || equality.Semantic.DeepEqual(want, got) {
		return ""
	}
	if d := cmp.Diff(want, got); d != "" {
		return d
	}
	return "they differ in what cmp does not show"
}

func corpus(tb testing.TB) map[string][]byte {
	tb.Helper()
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(names) == 0 {
		tb.Fatal("no corpus: ", err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		files[name] = data
	}
	return files
}

func decode(tb testing.TB, name, text string) *manifest.Bundle {
	tb.Helper()
	b, diags := manifest.Decode([]manifest.Source{{Name: name, Data: []byte(text)}}, manifest.Options{})
	if len(diags) > 0 {
		tb.Fatalf("Decode: %v", diags.Err())
	}
	return b
}
