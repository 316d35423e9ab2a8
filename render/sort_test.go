package render

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOrder(t *testing.T) {
	of := func(name, ip string, port int32) Object {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip}}
		if port != 0 {
			s.Spec.Ports = []corev1.ServicePort{{Port: port}}
		}
		return s
	}
	objects := []Object{of("c", "10.0.0.9", 443), of("a", "10.0.0.10", 80), of("b", "", 0), of("d", "10.0.0.9", 8080)}
	for path, want := range map[string]string{
		".metadata.name":      "a b c d",
		"{.spec.clusterIP}":   "b c d a", // nothing first, digits as a number, equals as they were
		".spec.ports[0].port": "b a c d",
		"spec.ports[*].port":  "b a c d",
	} {
		order, err := Order(objects, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var names []string
		for _, i := range order {
			names = append(names, objects[i].GetName())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	// Enough of them to see that equals stay in their order.
	var many []Object
	for i := range 50 {
		many = append(many, of("s", "10.0.0."+itoa(int32(i%2)), 0))
	}
	order, err := Order(many, ".spec.clusterIP")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(order[:25]) || !slices.IsSorted(order[25:]) || order[25] != 1 {
		t.Errorf("equals are not in their order: %v", order)
	}
	for path, want := range map[string]string{
		".spec.nothing": `couldn't find any field with path "{.spec.nothing}" in the list of objects`,
		".spec.ports":   "nothing can be sorted by .spec.ports: in service/c it is a list or a map",
		"{.a[}":         "error parsing jsonpath",
	} {
		if _, err := Order(objects, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	if order, err := Order(nil, ".metadata.name"); err != nil || len(order) != 0 {
		t.Errorf("nothing: %v, %v", order, err)
	}
}

func TestCompareNatural(t *testing.T) {
	// "7" and "07" are the same number: what follows decides, and then the bytes.
	want := []string{"", "0", "00", "1", "07", "7", "007a", "7a", "7b", "10", "10.9", "10.10", "a", "a2", "a10", "a10b", "b", "ß"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareNatural)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
