package render

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func service(namespace, name string, spec corev1.ServiceSpec) *resolve.Service {
	ref := diag.Object{Kind: "service", Namespace: namespace, Name: name}
	return &resolve.Service{
		Ref: ref, Spec: spec,
		Object: &manifest.Object[corev1.Service]{Ref: ref, Value: corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       spec,
		}},
	}
}

// tutorial is the Service of the service-discovery tutorial with its three Pods.
func tutorial() *resolve.Service {
	s := service("demo", "nginx-prod-svc-demo", corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.111.193.186", ClusterIPs: []string{"10.111.193.186"},
		Selector:              map[string]string{"env": "prod", "app": "nginx"},
		IPFamilies:            []corev1.IPFamily{corev1.IPv4Protocol},
		IPFamilyPolicy:        new(corev1.IPFamilyPolicySingleStack),
		SessionAffinity:       corev1.ServiceAffinityNone,
		InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster),
		Ports: []corev1.ServicePort{{
			Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(80),
		}},
	})
	s.Object.Value.CreationTimestamp = metav1.NewTime(testNow.Add(-26 * time.Hour))
	s.Slices = []*resolve.Slice{slice("nginx-prod-svc-demo-ipv4", "http", 80, "10.1.0.29", "10.1.0.30", "10.1.0.31")}
	return s
}

// tutorialPorts are the ports of the tutorial's Service, or of one like it.
func tutorialPorts(s *resolve.Service) []*resolve.ServicePort {
	at := func(addr string) resolve.Endpoint { return resolve.Endpoint{Addr: netip.MustParseAddrPort(addr)} }
	return []*resolve.ServicePort{{
		Service: s, Family: corev1.IPv4Protocol, Name: "http", Protocol: corev1.ProtocolTCP,
		Addresses:    []resolve.Address{{Kind: resolve.ClusterIP, Addr: netip.MustParseAddr("10.111.193.186"), Port: 80}},
		Cluster:      []resolve.Endpoint{at("10.1.0.29:80"), at("10.1.0.30:80"), at("10.1.0.31:80")},
		HasEndpoints: true,
	}}
}

func slice(name, port string, number int32, addrs ...string) *resolve.Slice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "demo", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new(port), Port: new(number), Protocol: new(corev1.ProtocolTCP)}},
	}
	for _, a := range addrs {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return &resolve.Slice{EndpointSlice: s}
}

func notReady(s *resolve.Slice, i int) *resolve.Slice {
	s.EndpointSlice.Endpoints[i].Conditions.Ready = new(false)
	return s
}

func written(t testing.TB, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func same(t testing.TB, want, got string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestDescribeService(t *testing.T) {
	same(t, `Name:                     nginx-prod-svc-demo
Namespace:                demo
Labels:                   <none>
Annotations:              <none>
Selector:                 app=nginx,env=prod
Type:                     ClusterIP
IP Family Policy:         SingleStack
IP Families:              IPv4
IP:                       10.111.193.186
IPs:                      10.111.193.186
Port:                     http  80/TCP
TargetPort:               80/TCP
Endpoints:                10.1.0.29:80,10.1.0.30:80,10.1.0.31:80
Session Affinity:         None
Internal Traffic Policy:  Cluster
Events:                   <none>
Traffic:
  http  80/TCP  IPv4
    Address            Kind       Traffic Policy
    -------            ----       --------------
    10.111.193.186:80  ClusterIP  Cluster
    Endpoint      Node    Zone    State  Share
    --------      ----    ----    -----  -----
    10.1.0.29:80  <none>  <none>  ready  33.3%
    10.1.0.30:80  <none>  <none>  ready  33.3%
    10.1.0.31:80  <none>  <none>  ready  33.3%
`, written(t, func(w io.Writer) error {
		s := tutorial()
		return DescribeService(w, s, tutorialPorts(s))
	}))
}

func TestDescribeServiceFields(t *testing.T) {
	s := service("demo", "lb", corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ExternalIPs: []string{"192.0.2.1", "192.0.2.2"},
		SessionAffinity: corev1.ServiceAffinityClientIP, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
		HealthCheckNodePort: 32000, LoadBalancerSourceRanges: []string{"198.51.100.0/24"},
		Ports: []corev1.ServicePort{
			{Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("web"), AppProtocol: new("http")},
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(53)},
		},
	})
	o := &s.Object.Value
	o.Labels = map[string]string{"b": "2", "a": "1"}
	o.Annotations = map[string]string{"note": "two\nlines", corev1.LastAppliedConfigAnnotation: "{}"}
	o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{
		{IP: "203.0.113.5", IPMode: new(corev1.LoadBalancerIPModeVIP)}, {Hostname: "lb.example"},
	}
	s.Slices = []*resolve.Slice{
		notReady(slice("a", "", 8080, "10.1.0.1", "10.1.0.2"), 0), slice("b", "", 8080, "10.1.0.3", "10.1.0.4", "10.1.0.5"),
	}
	same(t, `Name:                        lb
Namespace:                   demo
Labels:                      a=1
                             b=2
Annotations:                 note:
                               two
                               lines
Selector:                    <none>
Type:                        LoadBalancer
IP Families:                 <none>
IP:                          
IPs:                         <none>
External IPs:                192.0.2.1,192.0.2.2
LoadBalancer Ingress:        203.0.113.5 (VIP), lb.example
Port:                        <unset>  80/TCP
TargetPort:                  web/TCP
AppProtocol:                 http
NodePort:                    <unset>  30080/TCP
Endpoints:                   10.1.0.2:8080,10.1.0.3:8080,10.1.0.4:8080 + 1 more...
Port:                        dns  53/UDP
TargetPort:                  53/UDP
Endpoints:                   
Session Affinity:            ClientIP
External Traffic Policy:     Local
HealthCheck NodePort:        32000
LoadBalancer Source Ranges:  198.51.100.0/24
Events:                      <none>
Traffic:  no rules: there is no address
`, written(t, func(w io.Writer) error { return DescribeService(w, s, nil) }))
	two := written(t, func(w io.Writer) error { return DescribeServices(w, []*resolve.Service{s, tutorial()}, nil, nil) })
	if !bytes.Contains([]byte(two), []byte("there is no address\n\n\nName:  ")) {
		t.Errorf("two Services are not two blank lines apart:\n%s", two)
	}
}

func tableServices() []*resolve.Service {
	nodePort := service("demo", "my-nodeport-service", corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: "10.96.0.7",
		Ports: []corev1.ServicePort{{Port: 80, NodePort: 30000, Protocol: "TCP"}, {Port: 53, Protocol: "UDP"}},
	})
	nodePort.Object.Value.Labels = map[string]string{"tier": "web", "app.kubernetes.io/name": "shop"}
	headless := service("demo", "headless", corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "None"})
	pending := service("demo", "lb", corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.8"})
	alias := service("other", "db", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "db.example"})
	return []*resolve.Service{headless, pending, nodePort, tutorial(), alias}
}

func TestServiceTable(t *testing.T) {
	list := func(opts TableOptions) string {
		opts.Now = testNow
		return written(t, func(w io.Writer) error { return ServiceTable(w, tableServices(), opts) })
	}
	same(t, `NAME                  TYPE           CLUSTER-IP       EXTERNAL-IP   PORT(S)               AGE
headless              ClusterIP      None             <none>        <none>                <unknown>
lb                    LoadBalancer   10.96.0.8        <pending>     <none>                <unknown>
my-nodeport-service   NodePort       10.96.0.7        <none>        80:30000/TCP,53/UDP   <unknown>
nginx-prod-svc-demo   ClusterIP      10.111.193.186   <none>        80/TCP                26h
db                    ExternalName   <none>           db.example    <none>                <unknown>
`, list(TableOptions{}))
	same(t, `NAMESPACE   NAME                          TYPE           CLUSTER-IP       EXTERNAL-IP   PORT(S)               AGE         SELECTOR             NAME   LABELS
demo        service/headless              ClusterIP      None             <none>        <none>                <unknown>   <none>                      <none>
demo        service/lb                    LoadBalancer   10.96.0.8        <pending>     <none>                <unknown>   <none>                      <none>
demo        service/my-nodeport-service   NodePort       10.96.0.7        <none>        80:30000/TCP,53/UDP   <unknown>   <none>               shop   app.kubernetes.io/name=shop,tier=web
demo        service/nginx-prod-svc-demo   ClusterIP      10.111.193.186   <none>        80/TCP                26h         app=nginx,env=prod          <none>
other       service/db                    ExternalName   <none>           db.example    <none>                <unknown>   <none>                      <none>
`, list(TableOptions{
		AllNamespaces: true, Wide: true, ShowLabels: true, WithKind: true, LabelColumns: []string{"app.kubernetes.io/name"},
	}))
	empty := written(t, func(w io.Writer) error { return ServiceTable(w, nil, TableOptions{}) })
	same(t, "", empty)
}

func TestEndpointsTable(t *testing.T) {
	many := service("demo", "many", corev1.ServiceSpec{})
	many.Slices = []*resolve.Slice{
		slice("b", "http", 80, "10.1.0.9", "10.1.0.10"), notReady(slice("a", "http", 80, "10.1.0.1", "10.1.0.2"), 0),
		slice("c", "other", 81, "10.1.0.3"),
	}
	down := service("demo", "down", corev1.ServiceSpec{})
	down.Slices = []*resolve.Slice{notReady(slice("a", "http", 80, "10.1.0.1"), 0)}
	idle := service("demo", "idle", corev1.ServiceSpec{})
	idle.Slices = []*resolve.Slice{slice("a", "http", 80)}
	got := written(t, func(w io.Writer) error {
		if e := Endpoints(service("demo", "sliceless", corev1.ServiceSpec{})); e != nil {
			t.Errorf("Endpoints without a slice: %v", e)
		}
		all := []*corev1.Endpoints{Endpoints(many), Endpoints(down), Endpoints(idle), Endpoints(tutorial())}
		return EndpointsTable(w, all, TableOptions{Now: testNow})
	})
	same(t, `NAME                  ENDPOINTS                                          AGE
many                  10.1.0.10:80,10.1.0.2:80,10.1.0.9:80 + 1 more...   <unknown>
down                                                                     <unknown>
idle                  <none>                                             <unknown>
nginx-prod-svc-demo   10.1.0.29:80,10.1.0.30:80,10.1.0.31:80             26h
`, got)
}

func TestEndpointSliceTable(t *testing.T) {
	v6 := slice("v6", "http", 80, "fd00::1").EndpointSlice
	v6.AddressType, v6.Ports[0].Port = discoveryv1.AddressTypeIPv6, nil
	got := written(t, func(w io.Writer) error {
		return EndpointSliceTable(w, []*discoveryv1.EndpointSlice{
			notReady(slice("a", "http", 80, "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"), 0).EndpointSlice,
			v6,
			{ObjectMeta: metav1.ObjectMeta{Name: "none"}, AddressType: discoveryv1.AddressTypeFQDN},
		}, TableOptions{Now: testNow})
	})
	same(t, `NAME   ADDRESSTYPE   PORTS     ENDPOINTS                                AGE
a      IPv4          80        10.1.0.1,10.1.0.2,10.1.0.3 + 1 more...   <unknown>
v6     IPv6          http      fd00::1                                  <unknown>
none   FQDN          <unset>   <unset>                                  <unknown>
`, got)
}
