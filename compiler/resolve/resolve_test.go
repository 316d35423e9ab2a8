package resolve

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// FuzzResolve feeds whatever decodes and expects what the compiler relies on.
func FuzzResolve(f *testing.F) {
	f.Add(strings.Join(permuted(), "\n---\n"), "node-1", "")
	f.Add(threeNodes+webService, "node-a", "zone-a")
	f.Add(selecting+podYAML("web-0", httpContainer, "podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}]"), "", "")
	f.Add(serviceYAML("  type: LoadBalancer\n  loadBalancerIP: 203.0.113.1\n  loadBalancerSourceRanges: [10.0.0.0/8]\n"+
		"  clusterIP: 10.96.0.1\n  clusterIPs: [10.96.0.1, 'fd00::1']\n  ipFamilyPolicy: PreferDualStack\n"+
		"  sessionAffinity: ClientIP\n  externalTrafficPolicy: Local\n  ports: [{port: 80, targetPort: a, nodePort: 30000}]\n"), "n", "z")
	f.Add(serviceYAML("  type: ExternalName\n  externalName: a\n"), "", "")
	f.Add(serviceYAML("  clusterIP: 0.0.0.0\n  externalIPs: ['::']\n  ports: [{port: 0}, {port: 70000, protocol: X}]\n"), "", "")
	f.Fuzz(func(t *testing.T, text, node, zone string) {
		b, _ := manifest.Decode([]manifest.Source{{Name: "in.yaml", Data: []byte(text)}}, manifest.Options{})
		if b == nil {
			return
		}
		m, found := Resolve(b, Config{NodeName: node, Zone: zone})
		if len(m.Services) != len(b.Services) {
			t.Fatalf("%d Services became %d", len(b.Services), len(m.Services))
		}
		if !found.HasErrors() {
			checkModel(t, m)
		}
	})
}

// checkModel checks what the compiler may assume of a Model without errors.
func checkModel(t *testing.T, m *Model) {
	t.Helper()
	type target struct {
		addr     netip.AddrPort
		protocol corev1.Protocol
	}
	taken := map[target]*ServicePort{}
	for _, sp := range m.ServicePorts {
		if sp.Service.Skipped != "" || !isProtocol(sp.Protocol) || len(sp.Addresses) == 0 || sp.Affinity < 0 {
			t.Errorf("%s: %+v", sp.Service.Ref, sp)
		}
		for _, a := range sp.Addresses {
			k := target{netip.AddrPortFrom(a.Addr, a.Port), sp.Protocol}
			if other := taken[k]; other != nil {
				t.Errorf("%v belongs to %s and %s", k, other.Service.Ref, sp.Service.Ref)
			}
			taken[k] = sp
			if FamilyOf(a.Addr) != sp.Family || a.Addr.Is4In6() || a.Port == 0 || a.Addr.IsUnspecified() != (a.Kind == NodePort) {
				t.Errorf("%s has address %+v", sp.Service.Ref, a)
			}
			if a.Restricted != (len(a.SourceRanges) > 0) || a.Restricted && a.Kind != LoadBalancerIP {
				t.Errorf("%s has address %+v", sp.Service.Ref, a)
			}
		}
		if !sp.HasEndpoints && len(sp.Cluster)+len(sp.Local) > 0 {
			t.Errorf("%s has endpoints and has none", sp.Service.Ref)
		}
		for _, set := range [][]Endpoint{sp.Cluster, sp.Local} {
			for i, e := range set {
				if FamilyOf(e.Addr.Addr()) != sp.Family || e.Addr.Port() == 0 || i > 0 && set[i-1].Addr.Compare(e.Addr) >= 0 {
					t.Errorf("%s has endpoints %v", sp.Service.Ref, set)
				}
			}
		}
	}
	if !slices.IsSortedFunc(m.Services, func(a, b *Service) int { return strings.Compare(a.Ref.Namespace, b.Ref.Namespace) }) {
		t.Error("the Services are not in order")
	}
}
