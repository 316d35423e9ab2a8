package render

import (
	"io"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// TestTraffic has an endpoint in every state, one of them in two slices, and addresses under both policies.
func TestTraffic(t *testing.T) {
	s := service("demo", "web", corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort,
		Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(8080)},
		},
	})
	a := slice("a", "http", 8080, "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5")
	e := a.EndpointSlice.Endpoints
	e[0].NodeName, e[0].Zone = new("node-1"), new("zone-a")
	e[1].NodeName = new("node-2")
	e[2].Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true), Terminating: new(true)}
	e[3].Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(false), Terminating: new(true)}
	e[4].Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(false)}
	b := slice("b", "http", 8080, "10.1.0.5", "10.1.0.6")
	other := slice("other", "metrics", 9090, "10.1.0.7")
	headless := slice("headless", "http", 8080, "10.1.0.8")
	headless.Labels[corev1.IsHeadlessService] = ""
	v6 := slice("v6", "http", 8080, "fd00::1")
	v6.AddressType = discoveryv1.AddressTypeIPv6
	s.Slices = []*resolve.Slice{a, b, headless, other, v6}

	at := func(addr string, weight int) resolve.Endpoint {
		return resolve.Endpoint{Addr: netip.MustParseAddrPort(addr), Weight: weight}
	}
	node := resolve.Address{Kind: resolve.NodePort, Addr: netip.IPv4Unspecified(), Port: 30080, LocalOnly: true}
	p := &resolve.ServicePort{
		Service: s, Family: corev1.IPv4Protocol, Name: "http", Protocol: corev1.ProtocolTCP,
		Addresses:    []resolve.Address{{Kind: resolve.ClusterIP, Addr: netip.MustParseAddr("10.96.0.1"), Port: 80}, node},
		Cluster:      []resolve.Endpoint{at("10.1.0.1:8080", 2), at("10.1.0.2:8080", 0), at("10.1.0.5:8080", 0), at("10.1.0.6:8080", 4)},
		Local:        []resolve.Endpoint{at("10.1.0.1:8080", 2)},
		HasEndpoints: true,
	}
	var counted *Stats
	e1 := netip.MustParseAddrPort("10.1.0.1:8080")
	show := func() string {
		return written(t, func(w io.Writer) error { return traffic(w, s, []*resolve.ServicePort{p}, connectionsOf(counted)) })
	}
	same(t, `Traffic:
  http  80/TCP  IPv4
    Address       Kind       Traffic Policy
    -------       ----       --------------
    10.96.0.1:80  ClusterIP  Cluster
    *:30080       NodePort   Local
    Endpoint       Node    Zone    State                 Share  Local Share
    --------       ----    ----    -----                 -----  -----------
    10.1.0.1:8080  node-1  zone-a  ready                 25.0%  100.0%
    10.1.0.2:8080  node-2  <none>  ready                 12.5%  0%
    10.1.0.3:8080  <none>  <none>  terminating, serving  0%     0%
    10.1.0.4:8080  <none>  <none>  terminating           0%     0%
    10.1.0.5:8080  <none>  <none>  ready                 12.5%  0%
    10.1.0.6:8080  <none>  <none>  ready                 50.0%  0%
`, show())

	counted = &Stats{Addresses: []AddressStats{
		{
			Address: netip.MustParseAddrPort("10.96.0.1:80"), Proto: graph.TCP, Connections: 7,
			Endpoints: []EndpointStats{{e1, 4}, {netip.MustParseAddrPort("10.1.0.2:8080"), 2}},
		},
		{Address: netip.MustParseAddrPort("10.96.0.1:80"), Proto: graph.UDP, Connections: 99},
		{Address: netip.MustParseAddrPort("0.0.0.0:30080"), Proto: graph.TCP, Connections: 3, Endpoints: []EndpointStats{{e1, 3}}},
	}}
	s.Slices = []*resolve.Slice{slice("a", "http", 8080, "10.1.0.1", "10.1.0.2", "10.1.0.6")}
	same(t, `Traffic:
  http  80/TCP  IPv4
    Address       Kind       Traffic Policy  Connections
    -------       ----       --------------  -----------
    10.96.0.1:80  ClusterIP  Cluster         7
    *:30080       NodePort   Local           3
    Endpoint       Node    Zone    State  Share  Local Share  Connections
    --------       ----    ----    -----  -----  -----------  -----------
    10.1.0.1:8080  <none>  <none>  ready  25.0%  100.0%       7
    10.1.0.2:8080  <none>  <none>  ready  12.5%  0%           2
    10.1.0.6:8080  <none>  <none>  ready  50.0%  0%           0
`, show())
	counted = nil

	// What happens without endpoints to choose from.
	s.Slices, p.Addresses, p.Cluster, p.Local = nil, p.Addresses[:1], nil, nil
	p.Addresses[0].LocalOnly = true
	same(t, `Traffic:
  http  80/TCP  IPv4
    Address       Kind       Traffic Policy
    -------       ----       --------------
    10.96.0.1:80  ClusterIP  Local
    No endpoint is on this node: new connections under the policy Local are dropped.
`, show())
	p.Addresses[0].LocalOnly, p.HasEndpoints = false, false
	same(t, `Traffic:
  http  80/TCP  IPv4
    Address       Kind       Traffic Policy
    -------       ----       --------------
    10.96.0.1:80  ClusterIP  Cluster
    No endpoint can be used: new connections are refused.
`, show())
	s.Skipped = "headless"
	same(t, "Traffic:  no rules: headless\n", show())
}
