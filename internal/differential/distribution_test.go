package differential

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/trace"
)

// flows is how many connections are counted, falseAlarm the chance that a test of a fair draw fails.
const (
	flows      = 100_000
	falseAlarm = 1e-6
)

// TestDistribution counts where connections go, and compares that with the shares of the model and with the shares that
// were asked for. Just above 14, 28, 56, … endpoints the slots have doubled and most of the tries miss.
func TestDistribution(t *testing.T) {
	x := newFlood(t, graph.IPv4)
	cases := map[string][]int{
		"3": ones(3), "5": ones(5), "15": ones(15), "97": ones(97), "449": ones(449),
		"weights of few":  {3, 2, 1},
		"weights of many": append(ones(12), 2, 3, 5, 7, 11, 13, 40),
	}
	for name, weights := range cases {
		t.Run(name, func(t *testing.T) {
			rs := crowdService(t, graph.IPv4, weights, false)
			if err := apply(t, x.conn, rs); err != nil {
				t.Fatal(err)
			}
			counts := make(map[netip.Addr]int, len(weights))
			x.run(t, flows, crowdAddress(graph.IPv4), func(_ int, endpoint netip.Addr) { counts[endpoint]++ })

			model := shares(t, rs, graph.IPv4)
			asked := map[netip.Addr]float64{}
			sum := 0
			for _, w := range weights {
				sum += w
			}
			for i, w := range weights {
				asked[nth(farm[graph.IPv4], i+1)] = float64(w) / float64(sum)
			}
			for what, shares := range map[string]map[netip.Addr]float64{"the model's": model, "even": asked} {
				p, chi2 := goodness(counts, shares)
				t.Logf("%d flows, %s shares: chi-square %.1f with %d degrees of freedom, p = %.3g", flows, what, chi2, len(shares)-1, p)
				if p < falseAlarm {
					t.Errorf("%s shares are not what the kernel draws: %v", what, counts)
				}
			}
			for a, want := range asked {
				// All tries hit an empty slot in one case of 10⁵: then it is slot 0.
				if got := model[a]; math.Abs(got-want) > 2e-5 {
					t.Errorf("%s: the model says %v, want %v", a, got, want)
				}
			}
		})
	}
}

func ones(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// crowdAddress is the service address of floods.
func crowdAddress(f graph.Family) netip.AddrPort { return netip.AddrPortFrom(of(f, clusterIPs)[0], 80) }

// crowdService compiles a Service with an endpoint for every weight, the i-th at the (i+1)-th address of the farm.
func crowdService(t *testing.T, f graph.Family, weights []int, hash bool) *graph.Ruleset {
	t.Helper()
	family := map[graph.Family]corev1.IPFamily{graph.IPv4: corev1.IPv4Protocol, graph.IPv6: corev1.IPv6Protocol}[f]
	s := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: "crowd", Namespace: "demo", Annotations: map[string]string{}},
		Spec: corev1.ServiceSpec{
			ClusterIP: crowdAddress(f).Addr().String(), IPFamilies: []corev1.IPFamily{family},
			Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolUDP}},
		},
	}
	slice := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "crowd-1", Namespace: "demo", Labels: map[string]string{discoveryv1.LabelServiceName: "crowd"},
		},
		AddressType: discoveryv1.AddressType(family),
		Ports:       []discoveryv1.EndpointPort{{Port: new(int32(floodPort)), Protocol: new(corev1.ProtocolUDP)}},
	}
	var weighted []string
	for i, weight := range weights {
		if weight == 0 {
			continue // not there
		}
		a := nth(farm[f], i+1).String()
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
		if weight > 1 {
			weighted = append(weighted, fmt.Sprintf("%s=%d", a, weight))
		}
	}
	if len(weighted) > 0 {
		s.Annotations["svcctl.io/weights"] = strings.Join(weighted, ", ")
	}
	if hash {
		s.Annotations["svcctl.io/balance"] = "source-hash"
	}
	sc := &scenario{services: []*corev1.Service{s}, slices: []*discoveryv1.EndpointSlice{slice}}
	rs, err := sc.compile()
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// shares are the model's: the part of the connections that each endpoint gets.
func shares(t *testing.T, rs *graph.Ruleset, f graph.Family) map[netip.Addr]float64 {
	t.Helper()
	out := map[netip.Addr]float64{}
	for _, o := range walkFrom(t, rs, nth(crowd[f], 0), f) {
		out[o.Dest.Addr()] += o.Probability
	}
	return out
}

func walkFrom(t *testing.T, rs *graph.Ruleset, client netip.Addr, f graph.Family) []trace.Outcome {
	t.Helper()
	r, err := trace.Walk(rs, trace.Host{}, trace.Packet{
		Source: netip.AddrPortFrom(client, 40000), Dest: crowdAddress(f), Proto: graph.UDP,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Outcomes
}
