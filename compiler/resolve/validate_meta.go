package resolve

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// nameRule is a rule for names: whether one is good, and why one is not.
type nameRule struct {
	good func(string) bool
	why  func(string) []string
}

var (
	dnsLabel     = nameRule{isDNSLabel, validation.IsDNS1123Label}
	dnsSubdomain = nameRule{isDNSSubdomain, validation.IsDNS1123Subdomain}
	labelKey     = nameRule{isLabelKey, validation.IsQualifiedName}
	labelValue   = nameRule{isLabelValue, validation.IsValidLabelValue}
	portName     = nameRule{isPortName, validation.IsValidPortName}
)

// check reports a value that breaks the rule. path is called only then.
func (r *report) check(rule nameRule, value string, path func() *field.Path) {
	if !rule.good(value) {
		r.invalid(path(), value, rule.why(value)...)
	}
}

// maxAnnotations is how many bytes all annotations of an object may have (apimachinery, TotalAnnotationSizeLimitB).
const maxAnnotations = 256 << 10

func (r *report) checkMeta(m *metav1.ObjectMeta, name nameRule) {
	path := func(child string) func() *field.Path {
		return func() *field.Path { return field.NewPath("metadata", child) }
	}
	if !name.good(m.Name) {
		r.invalid(path("name")(), m.Name, name.why(m.Name)...)
	}
	if m.Namespace != "" && !isDNSLabel(m.Namespace) {
		r.invalid(path("namespace")(), m.Namespace, validation.IsDNS1123Label(m.Namespace)...)
	}
	r.checkLabels(m.Labels, "metadata", "labels")
	r.checkAnnotations(m.Annotations)
}

// checkLabels checks labels or a selector. As the API server does, it reports them under the path of the whole map; the
// place is that of the key.
func (r *report) checkLabels(labels map[string]string, parent, child string) {
	for k, v := range labels {
		if isLabelKey(k) && isLabelValue(v) {
			continue
		}
		path := field.NewPath(parent, child)
		place := path.Key(k).String()
		for _, why := range validation.IsQualifiedName(k) {
			r.addAt(place, field.Invalid(path, k, why))
		}
		for _, why := range validation.IsValidLabelValue(v) {
			r.addAt(place, field.Invalid(path, v, why))
		}
	}
}

func (r *report) checkAnnotations(annotations map[string]string) {
	size := 0
	for k, v := range annotations {
		size += len(k) + len(v)
		// Annotation keys may have upper case in their prefix.
		if lower := strings.ToLower(k); !isLabelKey(lower) {
			path := field.NewPath("metadata", "annotations")
			for _, why := range validation.IsQualifiedName(lower) {
				r.addAt(path.Key(k).String(), field.Invalid(path, k, why))
			}
		}
	}
	if size > maxAnnotations {
		r.add(field.TooLong(field.NewPath("metadata", "annotations"), "", maxAnnotations))
	}
}
