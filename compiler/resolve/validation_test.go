package resolve

import (
	"strings"
	"testing"
)

// The wording and the field paths are the API server's of Kubernetes 1.36.

const (
	labelWhy = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end " +
		"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is " +
		"'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
	subdomainWhy = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must " +
		"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is " +
		"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
	labelValueWhy = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must " +
		"start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation " +
		"is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
	qualifiedWhy = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
		"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
		"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
	portRange = "must be between 1 and 65535, inclusive"
)

// refusal is one object and everything that is wrong with it, each as "line:column: field: message".
type refusal struct {
	name, in string
	say      []string
}

func refuseAll(t *testing.T, object string, refusals []refusal) {
	t.Helper()
	for _, x := range refusals {
		t.Run(x.name, func(t *testing.T) {
			_, found := Resolve(decode(t, x.in), Config{})
			errs, _ := found.Split()
			want := make([]string, len(x.say))
			for i, s := range x.say {
				pos, rest, _ := strings.Cut(s, ": ")
				want[i] = pos + ": " + object + ": " + rest
			}
			diffLines(t, strings.Join(want, "\n"), strings.Join(said(errs), "\n"))
		})
	}
}

// serviceYAML writes a Service with one field per line, the first of the spec on line 6.
func serviceYAML(spec string) string {
	return "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n" + spec
}

func TestServiceRefused(t *testing.T) {
	const one = "  clusterIP: 10.96.0.1\n  ports: [{port: 80}]\n"
	refuseAll(t, "service default/web", []refusal{
		{"ports: none", serviceYAML("  clusterIP: 10.96.0.1"), []string{"6:3: spec.ports: Required value"}},
		{"type", serviceYAML(one + "  type: Cluster"), []string{
			`8:9: spec.type: Unsupported value: "Cluster": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`,
		}},
		{"of a type that there is not nothing more is asked", serviceYAML("  ports: [{port: 80}]\n  type: NodePrt"), []string{
			`7:9: spec.type: Unsupported value: "NodePrt": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`,
		}},
		{"selector", serviceYAML(one + "  selector:\n    app: a b\n    -x: z"), []string{
			"9:10: spec.selector: Invalid value: \"a b\": " + labelValueWhy,
			"10:9: spec.selector: Invalid value: \"-x\": " + qualifiedWhy,
		}},
		{"sessionAffinity", serviceYAML(one + "  sessionAffinity: Cookie"), []string{
			`8:20: spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"`,
		}},
		{"timeoutSeconds", serviceYAML(one + "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}"), []string{
			"9:54: spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
		}},
		{"internalTrafficPolicy", serviceYAML(one + "  internalTrafficPolicy: Node"), []string{
			`8:26: spec.internalTrafficPolicy: Unsupported value: "Node": supported values: "Cluster", "Local"`,
		}},
		{"externalTrafficPolicy where nothing is external", serviceYAML(one + "  externalTrafficPolicy: Local"), []string{
			`8:26: spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services`,
		}},
		{"externalTrafficPolicy", serviceYAML(one + "  type: LoadBalancer\n  externalTrafficPolicy: Node"), []string{
			`9:26: spec.externalTrafficPolicy: Unsupported value: "Node": supported values: "Cluster", "Local"`,
		}},
		{"trafficDistribution", serviceYAML(one + "  trafficDistribution: Near"), []string{
			`8:24: spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"`,
		}},
		{"healthCheckNodePort", serviceYAML(one + "  healthCheckNodePort: 32000"), []string{
			"8:24: spec.healthCheckNodePort: Invalid value: 32000: may only be set when `type` is 'LoadBalancer' and " +
				"`externalTrafficPolicy` is 'Local'",
		}},
		{"externalIPs", serviceYAML(one + "  externalIPs: [0.0.0.0, 127.0.0.1, 169.254.1.1, 224.0.0.1, 010.0.0.1, a, '::ffff:10.0.0.1', 239.1.1.1]"), []string{
			`8:17: spec.externalIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)`,
			`8:26: spec.externalIPs[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`,
			`8:37: spec.externalIPs[2]: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)`,
			`8:50: spec.externalIPs[3]: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)`,
			`8:61: spec.externalIPs[4]: Invalid value: "010.0.0.1": must not have leading 0s`,
			`8:72: spec.externalIPs[5]: Invalid value: "a": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
			`8:75: spec.externalIPs[6]: Invalid value: "::ffff:10.0.0.1": must not be an IPv4-mapped IPv6 address`,
		}},
	})
}

func TestServiceNamesRefused(t *testing.T) {
	const spec = "spec:\n  clusterIP: 10.96.0.1\n  ports: [{port: 80}]\n"
	refuseAll(t, "service a.b/1_a", []refusal{{
		"names", "apiVersion: v1\nkind: Service\nmetadata:\n  name: 1_a\n  namespace: a.b\n  labels:\n    a/b/c: x\n" +
			"  annotations:\n    -y: z\n" + spec,
		[]string{
			`4:9: metadata.name: Invalid value: "1_a": ` + labelWhy,
			`5:14: metadata.namespace: Invalid value: "a.b": must not contain dots`,
			`7:12: metadata.labels: Invalid value: "a/b/c": a valid label key must consist of alphanumeric characters, '-', '_' or ` +
				`'.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used ` +
				`for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. ` +
				`'example.com/MyName')`,
			`9:9: metadata.annotations: Invalid value: "-y": ` + qualifiedWhy,
		},
	}})
}

func TestServicePortRefused(t *testing.T) {
	ports := func(list string) string {
		return serviceYAML("  type: NodePort\n  clusterIP: 10.96.0.1\n  ports:\n" + list)
	}
	refuseAll(t, "service default/web", []refusal{
		{"numbers", ports("  - port: 70000\n    targetPort: 0\n    nodePort: 99999"), []string{
			"9:11: spec.ports[0].port: Invalid value: 70000: " + portRange,
			"11:15: spec.ports[0].nodePort: Invalid value: 99999: provided port is not in the valid range. " +
				"The range of valid ports is 30000-32767",
		}},
		{"targetPort", ports("  - port: 80\n    targetPort: -1\n    nodePort: 30080"), []string{
			"10:17: spec.ports[0].targetPort: Invalid value: -1: " + portRange,
		}},
		{"targetPort by name", ports("  - {name: a, port: 80, nodePort: 30080, targetPort: '8080'}\n" +
			"  - {name: b, port: 81, nodePort: 30081, targetPort: http--x}\n" +
			"  - {name: c, port: 82, nodePort: 30082, targetPort: Http-}\n" +
			"  - {name: d, port: 83, nodePort: 30083, targetPort: abcdefghijklmnop}"), []string{
			`9:54: spec.ports[0].targetPort: Invalid value: "8080": must contain at least one letter (a-z)`,
			`10:54: spec.ports[1].targetPort: Invalid value: "http--x": must not contain consecutive hyphens`,
			`11:54: spec.ports[2].targetPort: Invalid value: "Http-": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`,
			`11:54: spec.ports[2].targetPort: Invalid value: "Http-": must not begin or end with a hyphen`,
			`12:54: spec.ports[3].targetPort: Invalid value: "abcdefghijklmnop": must be no more than 15 characters`,
		}},
		{"names", ports("  - {port: 80, nodePort: 30080}\n  - {name: http, port: 81, nodePort: 30081}\n" +
			"  - {name: http, port: 82, nodePort: 30082}\n  - {name: a_b, port: 83, nodePort: 30083}"), []string{
			"9:5: spec.ports[0].name: Required value",
			`11:12: spec.ports[2].name: Duplicate value: "http"`,
			`12:12: spec.ports[3].name: Invalid value: "a_b": ` + labelWhy,
		}},
		{"protocol and appProtocol", ports("  - {port: 80, nodePort: 30080, protocol: tcp, appProtocol: -x}"), []string{
			`9:43: spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"`,
			`9:61: spec.ports[0].appProtocol: Invalid value: "-x": ` + qualifiedWhy,
		}},
		{"the same port, the same node port", ports("  - {name: a, port: 80, nodePort: 30080}\n  - {name: b, port: 80, nodePort: 30080}\n" +
			"  - {name: c, port: 80, nodePort: 30080, protocol: UDP}"), []string{
			`10:5: spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}`,
			`10:35: spec.ports[1].nodePort: Duplicate value: 30080`,
		}},
		{"nodePort missing", ports("  - port: 80"), []string{
			"9:5: spec.ports[0].nodePort: Required value: svcctl needs the port to be written here, in the range 30000-32767",
		}},
		{"nodePort of a ClusterIP", serviceYAML("  clusterIP: 10.96.0.1\n  ports: [{port: 80, nodePort: 30080}]"), []string{
			"7:32: spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
		}},
	})
}

func TestClusterIPsRefused(t *testing.T) {
	ips := func(lines ...string) string {
		return serviceYAML("  " + strings.Join(append(lines, "ports: [{port: 80}]"), "\n  "))
	}
	const mustDual = "must be 'RequireDualStack' or 'PreferDualStack' when multiple "
	refuseAll(t, "service default/web", []refusal{
		{"clusterIP", ips("clusterIP: 10.96.0.300"), []string{
			`6:14: spec.clusterIPs[0]: Invalid value: "10.96.0.300": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
		}},
		{"none", ips("clusterIP: none"), []string{
			`6:14: spec.clusterIPs[0]: Invalid value: "none": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
		}},
		{"unspecified", ips("clusterIP: 0.0.0.0"), []string{
			`6:14: spec.clusterIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)`,
		}},
		{"clusterIPs alone", ips("clusterIPs: [10.96.0.1]"), []string{
			"6:15: spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: must be empty when `clusterIP` is not specified",
		}},
		{"clusterIPs that differ", ips("clusterIP: 10.96.0.1", "clusterIPs: [10.96.0.2]"), []string{
			"7:15: spec.clusterIPs: Invalid value: [\"10.96.0.2\"]: first value must match `clusterIP`",
		}},
		{"two of a family", ips("clusterIP: 10.96.0.1", "clusterIPs: [10.96.0.1, 10.96.0.2]", "ipFamilyPolicy: PreferDualStack"), []string{
			`7:15: spec.clusterIPs: Invalid value: ["10.96.0.1","10.96.0.2"]: may specify no more than one IP for each IP family`,
		}},
		{"dual stack without the policy", ips("clusterIP: 10.96.0.1", "clusterIPs: [10.96.0.1, 'fd00::1']"), []string{
			`6:3: spec.ipFamilyPolicy: Invalid value: "SingleStack": ` + mustDual + "cluster IPs are specified",
		}},
		{"families", ips("clusterIP: 10.96.0.1", "ipFamilies: [IPv6, IPv6, IPv5]", "ipFamilyPolicy: Dual"), []string{
			"6:14: spec.clusterIPs[0]: Invalid value: \"10.96.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
			`7:22: spec.ipFamilies[1]: Duplicate value: "IPv6"`,
			`7:28: spec.ipFamilies[2]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"`,
			`8:19: spec.ipFamilyPolicy: Unsupported value: "Dual": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"`,
		}},
		{"the second address missing", ips("clusterIP: 10.96.0.1", "ipFamilyPolicy: RequireDualStack"), []string{
			"6:3: spec.clusterIPs: Required value: svcctl needs an address of each IP family of a dual-stack Service to be written here",
		}},
		{"None and more", ips("clusterIP: None", "clusterIPs: [None, 10.96.0.1]", "ipFamilyPolicy: PreferDualStack"), []string{
			`7:15: spec.clusterIPs: Invalid value: ["None","10.96.0.1"]: 'None' must be the first and only value`,
		}},
		{"headless and more than that", ips("type: NodePort", "clusterIP: None"), []string{
			`7:14: spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`,
		}},
		{"ExternalName", serviceYAML("  type: ExternalName\n  externalName: -.example.com\n  clusterIP: 10.96.0.1\n  ipFamilies: [IPv4]\n" +
			"  ipFamilyPolicy: SingleStack"), []string{
			`7:17: spec.externalName: Invalid value: "-.example.com": ` + subdomainWhy,
			"8:14: spec.clusterIPs: Forbidden: may not be set for ExternalName services",
			"9:15: spec.ipFamilies: Forbidden: may not be set for ExternalName services",
			"10:19: spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
		}},
		{"ExternalName without a name", serviceYAML("  type: ExternalName"), []string{"6:3: spec.externalName: Required value"}},
	})
}

func TestLoadBalancerRefused(t *testing.T) {
	const one = "  clusterIP: 10.96.0.1\n  ports: [{port: 80}]\n"
	refuseAll(t, "service default/web", []refusal{
		{"fields of a LoadBalancer", serviceYAML(one + "  allocateLoadBalancerNodePorts: false\n  loadBalancerClass: a/b\n" +
			"  loadBalancerSourceRanges: [10.0.0.0/8]"), []string{
			"8:34: spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
			"9:22: spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
			"10:29: spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
		}},
		{"ranges", serviceYAML(one + "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.1/8, 10.0.0.0, 10.0.0.0/08, '::ffff:10.0.0.0/104']"), []string{
			`9:30: spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length`,
			`9:42: spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)`,
			`9:52: spec.LoadBalancerSourceRanges[2]: Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length`,
			`9:65: spec.LoadBalancerSourceRanges[3]: Invalid value: "::ffff:10.0.0.0/104": must not have an IPv4-mapped IPv6 address`,
		}},
		{"class", serviceYAML(one + "  type: LoadBalancer\n  loadBalancerClass: '-'"), []string{
			`9:22: spec.loadBalancerClass: Invalid value: "-": ` + qualifiedWhy,
		}},
		{"loadBalancerIP", serviceYAML(one + "  type: LoadBalancer\n  loadBalancerIP: lb"), []string{
			`9:19: spec.loadBalancerIP: Invalid value: "lb": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
		}},
		{"ingress", serviceYAML(one + "  type: LoadBalancer\nstatus:\n  loadBalancer:\n    ingress:\n    - {ip: 1.2.3}\n" +
			"    - {ip: 1.2.3.4, ipMode: Nat}\n    - {hostname: 1.2.3.4}\n    - {hostname: A, ipMode: VIP}\n    - {ip: 127.0.0.1}"), []string{
			`12:12: status.loadBalancer.ingress[0].ip: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
			`13:29: status.loadBalancer.ingress[1].ipMode: Unsupported value: "Nat": supported values: "Proxy", "VIP"`,
			`14:18: status.loadBalancer.ingress[2].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address`,
			`15:18: status.loadBalancer.ingress[3].hostname: Invalid value: "A": ` + subdomainWhy,
			"15:29: status.loadBalancer.ingress[3].ipMode: Forbidden: may not be specified when `ip` is not set",
			`16:12: status.loadBalancer.ingress[4].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`,
		}},
	})
}

// sliceYAML writes an EndpointSlice whose fields begin on line 5.
func sliceYAML(fields string) string {
	return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n" +
		"metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n\n" + fields
}

func TestSliceRefused(t *testing.T) {
	manyHints := "[" + strings.Repeat("{name: a},", 9) + "]"
	refuseAll(t, "endpointslice default/web-1", []refusal{
		{"addressType", sliceYAML("addressType: IPv5\nendpoints: []"), []string{
			`5:14: addressType: Unsupported value: "IPv5": supported values: "FQDN", "IPv4", "IPv6"`,
		}},
		{"no addressType", sliceYAML("endpoints: []"), []string{"1:1: addressType: Required value"}},
		{"addresses", sliceYAML("addressType: IPv4\nendpoints:\n- addresses: []\n- addresses: ['2001:db8::1']\n- addresses: [10.0.0.256]\n" +
			"- addresses: [127.0.0.1]\n- addresses: [010.0.0.1]\n- addresses: [10.0.0.1, 0.0.0.0]"), []string{
			"7:14: endpoints[0].addresses: Required value: must contain at least 1 address",
			`8:15: endpoints[1].addresses: Invalid value: "2001:db8::1": must be an IPv4 address`,
			`9:15: endpoints[2].addresses[0]: Invalid value: "10.0.0.256": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
			`10:15: endpoints[3].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`,
			`11:15: endpoints[4].addresses[0]: Invalid value: "010.0.0.1": must not have leading 0s`,
			`12:25: endpoints[5].addresses[1]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)`,
		}},
		{"IPv6 addresses", sliceYAML("addressType: IPv6\nendpoints:\n- addresses: ['2001:DB8::1']\n- addresses: ['::ffff:10.0.0.1']\n- addresses: [10.0.0.1]"), []string{
			`7:15: endpoints[0].addresses[0]: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")`,
			`8:15: endpoints[1].addresses[0]: Invalid value: "::ffff:10.0.0.1": must not be an IPv4-mapped IPv6 address`,
			`9:15: endpoints[2].addresses: Invalid value: "10.0.0.1": must be an IPv6 address`,
		}},
		{"names", sliceYAML("addressType: IPv4\nendpoints:\n- addresses: [10.0.0.1]\n  hostname: A\n  nodeName: b_c"), []string{
			`8:13: endpoints[0].hostname: Invalid value: "A": ` + labelWhy,
			`9:13: endpoints[0].nodeName: Invalid value: "b_c": ` + subdomainWhy,
		}},
		{"hints", sliceYAML("addressType: IPv4\nendpoints:\n- addresses: [10.0.0.1]\n  hints: {forNodes: [{name: a}, {name: a}], forZones: [{name: a b}]}\n" +
			"- addresses: [10.0.0.2]\n  hints:\n    forZones: " + manyHints), []string{
			`8:40: endpoints[0].hints.forNodes[1].name: Duplicate value: "a"`,
			`8:63: endpoints[0].hints.forZones[0].name: Invalid value: "a b": ` + labelValueWhy,
			"11:15: endpoints[1].hints.forZones: Too many: 9: must have at most 8 items",
		}},
		{"ports", sliceYAML("addressType: IPv4\nports:\n- {name: a, port: 70000}\n- {name: a, port: -5, protocol: X}\n- {name: A_, port: 1}\nendpoints: []"), []string{
			"7:19: ports[0].port: Invalid value: 70000: " + portRange,
			`8:10: ports[1].name: Duplicate value: "a"`,
			"8:19: ports[1].port: Invalid value: -5: " + portRange,
			`8:33: ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"`,
			`9:10: ports[2].name: Invalid value: "A_": ` + labelWhy,
		}},
		{"endpoints", sliceYAML("addressType: IPv4\nendpoints:\n" + strings.Repeat("- addresses: [10.0.0.1]\n", 1001)), []string{
			"7:1: endpoints: Too many: 1001: must have at most 1000 items",
		}},
	})
}

func TestEndpointsRefused(t *testing.T) {
	refuseAll(t, "endpoints default/web", []refusal{{
		"everything", "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets:\n- ports: [{port: 0}]\n" +
			"- addresses: [{ip: 127.0.0.1, hostname: A}, {ip: x}]\n  notReadyAddresses: [{ip: '::', nodeName: a_b}]\n" +
			"  ports: [{port: 1}, {name: a, port: 2, protocol: ICMP}]",
		[]string{
			"5:3: subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
			"5:18: subsets[0].ports[0].port: Invalid value: 0: " + portRange,
			`6:20: subsets[1].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`,
			`6:41: subsets[1].addresses[0].hostname: Invalid value: "A": ` + labelWhy,
			`6:50: subsets[1].addresses[1].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
			`7:28: subsets[1].notReadyAddresses[0].ip: Invalid value: "::": may not be unspecified (::)`,
			`7:44: subsets[1].notReadyAddresses[0].nodeName: Invalid value: "a_b": ` + subdomainWhy,
			"8:11: subsets[1].ports[0].name: Required value",
			`8:51: subsets[1].ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`,
		},
	}})
}

func TestPodRefused(t *testing.T) {
	refuseAll(t, "pod default/web-0", []refusal{{
		"everything", `apiVersion: v1
kind: Pod
metadata: {name: web-0, labels: {app: a b}}
spec:
  nodeName: a_b
  hostname: A.b
  subdomain: C
  containers:
  - ports: [{name: UP, containerPort: 0}, {containerPort: 70000, protocol: Z}]
status:
  podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}, {ip: x}]
`,
		[]string{
			`3:39: metadata.labels: Invalid value: "a b": ` + labelValueWhy,
			`5:13: spec.nodeName: Invalid value: "a_b": ` + subdomainWhy,
			`6:13: spec.hostname: Invalid value: "A.b": ` + labelWhy,
			`7:14: spec.subdomain: Invalid value: "C": ` + labelWhy,
			`9:20: spec.containers[0].ports[0].name: Invalid value: "UP": must contain at least one letter (a-z)`,
			`9:20: spec.containers[0].ports[0].name: Invalid value: "UP": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`,
			"9:39: spec.containers[0].ports[0].containerPort: Required value",
			"9:59: spec.containers[0].ports[1].containerPort: Invalid value: 70000: " + portRange,
			`9:76: spec.containers[0].ports[1].protocol: Unsupported value: "Z": supported values: "SCTP", "TCP", "UDP"`,
			`11:11: status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"},{"ip":"x"}]: may specify no more than one IP for each IP family`,
			`11:44: status.podIPs[2]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
		},
	}})
}
