package resolve

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/manifest"
)

func specOf(t *testing.T, cfg Config, spec string) corev1.ServiceSpec {
	t.Helper()
	m, _ := Resolve(decode(t, serviceYAML(spec)), cfg)
	return m.Services[0].Spec
}

// TestDefaults expects what an API server shows of a Service that says nothing, but for what it allocates.
func TestDefaults(t *testing.T) {
	port := corev1.ServicePort{Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(80)}
	want := corev1.ServiceSpec{
		Type:                  corev1.ServiceTypeClusterIP,
		ClusterIP:             "10.96.0.1",
		ClusterIPs:            []string{"10.96.0.1"},
		IPFamilies:            []corev1.IPFamily{corev1.IPv4Protocol},
		IPFamilyPolicy:        new(corev1.IPFamilyPolicySingleStack),
		InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster),
		SessionAffinity:       corev1.ServiceAffinityNone,
		Ports:                 []corev1.ServicePort{port},
	}
	given := "  clusterIP: 10.96.0.1\n  ports: [{port: 80}]\n"
	if diff := cmp.Diff(want, specOf(t, Config{}, given)); diff != "" {
		t.Errorf("ClusterIP (-want +got):\n%s", diff)
	}
	want.Type = corev1.ServiceTypeLoadBalancer
	want.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	want.AllocateLoadBalancerNodePorts = new(true)
	want.SessionAffinity = corev1.ServiceAffinityClientIP
	want.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(10800))}}
	if diff := cmp.Diff(want, specOf(t, Config{}, given+"  type: LoadBalancer\n  sessionAffinity: ClientIP\n")); diff != "" {
		t.Errorf("LoadBalancer (-want +got):\n%s", diff)
	}
	none := specOf(t, Config{}, given+"  sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}")
	if none.SessionAffinityConfig != nil {
		t.Errorf("affinity None keeps its configuration: %v", none.SessionAffinityConfig)
	}
}

func TestDefaultFamilies(t *testing.T) {
	const selector = "  selector: {app: web}\n  clusterIP: None\n  ports: [{port: 80}]\n"
	six := Config{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00:10:96::/112"), netip.MustParsePrefix("10.96.0.0/12")}}
	for _, x := range []struct {
		name, spec, want string
		cfg              Config
	}{
		{"headless", selector, "SingleStack IPv4", Config{}},
		{"headless, IPv6 first", selector, "SingleStack IPv6", six},
		{"headless, dual stack", selector + "  ipFamilyPolicy: PreferDualStack", "PreferDualStack IPv6 IPv4", six},
		{"headless without a selector", "  clusterIP: None", "RequireDualStack IPv4 IPv6", Config{}},
		{"headless without a selector, one family", "  clusterIP: None\n  ipFamilyPolicy: SingleStack\n  ipFamilies: [IPv6]", "SingleStack IPv6", Config{}},
		{"the family of the address", "  clusterIP: fd00::1\n  ports: [{port: 80}]", "SingleStack IPv6", Config{}},
		{"dual stack preferred and not given", "  clusterIP: 10.96.0.1\n  ipFamilyPolicy: PreferDualStack\n  ports: [{port: 80}]", "PreferDualStack IPv4", Config{}},
		{"ExternalName", "  type: ExternalName\n  externalName: a.example", "-", Config{}},
	} {
		t.Run(x.name, func(t *testing.T) {
			spec := specOf(t, x.cfg, x.spec)
			got := "-"
			if spec.IPFamilyPolicy != nil {
				got = string(*spec.IPFamilyPolicy)
			}
			for _, f := range spec.IPFamilies {
				got += " " + string(f)
			}
			if got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
}

// TestBundleUntouched resolves everything there is and expects the objects as they were.
func TestBundleUntouched(t *testing.T) {
	docs := append(permuted(), selecting, strings.Replace(serviceYAML("  clusterIP: 10.96.3.1\n  ports: [{port: 80}]"), "web", "plain", 1))
	b := decode(t, docs...)
	before := copied(b)
	Resolve(b, Config{NodeName: "node-2"})
	if diff := cmp.Diff(before, copied(b)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func copied(b *manifest.Bundle) []any {
	var out []any
	for _, o := range b.Services {
		out = append(out, o.Value.DeepCopy())
	}
	for _, o := range b.EndpointSlices {
		out = append(out, o.Value.DeepCopy())
	}
	for _, o := range b.Endpoints {
		out = append(out, o.Value.DeepCopy())
	}
	for _, o := range b.Pods {
		out = append(out, o.Value.DeepCopy())
	}
	return out
}
