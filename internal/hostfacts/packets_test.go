package hostfacts

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/preflight"
)

// Every test here says of a fault of a host that it is found, and proves with packets that it is one: with the fault traffic
// fails, and what the finding says is to be done mends it.

func TestNothingWrong(t *testing.T) {
	h := start(t)
	h.apply()
	h.expect(h.Client, service, "pod-1")
	h.expect(h.Client, atNode, "pod-1")
	h.expect(h.Node, service, "pod-1")
	for _, f := range h.judge(false) {
		if f.Answer != preflight.Yes || f.Level != preflight.OK {
			t.Errorf("got %+v", f)
		}
	}
}

func TestForwardingIsOff(t *testing.T) {
	h := start(t)
	h.apply()
	h.sysctl("ipv4/ip_forward", "0")
	h.expect(h.Client, service, "silent")
	h.expect(h.Node, service, "pod-1")
	f := h.finding(preflight.ForwardIP, preflight.Problem)
	remedy, _, _ := strings.Cut(f.Remedy, ",")
	if remedy != "sysctl -w net.ipv4.ip_forward=1" {
		t.Errorf("to do: %s", f.Remedy)
	}
	h.sysctl("ipv4/ip_forward", "1")
	h.expect(h.Client, service, "pod-1")
	h.well(preflight.ForwardIP)

	// The interface by which a packet comes is what counts.
	h.sysctl("ipv4/conf/client/forwarding", "0")
	h.expect(h.Client, service, "silent")
	h.finding(preflight.ForwardIP, preflight.Warning)
}

// Where every endpoint is on the host itself, nothing is forwarded.
func TestForwardingIsNotNeeded(t *testing.T) {
	h := start(t)
	local := netip.MustParseAddr("10.1.9.9")
	if err := h.Node.AddAddr(local); err != nil {
		t.Fatal(err)
	}
	if err := h.Node.Serve(t.Context(), netlab.TCP, netip.AddrPortFrom(local, endpointPort)); err != nil {
		t.Fatal(err)
	}
	h.want(local.String())
	h.apply()
	h.sysctl("ipv4/ip_forward", "0")
	h.expect(h.Client, service, "node")
	h.well(preflight.ForwardIP)
}

func TestNoRouteToServices(t *testing.T) {
	h := start(t)
	h.apply()
	h.run("ip route del default")
	h.expect(h.Node, service, "unreachable")
	h.expect(h.Client, service, "pod-1")
	f := h.finding(preflight.ServiceRoute, preflight.Problem)
	h.run(f.Remedy)
	h.expect(h.Node, service, "pod-1")
	h.well(preflight.ServiceRoute)
}

func TestNoRouteToEndpoints(t *testing.T) {
	h := start(t)
	h.apply()
	h.run("ip route replace unreachable 10.1.1.2/32")
	h.expect(h.Client, service, "unreachable")
	h.finding(preflight.EndpointRoute, preflight.Problem)
	h.run("ip route replace 10.1.1.2/32 dev pod-1")
	h.expect(h.Client, service, "pod-1")
	h.well(preflight.EndpointRoute)
}

func TestListeningSocketOnNodePort(t *testing.T) {
	for _, addr := range []string{"0.0.0.0", netlab.NodeAddr4.String(), "::"} {
		t.Run(addr, func(t *testing.T) {
			h := start(t)
			listener, err := h.Node.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(addr), nodePort))
			if err != nil {
				t.Fatal(err)
			}
			accepted := make(chan struct{}, 10)
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_ = conn.Close()
					accepted <- struct{}{}
				}
			}()
			conn, err := h.Client.DialContext(t.Context(), "tcp", atNode.String())
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			<-accepted // the program is reached
			h.finding(preflight.Listening, preflight.Problem)
			h.apply()
			h.expect(h.Client, atNode, "pod-1")
			if len(accepted) > 0 {
				t.Error("the program is still reached")
			}
			_ = listener.Close()
			h.well(preflight.Listening)
		})
	}
}

// Node ports are not served on loopback, so that a program that listens there keeps its port.
func TestListeningSocketOnLoopback(t *testing.T) {
	h := start(t)
	local := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), nodePort)
	if err := h.Node.Serve(t.Context(), netlab.TCP, local); err != nil {
		t.Fatal(err)
	}
	h.apply()
	h.expect(h.Node, local, "node")
	h.expect(h.Client, atNode, "pod-1")
	h.well(preflight.Listening)
}

// An external IP that is the host's own address takes the port from the host's own program: one may lock oneself out.
func TestListeningSocketOnExternalIP(t *testing.T) {
	h := start(t, "externalIPs: ["+netlab.NodeAddr4.String()+"]")
	own := netip.AddrPortFrom(netlab.NodeAddr4, 80)
	if err := h.Node.Serve(t.Context(), netlab.TCP, own); err != nil {
		t.Fatal(err)
	}
	h.expect(h.Client, own, "node")
	h.finding(preflight.Listening, preflight.Problem)
	h.apply()
	h.expect(h.Client, own, "pod-1")
}

func TestLocalPortRange(t *testing.T) {
	h := start(t)
	h.apply()
	h.sysctl("ipv4/ip_local_port_range", strconv.Itoa(nodePort)+" "+strconv.Itoa(nodePort+1))
	f := h.finding(preflight.LocalPort, preflight.Warning)
	// A program that asks for any port gets one of the two.
	var ports []uint16
	for range 2 {
		l, err := h.Node.Listen(t.Context(), netip.AddrPortFrom(netlab.NodeAddr4, 0))
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, netip.MustParseAddrPort(l.Addr().String()).Port())
		defer l.Close()
	}
	if ports[0] != nodePort && ports[1] != nodePort {
		t.Errorf("the kernel gave %v, and never the node port", ports)
	}
	h.expect(h.Client, atNode, "pod-1") // and not that program
	value, _, _ := strings.Cut(strings.TrimPrefix(f.Remedy, "sysctl -w net.ipv4.ip_local_reserved_ports="), ", ")
	h.sysctl("ipv4/ip_local_reserved_ports", value)
	h.content(preflight.LocalPort)
}

// content is well, where something else may be wrong.
func (h *host) content(check preflight.Check) {
	h.t.Helper()
	for _, f := range h.judge(false) {
		if f.Check == check && f.Answer != preflight.Yes {
			h.t.Errorf("got %+v", f)
		}
	}
}

func TestForwardPolicyDrop(t *testing.T) {
	for _, tt := range []struct {
		name, ruleset string
		level         preflight.Level
		client        string
	}{
		{"policy", `table inet fw { chain forward { type filter hook forward priority 10; policy drop; ct state established,related accept; }; }`, preflight.Problem, "silent"},
		{"first", `table ip fw { chain forward { type filter hook forward priority -200; policy drop; }; }`, preflight.Problem, "silent"},
		{"last rule", `table inet fw { chain forward { type filter hook forward priority 0; ct state vmap { established : accept, invalid : drop }; iifname "lo" accept; reject; }; }`, preflight.Problem, "refused"},
		{"other port", `table ip fw { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; tcp dport { 22, 9000-9999 } accept; ip daddr 10.1.2.0/24 accept; }; }`, preflight.Problem, "silent"},
		{"other interface", `table ip fw { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; iifname { "pod-1", "pod-2" } accept; }; }`, preflight.Problem, "silent"},
		{"jump", `table ip fw { chain zone { oifname "pod-2" accept; drop; }; chain forward { type filter hook forward priority 0; ct state established accept; jump zone; accept; }; }`, preflight.Problem, "silent"},
		{"maybe", `table ip fw { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; ip saddr 192.168.0.3 accept; }; }`, preflight.Warning, "silent"},
		{"translated", `table inet fw { chain forward { type filter hook forward priority 0; ct status dnat accept; reject; }; }`, preflight.OK, "pod-1"},
		{"port", `table inet fw { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; meta l4proto tcp th dport { 22, 8000-8999 } accept; }; }`, preflight.OK, "pod-1"},
		{"network", `table inet fw { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; ip daddr 10.1.0.0/16 accept; }; }`, preflight.OK, "pod-1"},
		{"banned", `table ip fw { set banned { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }; chain forward { type filter hook forward priority 0; ip saddr @banned drop; }; }`, preflight.OK, "pod-1"},
		{"limited", `table ip fw { chain forward { type filter hook forward priority 0; ct state new limit rate over 1000/second drop; meta mark set 7 counter; }; }`, preflight.OK, "pod-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := start(t)
			h.apply()
			h.load(tt.ruleset)
			h.expect(h.Client, service, tt.client)
			if tt.level == preflight.OK {
				h.well(preflight.Firewall)
				return
			}
			f := h.finding(preflight.Firewall, tt.level)
			remedy, _, _ := strings.Cut(f.Remedy, ", if")
			h.run(remedy)
			h.expect(h.Client, service, "pod-1")
			h.well(preflight.Firewall)
		})
	}
}

func (h *host) load(ruleset string) {
	h.t.Helper()
	if _, err := h.Node.Run(h.t.Context(), ruleset, "nft", "-f", "-"); err != nil {
		h.t.Fatal(err)
	}
}

// What the node itself sends, and what ends on it, has hooks of its own.
func TestOutputAndInputPolicyDrop(t *testing.T) {
	h := start(t)
	h.apply()
	h.load(`table ip fw { chain out { type filter hook output priority 0; policy drop; ct state established accept; oifname "lo" accept; }; }`)
	h.expect(h.Node, service, "silent")
	h.expect(h.Client, service, "pod-1")
	f := h.finding(preflight.Firewall, preflight.Problem)
	h.run(f.Remedy)
	h.expect(h.Node, service, "pod-1")
	h.well(preflight.Firewall)
}

func TestInputPolicyDrop(t *testing.T) {
	h := start(t)
	local := netip.MustParseAddr("10.1.9.9")
	if err := h.Node.AddAddr(local); err != nil {
		t.Fatal(err)
	}
	if err := h.Node.Serve(t.Context(), netlab.TCP, netip.AddrPortFrom(local, endpointPort)); err != nil {
		t.Fatal(err)
	}
	h.want(local.String())
	h.apply()
	h.load(`table inet fw { chain in { type filter hook input priority 0; policy drop; ct state established,related accept; tcp dport 22 accept; }; }`)
	h.expect(h.Client, service, "silent")
	f := h.finding(preflight.Firewall, preflight.Problem)
	h.run(f.Remedy)
	h.expect(h.Client, service, "node")
	h.well(preflight.Firewall)
}

// Before the translation a packet has the service address, and what is no connection is not translated.
func TestRulesBeforeTheTranslation(t *testing.T) {
	for _, tt := range []struct{ name, rule, client string }{
		{"drop", `ip daddr 10.96.0.0/16 drop`, "silent"},
		{"no connection", `notrack`, "silent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := start(t)
			h.apply()
			h.load(`table ip raw { chain pre { type filter hook prerouting priority -300; ` + tt.rule + `; }; }`)
			h.expect(h.Client, service, tt.client)
			h.finding(preflight.Firewall, preflight.Problem)
			h.run("nft delete table ip raw")
			h.expect(h.Client, service, "pod-1")
			h.well(preflight.Firewall)
		})
	}
}

// What docker makes with iptables: the port is published to a container, and whatever is forwarded and not its own is dropped.
func TestDocker(t *testing.T) {
	h := start(t)
	h.apply()
	h.run(`iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A DOCKER ! -i pod-2 -p tcp -m tcp --dport ` + strconv.Itoa(nodePort) + ` -j DNAT --to-destination 10.1.2.2:8080`)
	// Of two chains with one priority the kernel calls the newer one first.
	h.expect(h.Client, atNode, "pod-2")
	h.expect(h.Client, service, "pod-1")
	f := h.finding(preflight.OtherOwner, preflight.Problem)
	if !strings.Contains(f.Message, "(docker)") || !strings.Contains(f.Message, ":"+strconv.Itoa(nodePort)+"/tcp") {
		t.Errorf("got %s", f.Message)
	}
	h.run("iptables -t nat -F DOCKER")
	h.expect(h.Client, atNode, "pod-1")
	h.well(preflight.OtherOwner)

	h.run(`iptables -N DOCKER-USER
iptables -A DOCKER-USER -j RETURN
iptables -P FORWARD DROP
iptables -A FORWARD -j DOCKER-USER
iptables -A FORWARD -o pod-2 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A FORWARD -i pod-2 ! -o pod-2 -j ACCEPT`)
	h.expect(h.Client, service, "silent")
	// From the bridge of docker it is accepted: what is told is that of all others.
	f = h.finding(preflight.Firewall, preflight.Problem)
	if !strings.Contains(f.Message, "what comes in by client") {
		t.Errorf("got %s", f.Message)
	}
	h.run(f.Remedy)
	h.expect(h.Client, service, "pod-1")
	h.well(preflight.Firewall)
}

// A table like kube-proxy's has the addresses in a map.
func TestKubeProxy(t *testing.T) {
	h := start(t)
	h.apply()
	h.load(`table ip kube-proxy {
	map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
	map service-nodeports { type inet_proto . inet_service : verdict; }
	chain service-web { meta l4proto tcp dnat to 10.1.2.2:8080; }
	chain nat-prerouting { type nat hook prerouting priority -100; ip daddr . meta l4proto . th dport vmap @service-ips; }
}
add element ip kube-proxy service-ips { 10.96.0.1 . tcp . 80 : goto service-web, 10.96.0.2 . tcp . 80 : goto service-web }`)
	h.expect(h.Client, service, "pod-2")
	f := h.finding(preflight.OtherOwner, preflight.Problem)
	if !strings.Contains(f.Message, "(kube-proxy)") || !strings.Contains(f.Message, service.String()) {
		t.Errorf("got %s", f.Message)
	}
	h.run("nft delete element ip kube-proxy service-ips '{ 10.96.0.1 . tcp . 80 }'")
	h.expect(h.Client, service, "pod-1")
	h.well(preflight.OtherOwner)
	h.run("nft add element ip kube-proxy service-nodeports '{ tcp . 30080 : goto service-web }'")
	h.finding(preflight.OtherOwner, preflight.Problem)
}

// A transparent proxy takes every connection to a port.
func TestRedirect(t *testing.T) {
	h := start(t)
	h.load(`table inet proxy { chain pre { type nat hook prerouting priority -101; tcp dport 80 redirect to :3128; }; }`)
	h.apply()
	h.expect(h.Client, service, "refused")
	h.finding(preflight.OtherOwner, preflight.Problem)
	h.run("nft delete table inet proxy")
	h.expect(h.Client, service, "pod-1")
	h.well(preflight.OtherOwner)
}

func TestBoundClusterIP(t *testing.T) {
	h := start(t)
	h.run("ip link add kube-ipvs0 type bridge; ip address add 10.96.0.1/32 dev kube-ipvs0")
	h.apply()
	h.expect(h.Client, service, "pod-1")
	h.expect(h.Node, service, "pod-1")
	f := h.finding(preflight.BoundAddress, preflight.Warning)
	if !strings.Contains(f.Message, "IPVS") {
		t.Errorf("got %s", f.Message)
	}
	h.run("ip link del kube-ipvs0")
	h.well(preflight.BoundAddress)
}

// Two pods on one bridge: the answer of one to the other goes past the host, unless the bridge hands it to the rules.
func TestBridge(t *testing.T) {
	h := start(t)
	if _, err := os.Stat("/proc/sys/net/bridge"); err != nil {
		t.Skipf("no br_netfilter: %v", err)
	}
	h.run("ip link add br0 type bridge; ip address add 10.1.50.1/24 dev br0; ip link set br0 up")
	for i, pod := range h.Pods {
		n := strconv.Itoa(i + 1)
		h.run("ip link add b" + n + " type veth peer name eth1 netns " + pod.Path() + "; ip link set b" + n + " master br0 up")
		if _, err := pod.Run(t.Context(), "", "sh", "-ec", "ip address add 10.1.50.1"+n+"/24 dev eth1; ip link set eth1 up; "+
			"ip route add 10.96.0.0/16 via 10.1.50.1"); err != nil {
			t.Fatal(err)
		}
		if err := pod.Serve(t.Context(), netlab.TCP, netip.MustParseAddrPort("10.1.50.1"+n+":8080")); err != nil {
			t.Fatal(err)
		}
	}
	h.want("10.1.50.11")
	h.apply()
	h.sysctl("bridge/bridge-nf-call-iptables", "0")
	h.expect(h.Client, service, "pod-1")
	h.expect(h.Pods[1], service, "silent")
	h.finding(preflight.BridgeFilter, preflight.Problem)
	h.sysctl("bridge/bridge-nf-call-iptables", "1")
	h.expect(h.Pods[1], service, "pod-1")
	h.well(preflight.BridgeFilter)
	// One bridge alone can do it, too, and so does masquerading.
	h.sysctl("bridge/bridge-nf-call-iptables", "0")
	h.run("ip link set br0 type bridge nf_call_iptables 1")
	h.expect(h.Pods[1], service, "pod-1")
	h.content(preflight.BridgeFilter)
	h.run("ip link set br0 type bridge nf_call_iptables 0")
	h.ask.MasqueradeAll = true
	h.apply()
	h.expect(h.Pods[1], service, "pod-1")
	h.content(preflight.BridgeFilter)
}

// A client whose packets come by one interface and whose answers leave by another.
func TestStrictReversePath(t *testing.T) {
	h := start(t)
	h.run("ip link add second type veth peer name eth1 netns " + h.Client.Path() + "; ip address add 192.168.9.1/24 dev second; " +
		"ip link set second up; ip route add default via 192.168.9.2 metric 10; ip route add 172.20.0.0/16 via 192.168.9.2")
	if _, err := h.Client.Run(t.Context(), "", "sh", "-ec", "ip address add 192.168.9.2/24 dev eth1; ip link set eth1 up; "+
		"ip address add 172.20.0.1/32 dev lo"); err != nil {
		t.Fatal(err)
	}
	h.apply()
	from := func(want string) {
		t.Helper()
		a := h.Client.Ask(t.Context(), netlab.Request{
			Protocol: netlab.TCP, To: service, From: netip.MustParseAddr("172.20.0.1"), Patience: silence,
		})
		got := a.Outcome.String()
		if a.Outcome == netlab.Answered {
			got = a.Endpoint
		}
		if got != want {
			t.Errorf("the client asks: %s, want %s", got, want)
		}
	}
	from("pod-1") // and the node is a known neighbour: the check is one of ARP, too
	h.sysctl("ipv4/conf/client/rp_filter", "1")
	from("silent")
	f := h.findingOf(preflight.ReverseFilter)
	if f.Level != preflight.Warning || !strings.Contains(f.Message, "default routes lead out by client, second") {
		t.Errorf("got %+v", f)
	}
	h.sysctl("ipv4/conf/client/rp_filter", "2")
	from("pod-1")
	h.well(preflight.ReverseFilter)
}

func (h *host) findingOf(check preflight.Check) preflight.Finding {
	h.t.Helper()
	for _, f := range h.judge(false) {
		if f.Check == check {
			return f
		}
	}
	h.t.Fatalf("%s did not look", check)
	return preflight.Finding{}
}
