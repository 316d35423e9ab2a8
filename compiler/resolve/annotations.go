package resolve

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// AnnotationPrefix is what all annotations that svcctl reads begin with. An annotation with this prefix that svcctl does
// not know is an error: a misspelt one would be ignored in silence.
const AnnotationPrefix = "svcctl.io/"

// The annotations.
const (
	// AnnotationBalance, on a Service, says how endpoints are chosen: [BalanceRandom] or [BalanceSourceHash].
	AnnotationBalance = AnnotationPrefix + "balance"
	// AnnotationWeights, on a Service, gives endpoints a share, relative to the others whose weight is 1 if nothing says
	// otherwise: "10.1.0.29=3, web-b=2", by address or by the name of the Pod. It goes before the Pod's own.
	AnnotationWeights = AnnotationPrefix + "weights"
	// AnnotationWeight, on a Pod, gives the endpoints of the Pod their share: "3".
	AnnotationWeight = AnnotationPrefix + "weight"
)

// The values of AnnotationBalance.
const (
	BalanceRandom     = "random"
	BalanceSourceHash = "source-hash"
)

// MaxWeight is the largest weight of an endpoint. An endpoint takes as many slots as its weight.
const MaxWeight = 256

// settings is what a Service's annotations ask for.
type settings struct {
	sourceHash bool
	weights    map[string]int // by address or Pod name; nil for none
}

// readSettings reads the annotations of a Service.
func readSettings(r *report, annotations map[string]string) settings {
	var s settings
	switch v, given := annotations[AnnotationBalance]; {
	case v == BalanceSourceHash:
		s.sourceHash = true
	case given && v != BalanceRandom:
		r.add(field.NotSupported(annotationPath(AnnotationBalance), v, []string{BalanceRandom, BalanceSourceHash}))
	}
	if v, given := annotations[AnnotationWeights]; given {
		s.weights = readWeights(r, v)
	}
	checkOwnAnnotations(r, annotations, AnnotationBalance, AnnotationWeights)
	return s
}

// readWeights reads "10.1.0.29=3, web-b=2".
func readWeights(r *report, value string) map[string]int {
	weights := map[string]int{}
	for entry := range strings.SplitSeq(value, ",") {
		name, text, ok := strings.Cut(strings.TrimSpace(entry), "=")
		weight, good := parseWeight(text)
		if addr, isAddr := ParseIP(name); isAddr {
			name = addr.String()
		}
		switch {
		case !ok || name == "" || !good:
			r.invalid(annotationPath(AnnotationWeights), entry,
				"must be NAME=WEIGHT, an address or the name of a Pod and a number from 1 to "+strconv.Itoa(MaxWeight))
		case weights[name] != 0:
			r.add(field.Duplicate(annotationPath(AnnotationWeights), name))
		default:
			weights[name] = weight
		}
	}
	return weights
}

func parseWeight(text string) (weight int, ok bool) {
	weight, err := strconv.Atoi(text)
	return weight, err == nil && weight >= 1 && weight <= MaxWeight && text == strconv.Itoa(weight)
}

// podWeights reads the annotations of the Pods: the weights of those that have one.
func podWeights(pods []*manifest.Object[corev1.Pod], report func(*manifest.Object[corev1.Pod]) *report) map[key]int {
	var weights map[key]int
	for _, o := range pods {
		if len(o.Value.Annotations) == 0 {
			continue
		}
		r := report(o)
		checkOwnAnnotations(r, o.Value.Annotations, AnnotationWeight)
		text, given := o.Value.Annotations[AnnotationWeight]
		if !given {
			continue
		}
		weight, ok := parseWeight(text)
		if !ok {
			r.invalid(annotationPath(AnnotationWeight), text, "must be a number from 1 to "+strconv.Itoa(MaxWeight))
			continue
		}
		if weights == nil {
			weights = map[key]int{}
		}
		weights[key{o.Ref.Namespace, o.Ref.Name}] = weight
	}
	return weights
}

// checkOwnAnnotations refuses annotations of our prefix that mean nothing on the object.
func checkOwnAnnotations(r *report, annotations map[string]string, known ...string) {
	if len(annotations) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(name, AnnotationPrefix) && !slices.Contains(known, name) {
			r.add(field.NotSupported(annotationPath(name), name, known))
		}
	}
}

// warnWithoutPath warns of annotations of a Service that the packet path does not serve.
func warnWithoutPath(r *report, svc *Service) {
	for _, name := range []string{AnnotationBalance, AnnotationWeights} {
		if _, given := svc.Object.Value.Annotations[name]; given {
			r.warn(diag.Ignored, annotationPath(name).String(), "without effect: no packets to the Service pass through here (%s)",
				svc.Skipped)
		}
	}
}

// warnWeights warns of weights that are nobody's. It may be no mistake: the Pod may come back.
func warnWeights(r *report, byName map[string]int, sources []*source) {
	unknown := maps.Clone(byName)
	for _, s := range sources {
		for i, a := range s.addrs {
			if len(unknown) == 0 {
				return
			}
			delete(unknown, a.String())
			if ref := s.EndpointSlice.Endpoints[i].TargetRef; ref != nil && ref.Kind == "Pod" {
				delete(unknown, ref.Name)
			}
		}
	}
	if len(unknown) > 0 {
		r.warn(diag.Ignored, annotationPath(AnnotationWeights).String(), "none of the endpoints has the address, or is the Pod, %s",
			strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
}

func annotationPath(name string) *field.Path {
	return field.NewPath("metadata", "annotations").Key(name)
}

// weigh gives the endpoints of a port their weights: those of the Service's annotation, by address or name of the Pod,
// else those of the Pods.
func (rs *resolver) weigh(sp *ServicePort, byName map[string]int, sources []*source) {
	if len(byName) == 0 && len(rs.weights) == 0 {
		return
	}
	pods := map[netip.Addr]string{}
	for _, s := range sources {
		for i, a := range s.addrs {
			if ref := s.EndpointSlice.Endpoints[i].TargetRef; ref != nil && ref.Kind == "Pod" {
				pods[a] = ref.Name
			}
		}
	}
	for _, set := range [][]Endpoint{sp.Cluster, sp.Local} {
		for i := range set {
			addr := set[i].Addr.Addr()
			pod := pods[addr]
			set[i].Weight = cmp.Or(byName[addr.String()], byName[pod], rs.weights[key{sp.Service.Ref.Namespace, pod}])
		}
	}
}

// TotalWeight counts endpoints by their weights: as many as the slots they take.
func TotalWeight(endpoints []Endpoint) int {
	n := 0
	for i := range endpoints {
		n += max(endpoints[i].Weight, 1)
	}
	return n
}
