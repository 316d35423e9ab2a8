package manifest

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/svcctl/svcctl/compiler/diag"
)

// kindInfo is a kind that is read.
type kindInfo struct {
	kind       string
	apiVersion string
	namespaced bool
	lower      string                                   // the kind, as in messages
	decode     func(r *reader, k *kindInfo, root int32) // nil for kind List
	recall     func(m *memoReader, k *kindInfo, u *unit, f *found)
}

// ref names an object of the kind.
func (k *kindInfo) ref(namespace, name string) diag.Object {
	if !k.namespaced {
		namespace = ""
	}
	return diag.Object{Kind: k.lower, Namespace: namespace, Name: name}
}

var kinds = map[string]*kindInfo{
	"Service":       {"Service", "v1", true, "service", decodeAs[corev1.Service], recallAs[corev1.Service]},
	"Endpoints":     {"Endpoints", "v1", true, "endpoints", decodeAs[corev1.Endpoints], recallAs[corev1.Endpoints]},
	"Pod":           {"Pod", "v1", true, "pod", decodeAs[corev1.Pod], recallAs[corev1.Pod]},
	"Node":          {"Node", "v1", false, "node", decodeAs[corev1.Node], recallAs[corev1.Node]},
	"EndpointSlice": {"EndpointSlice", "discovery.k8s.io/v1", true, "endpointslice", decodeAs[discoveryv1.EndpointSlice], recallAs[discoveryv1.EndpointSlice]},
}

// listKinds are the lists that are read, with the kind of the items that do not name theirs: the API server leaves it out
// in typed lists.
var listKinds = map[string]*kindInfo{
	"List":              {kind: "List", apiVersion: "v1"},
	"ServiceList":       kinds["Service"],
	"EndpointsList":     kinds["Endpoints"],
	"PodList":           kinds["Pod"],
	"NodeList":          kinds["Node"],
	"EndpointSliceList": kinds["EndpointSlice"],
}

// isForeign reports whether an API group belongs to somebody else, who may well have a kind Service of their own. Names
// without a dot and those under k8s.io are Kubernetes' own.
func isForeign(apiVersion string) bool {
	group, _, ok := strings.Cut(apiVersion, "/")
	return ok && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

// defaultNamespace is where an object without metadata.namespace belongs.
const defaultNamespace = metav1.NamespaceDefault

// decodeAs decodes an object of a kind, and keeps it where it has no errors.
func decodeAs[T any](r *reader, k *kindInfo, root int32) {
	o := &Object[T]{Pos: r.pos(root)}
	before := len(r.diags)
	r.decode(root, typeInfoOf(reflect.TypeFor[T]()), reflect.ValueOf(&o.Value).Elem())
	lists, places := r.index.take(&r.slabs)
	meta := any(&o.Value).(metav1.Object)
	if meta.GetName() == "" && len(r.diags) == before {
		r.missingName(root, meta.GetGenerateName() != "")
	}
	if len(r.diags) > before {
		return
	}
	typed := r.tree.stringValue(root, "kind") != ""
	o.positions = positions{
		text: *r.doc, untyped: !typed, lists: lists, places: places,
	}
	if len(r.item) > 0 {
		o.positions.item = slices.Clone(r.item)
	}
	o.complete(k)
	r.found.objects = append(r.found.objects, o)
}

// complete fills in what an object of a kind need not say itself.
func (o *Object[T]) complete(k *kindInfo) {
	meta := any(&o.Value).(metav1.Object)
	if k.namespaced && meta.GetNamespace() == "" {
		meta.SetNamespace(defaultNamespace)
	}
	o.Ref = k.ref(meta.GetNamespace(), meta.GetName())
	// The items of typed lists do not say what they are.
	*any(&o.Value).(runtime.Object).GetObjectKind().(*metav1.TypeMeta) = metav1.TypeMeta{
		Kind: k.kind, APIVersion: k.apiVersion,
	}
}

// missingName reports an object without a name, in the API server's words.
func (d *decoder) missingName(root int32, generated bool) {
	at := root
	if metadata, ok := d.tree.value(root, "metadata"); ok {
		at = metadata
	}
	d.report(diag.Required, at, d.ref, "metadata.name", "Required value: name or generateName is required")
	if generated {
		d.hint("only an API server makes a name of generateName")
	}
}
