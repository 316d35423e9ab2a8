package dns_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

var config = dns.Config{
	ClusterDomain: "cluster.local", TTL: 5, NameServers: []dns.Name{"ns.example.com"},
	ReverseCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")},
}

// build gives the zones of manifests, and what was said about them.
func build(t *testing.T, in string, cfg dns.Config) (*dns.Zones, []string) {
	t.Helper()
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	b, found := manifest.Decode([]manifest.Source{{Name: "in.yaml", Data: []byte(in)}}, manifest.Options{})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	m, found := resolve.Resolve(b, resolve.Config{})
	if found.HasErrors() {
		t.Fatal(found.Err())
	}
	zones, found := dns.Build(m, cfg)
	var said []string
	for _, d := range found {
		said = append(said, d.String())
	}
	return zones, said
}

// lines gives the records as "NAME TYPE DATA", without those that every zone has.
func lines(zones *dns.Zones) []string {
	var out []string
	for _, z := range zones.Zones {
		for _, r := range z.Records {
			typ := strings.TrimPrefix(fmt.Sprintf("%T", r.Data), "dns.")
			if typ != "NS" && !strings.HasPrefix(string(r.Name), "dns-version.") {
				out = append(out, fmt.Sprint(r.Name, " ", typ, " ", strings.Trim(fmt.Sprint(r.Data), "{}")))
			}
		}
	}
	return out
}

const (
	service = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec: `
	slice = `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-%s, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: %s
ports: [{name: http, port: 8080}, {port: 9090, protocol: UDP}]
endpoints:
`
)

// TestSpecification has the rules of the Kubernetes DNS specification 1.1.0 by their sections. The expectations are
// written from its text.
func TestSpecification(t *testing.T) {
	slice4, slice6 := fmt.Sprintf(slice, "4", "IPv4"), fmt.Sprintf(slice, "6", "IPv6")
	for _, x := range []struct {
		name, in string
		want     []string
	}{
		{
			"2.3.1 and 2.3.3: a ClusterIP has an address record and a pointer, with and without endpoints",
			service + `{clusterIP: 10.96.0.1, ports: [{port: 80}]}`,
			[]string{
				"web.demo.svc.cluster.local A 10.96.0.1",
				"1.0.96.10.in-addr.arpa PTR web.demo.svc.cluster.local",
			},
		},
		{
			"2.3.2: each named port has a server record with the port of the Service; one without a name has none",
			service + `{clusterIP: 10.96.0.1, ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}, {name: sig, port: 99, protocol: SCTP}]}` +
				slice4 + "- {addresses: [10.1.0.1]}",
			[]string{
				"web.demo.svc.cluster.local A 10.96.0.1",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 80 web.demo.svc.cluster.local",
				"_dns._udp.web.demo.svc.cluster.local SRV 0 100 53 web.demo.svc.cluster.local",
				"_sig._sctp.web.demo.svc.cluster.local SRV 0 100 99 web.demo.svc.cluster.local",
				"1.0.96.10.in-addr.arpa PTR web.demo.svc.cluster.local",
			},
		},
		{
			"2.3.1 and 2.3.3: two families are two types at one name, and nibbles in reverse",
			service + `{ipFamilyPolicy: PreferDualStack, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, "fd00:10:96::1a"], ports: [{port: 80}]}`,
			[]string{
				"web.demo.svc.cluster.local A 10.96.0.1",
				"web.demo.svc.cluster.local AAAA fd00:10:96::1a",
				"1.0.96.10.in-addr.arpa PTR web.demo.svc.cluster.local",
				"a.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa PTR web.demo.svc.cluster.local",
			},
		},
		{
			"2.4.1 to 2.4.3: a headless Service has its ready endpoints, by hostname where they have one",
			service + `{clusterIP: None, ports: [{name: http, port: 80}, {port: 90, protocol: UDP, name: other}]}` + slice4 + `
- {addresses: [10.1.0.2]}
- {addresses: [10.1.0.1], hostname: a, conditions: {ready: true}}
- {addresses: [10.1.0.3], conditions: {ready: false, serving: true}}
- {addresses: [10.1.0.4], hostname: gone, conditions: {ready: false, serving: true, terminating: true}}
`,
			[]string{
				"web.demo.svc.cluster.local A 10.1.0.1",
				"web.demo.svc.cluster.local A 10.1.0.2",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 10-1-0-2.web.demo.svc.cluster.local",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 a.web.demo.svc.cluster.local",
				"10-1-0-2.web.demo.svc.cluster.local A 10.1.0.2",
				"a.web.demo.svc.cluster.local A 10.1.0.1",
				"1.0.1.10.in-addr.arpa PTR a.web.demo.svc.cluster.local",
				"2.0.1.10.in-addr.arpa PTR 10-1-0-2.web.demo.svc.cluster.local",
			},
		},
		{
			"2.4.1: without a ready endpoint there is no such name",
			service + `{clusterIP: None, ports: [{name: http, port: 80}]}` + slice4 + "- {addresses: [10.1.0.3], conditions: {ready: false}}",
			nil,
		},
		{
			"2.4.1: endpoints that share a hostname share a name",
			service + `{clusterIP: None}` + slice4 + "- {addresses: [10.1.0.1], hostname: a}\n- {addresses: [10.1.0.2], hostname: a}\n" +
				slice6 + `- {addresses: ["fd00:1::1"], hostname: a}`,
			[]string{
				"web.demo.svc.cluster.local A 10.1.0.1",
				"web.demo.svc.cluster.local A 10.1.0.2",
				"web.demo.svc.cluster.local AAAA fd00:1::1",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 a.web.demo.svc.cluster.local",
				"a.web.demo.svc.cluster.local A 10.1.0.1",
				"a.web.demo.svc.cluster.local A 10.1.0.2",
				"a.web.demo.svc.cluster.local AAAA fd00:1::1",
				"1.0.1.10.in-addr.arpa PTR a.web.demo.svc.cluster.local",
				"2.0.1.10.in-addr.arpa PTR a.web.demo.svc.cluster.local",
				"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa PTR a.web.demo.svc.cluster.local",
			},
		},
		{
			"2.5: an ExternalName is an alias, and nothing else",
			service + `{type: ExternalName, externalName: www.example.com., ports: [{name: http, port: 80}]}`,
			[]string{"web.demo.svc.cluster.local CNAME www.example.com"},
		},
		{
			"CoreDNS: the label of an IPv6 address never ends in a dash",
			service + `{clusterIP: None}` + slice6 + `- {addresses: ["fd00::"]}`,
			[]string{
				"web.demo.svc.cluster.local AAAA fd00::",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 fd00--0.web.demo.svc.cluster.local",
				"fd00--0.web.demo.svc.cluster.local AAAA fd00::",
				"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa PTR fd00--0.web.demo.svc.cluster.local",
			},
		},
		{
			"an endpoint that is in two slices is there once, one whose port differs between them has both",
			service + `{clusterIP: None}` + slice4 + "- {addresses: [10.1.0.1]}\n" +
				strings.Replace(fmt.Sprintf(slice, "again", "IPv4"), "8080", "8081", 1) + "- {addresses: [10.1.0.1]}",
			[]string{
				"web.demo.svc.cluster.local A 10.1.0.1",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 10-1-0-1.web.demo.svc.cluster.local",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8081 10-1-0-1.web.demo.svc.cluster.local",
				"10-1-0-1.web.demo.svc.cluster.local A 10.1.0.1",
				"1.0.1.10.in-addr.arpa PTR 10-1-0-1.web.demo.svc.cluster.local",
			},
		},
		{
			"CoreDNS: an address that is a Service's has that name only",
			service + `{clusterIP: None}` + slice4 + "- {addresses: [10.96.0.7]}\n---" +
				strings.Replace(service, "web", "other", 1) + `{clusterIP: 10.96.0.7, ports: [{port: 80}]}`,
			[]string{
				"other.demo.svc.cluster.local A 10.96.0.7",
				"web.demo.svc.cluster.local A 10.96.0.7",
				"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 10-96-0-7.web.demo.svc.cluster.local",
				"10-96-0-7.web.demo.svc.cluster.local A 10.96.0.7",
				"7.0.96.10.in-addr.arpa PTR other.demo.svc.cluster.local",
			},
		},
		{
			"another proxy's Service has names all the same",
			strings.Replace(service, "namespace: demo", "namespace: demo, labels: {service.kubernetes.io/service-proxy-name: x}", 1) +
				`{clusterIP: 10.96.0.1, ports: [{port: 80}]}`,
			[]string{
				"web.demo.svc.cluster.local A 10.96.0.1",
				"1.0.96.10.in-addr.arpa PTR web.demo.svc.cluster.local",
			},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			zones, said := build(t, x.in, config)
			if d := cmp.Diff(x.want, lines(zones)); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
			if len(said) > 0 {
				t.Errorf("it said %q", said)
			}
		})
	}
}

// TestPods: what Pods say of themselves, through the slices that are made of them.
func TestPods(t *testing.T) {
	pod := `
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: demo, labels: {app: web}}
spec: {hostname: %[1]s, subdomain: %s, containers: [{name: c, image: i}]}
status: {podIP: %s, conditions: [{type: Ready, status: "%s"}]}
`
	in := service + `{clusterIP: None, selector: {app: web}, publishNotReadyAddresses: %t, ports: [{name: http, port: 80, targetPort: 8080}]}` +
		fmt.Sprintf(pod, "a", "web", "10.1.0.1", "True") + // the subdomain is the Service's name: the hostname counts
		fmt.Sprintf(pod, "b", "other", "10.1.0.2", "True") + // it is not
		fmt.Sprintf(pod, "c", "web", "10.1.0.3", "False")
	for publish, want := range map[bool][]string{
		false: {
			"web.demo.svc.cluster.local A 10.1.0.1",
			"web.demo.svc.cluster.local A 10.1.0.2",
			"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 10-1-0-2.web.demo.svc.cluster.local",
			"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 a.web.demo.svc.cluster.local",
			"10-1-0-2.web.demo.svc.cluster.local A 10.1.0.2",
			"a.web.demo.svc.cluster.local A 10.1.0.1",
			"1.0.1.10.in-addr.arpa PTR a.web.demo.svc.cluster.local",
			"2.0.1.10.in-addr.arpa PTR 10-1-0-2.web.demo.svc.cluster.local",
		},
		true: {
			"web.demo.svc.cluster.local A 10.1.0.1",
			"web.demo.svc.cluster.local A 10.1.0.2",
			"web.demo.svc.cluster.local A 10.1.0.3",
			"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 10-1-0-2.web.demo.svc.cluster.local",
			"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 a.web.demo.svc.cluster.local",
			"_http._tcp.web.demo.svc.cluster.local SRV 0 100 8080 c.web.demo.svc.cluster.local",
			"10-1-0-2.web.demo.svc.cluster.local A 10.1.0.2",
			"a.web.demo.svc.cluster.local A 10.1.0.1",
			"c.web.demo.svc.cluster.local A 10.1.0.3",
			"1.0.1.10.in-addr.arpa PTR a.web.demo.svc.cluster.local",
			"2.0.1.10.in-addr.arpa PTR 10-1-0-2.web.demo.svc.cluster.local",
			"3.0.1.10.in-addr.arpa PTR c.web.demo.svc.cluster.local",
		},
	} {
		zones, _ := build(t, fmt.Sprintf(in, publish), config)
		if d := cmp.Diff(want, lines(zones)); d != "" {
			t.Errorf("publishNotReadyAddresses: %t: records (-want +got):\n%s", publish, d)
		}
	}
}

// TestSchemaVersion is section 2.2 of the specification.
func TestSchemaVersion(t *testing.T) {
	zones, _ := build(t, service+`{clusterIP: None}`, config)
	if got := zones.Zones[0].Records[1]; got != (dns.Record{Name: "dns-version.cluster.local", Data: dns.TXT{Text: "1.1.0"}}) {
		t.Errorf("got %v", got)
	}
}

// TestInexpressible: what DNS cannot say is left out with a warning that names the place.
func TestInexpressible(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, x := range []struct {
		name, in string
		cfg      dns.Config
		want     []string
		said     []string
	}{
		{
			name: "an alias of an address", cfg: config,
			in: service + `{type: ExternalName, externalName: 10.1.1.1}`,
			said: []string{"in.yaml:5:42: warning: service demo/web: spec.externalName: DNS does not have this Service: " +
				"its external name 10.1.1.1 is an address, and an alias is one of a name"},
		},
		{
			name: "a port name with an underscore is longer than a label", cfg: config,
			in: service + `{clusterIP: 10.96.0.1, ports: [{name: ` + long + `, port: 80}]}`,
			want: []string{
				"web.demo.svc.cluster.local A 10.96.0.1", "1.0.96.10.in-addr.arpa PTR web.demo.svc.cluster.local",
			},
			said: []string{"in.yaml:5:45: warning: service demo/web: spec.ports[0].name: DNS does not have _" + long +
				"._tcp.web.demo.svc.cluster.local: the name has a label longer than 63 characters"},
		},
		{
			name: "a name that is too long",
			cfg: dns.Config{
				ClusterDomain: dns.Name(long + "." + long + "." + long + "." + long[:50]), NameServers: config.NameServers,
			},
			in: service + `{clusterIP: 10.96.0.1, ports: [{port: 80}]}`,
			said: []string{"in.yaml:2:1: warning: service demo/web: DNS does not have web.demo.svc." + long + "." + long + "." + long + "." +
				long[:50] + ": the name is longer than the 253 characters of a domain name"},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			zones, said := build(t, x.in, x.cfg)
			if d := cmp.Diff(x.want, lines(zones)); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
			if d := cmp.Diff(x.said, said); d != "" {
				t.Errorf("said (-want +got):\n%s", d)
			}
		})
	}
}

func TestReverseZones(t *testing.T) {
	endpoints := service + `{clusterIP: None}` + fmt.Sprintf(slice, "4", "IPv4") +
		"- {addresses: [192.0.2.1]}\n- {addresses: [192.0.2.200]}\n- {addresses: [198.51.100.1]}\n" +
		fmt.Sprintf(slice, "6", "IPv6") + `- {addresses: ["2001:db8:1:2::1"]}`
	for _, x := range []struct {
		ranges []string
		want   []string
	}{
		// Outside of all ranges: the /24, the /64.
		{nil, []string{"2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"}},
		// A range that is no whole octet, or no whole nibble, is several zones.
		{[]string{"192.0.0.0/14", "198.51.100.0/23", "2001:db8::/31"}, []string{
			"0.192.in-addr.arpa", "1.192.in-addr.arpa", "2.192.in-addr.arpa", "3.192.in-addr.arpa",
			"100.51.198.in-addr.arpa", "101.51.198.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa", "9.b.d.0.1.0.0.2.ip6.arpa",
		}},
		// One zone lies in no other; what is smaller than a zone is in the zone that it is in.
		{[]string{"192.0.2.0/26", "192.0.0.0/8", "198.51.100.128/25", "2001:db8:1:2::/112", "2001:db8:1:2::/127"}, []string{
			"192.in-addr.arpa", "100.51.198.in-addr.arpa",
			"0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
		}},
		// An address beside a small range: the zone of its network takes the range in.
		{[]string{"192.0.2.0/24", "198.51.100.0/24", "2001:db8:1:2:8000::/68"}, []string{
			"2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
		}},
	} {
		cfg := config
		cfg.ReverseCIDRs = nil
		for _, r := range x.ranges {
			cfg.ReverseCIDRs = append(cfg.ReverseCIDRs, netip.MustParsePrefix(r))
		}
		zones, _ := build(t, endpoints, cfg)
		var got []string
		pointers := 0
		for _, z := range zones.Zones[1:] {
			got = append(got, string(z.Origin))
			for _, r := range z.Records {
				if _, ok := r.Data.(dns.PTR); ok {
					pointers++
					if !strings.HasSuffix(string(r.Name), "."+string(z.Origin)) {
						t.Errorf("%v: %s is in the zone %s", x.ranges, r.Name, z.Origin)
					}
				}
			}
		}
		if d := cmp.Diff(x.want, got); d != "" {
			t.Errorf("%v: zones (-want +got):\n%s", x.ranges, d)
		}
		if pointers != 4 {
			t.Errorf("%v: %d of 4 addresses are in a zone", x.ranges, pointers)
		}
	}
}

func TestSerial(t *testing.T) {
	a := service + `{clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}`
	serial := func(in string, cfg dns.Config) uint32 {
		zones, _ := build(t, in, cfg)
		return zones.Zones[0].SOA.Serial
	}
	was := serial(a, config)
	if again := serial("# a comment\n"+a, config); again != was {
		t.Errorf("the same content has the serial numbers %d and %d", was, again)
	}
	ttl, domain, servers := config, config, config
	ttl.TTL, domain.ClusterDomain, servers.NameServers = 6, "example.net", []dns.Name{"ns2.example.com"}
	for what, is := range map[string]uint32{
		"address":     serial(strings.Replace(a, "10.96.0.1", "10.96.0.2", 1), config),
		"port":        serial(strings.Replace(a, "80", "81", 1), config),
		"port name":   serial(strings.Replace(a, "http", "www", 1), config),
		"name":        serial(strings.Replace(a, "web", "www", 1), config),
		"TTL":         serial(a, ttl),
		"domain":      serial(a, domain),
		"name server": serial(a, servers),
	} {
		if is == was {
			t.Errorf("another %s has the same serial number", what)
		}
	}
	// RFC 1982, section 3.2: s is before t if t-s, as a signed number, is positive. 0 is no serial number.
	for _, s := range []uint32{1, 41, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1} {
		if next := dns.NextSerial(s); int32(next-s) <= 0 || next == 0 {
			t.Errorf("after %d comes %d", s, next)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for want, change := range map[string]func(*dns.Config){
		"a lowercase RFC 1123 subdomain": func(c *dns.Config) { c.ClusterDomain = "not a domain" },
		"reverse zones are below arpa":   func(c *dns.Config) { c.ClusterDomain = "10.in-addr.arpa" },
		"at most 3600":                   func(c *dns.Config) { c.TTL = 3601 },
		"needs a name server":            func(c *dns.Config) { c.NameServers = nil },
		`the name server "a_b"`:          func(c *dns.Config) { c.NameServers = []dns.Name{"a_b"} },
		"name it from outside":           func(c *dns.Config) { c.NameServers = []dns.Name{"ns.dns.cluster.local"} },
	} {
		cfg := config
		change(&cfg)
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestHosts(t *testing.T) {
	zones, _ := build(t, service+`{clusterIP: None}`+fmt.Sprintf(slice, "4", "IPv4")+"- {addresses: [10.1.0.1], hostname: a}\n---"+
		strings.Replace(service, "web", "front", 1)+`{clusterIP: 10.96.0.1, ports: [{port: 80}]}`+"\n---"+
		strings.Replace(service, "web", "out", 1)+`{type: ExternalName, externalName: example.com}`, config)
	want := []dns.Host{
		{Addr: netip.MustParseAddr("10.96.0.1"), Names: []dns.Name{"front.demo.svc.cluster.local", "front.demo.svc"}},
		{Names: []dns.Name{"out.demo.svc.cluster.local"}, Alias: "example.com"},
		{Addr: netip.MustParseAddr("10.1.0.1"), Names: []dns.Name{
			"a.web.demo.svc.cluster.local", "web.demo.svc.cluster.local", "web.demo.svc",
		}},
	}
	if d := cmp.Diff(want, zones.Hosts, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("hosts (-want +got):\n%s", d)
	}
}
