package beside

import (
	"net/netip"
	"testing"
)

// What kube-proxy writes in its nftables mode for one service with a cluster IP and a node port, as far as packets are concerned:
// its names, hooks and priorities, its mark, and its check of addresses that nobody has.
const kubeProxyNFT = `
table ip kube-proxy
delete table ip kube-proxy
table ip kube-proxy {
	set cluster-ips { type ipv4_addr; elements = { 10.97.0.1 }; }
	set nodeport-ips { type ipv4_addr; elements = { 192.168.0.1 }; }
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.97.0.1 . tcp . 80 : goto service-EXAMPLE }
	}
	map service-nodeports {
		type inet_proto . inet_service : verdict
		elements = { tcp . 31080 : goto external-EXAMPLE }
	}
	map no-endpoint-services {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.97.0.9 . tcp . 80 : goto reject-chain, 10.112.0.9 . tcp . 80 : goto reject-chain }
	}
	chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
	chain masquerading {
		meta mark and 0x4000 == 0 return
		meta mark set meta mark xor 0x4000
		masquerade fully-random
	}
	chain endpoint-EXAMPLE {
		ip saddr 10.1.2.2 jump mark-for-masquerade
		meta l4proto tcp dnat to 10.1.2.2:8080
	}
	chain service-EXAMPLE {
		ip daddr 10.97.0.1 tcp dport 80 ip saddr != 10.1.0.0/16 jump mark-for-masquerade
		numgen random mod 1 vmap { 0 : goto endpoint-EXAMPLE }
	}
	chain external-EXAMPLE {
		jump mark-for-masquerade
		goto service-EXAMPLE
	}
	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
		ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
	}
	chain cluster-ips-check {
		ip daddr @cluster-ips reject
		ip daddr 10.96.0.0/12 drop
	}
	chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
	chain reject-chain { reject; }
	chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
	chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
	chain filter-forward { type filter hook forward priority 0; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
	chain filter-output { type filter hook output priority 0; ct state new jump service-endpoints-check; ct state new jump cluster-ips-check; }
}
`

// The same in its iptables mode.
const kubeProxyIPTables = `*filter
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A FORWARD -j KUBE-FORWARD
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SEP-EXAMPLE - [0:0]
:KUBE-SVC-EXAMPLE - [0:0]
:KUBE-EXT-EXAMPLE - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SERVICES -d 10.97.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-EXAMPLE
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 31080 -j KUBE-EXT-EXAMPLE
-A KUBE-EXT-EXAMPLE -j KUBE-MARK-MASQ
-A KUBE-EXT-EXAMPLE -j KUBE-SVC-EXAMPLE
-A KUBE-SVC-EXAMPLE ! -s 10.1.0.0/16 -d 10.97.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-EXAMPLE -j KUBE-SEP-EXAMPLE
-A KUBE-SEP-EXAMPLE -s 10.1.2.2/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-EXAMPLE -p tcp -m tcp -j DNAT --to-destination 10.1.2.2:8080
COMMIT
`

// kube-proxy and svcctl serve the addresses of their own, whoever came first, even from one range. Of an address that both
// have, he decides whose chains were made last: the kernel calls them first, of those that have one priority.
func TestKubeProxy(t *testing.T) {
	t.Parallel()
	h := newHost(t, "iptables")
	h.boot()
	kube := map[netip.AddrPort]string{
		netip.MustParseAddrPort("10.97.0.1:80"): "pod-2", netip.MustParseAddrPort("192.168.0.1:31080"): "pod-2",
	}
	both := func(when string) {
		t.Helper()
		h.works(when)
		h.verifies(when)
		h.leads(when, h.lab.Client, kube)
		h.leads(when, h.lab.Pods[0], kube)
		h.leads(when, h.lab.Node, kube)
	}
	load := func() { h.feed(kubeProxyNFT, "nft", "-f", "-") }

	h.apply()
	load()
	both("nftables mode, svcctl first")
	claimed := func(when, endpoint string) {
		t.Helper()
		h.run("nft", "add", "element", "ip", "kube-proxy", "service-ips", "{ 10.96.0.1 . tcp . 80 : goto service-EXAMPLE }")
		h.leads(when, h.lab.Client, map[netip.AddrPort]string{web4: endpoint})
	}
	claimed("both have it, kube-proxy came last", "pod-2")
	load()
	h.deletes()
	h.apply()
	both("nftables mode, kube-proxy first")
	// Without endpoints, in svcctl's range and outside of it.
	h.leads("nftables mode, kube-proxy first", h.lab.Client, map[netip.AddrPort]string{
		netip.MustParseAddrPort("10.97.0.9:80"): "silent", netip.MustParseAddrPort("10.112.0.9:80"): "refused",
	})
	load()
	h.deletes()
	h.apply()
	claimed("both have it, svcctl came last", "pod-1")
	h.run("nft", "delete", "table", "ip", "kube-proxy")

	h.feed(kubeProxyIPTables, "iptables-restore", "--noflush")
	both("iptables mode, svcctl first")
	h.deletes()
	h.apply()
	both("iptables mode, kube-proxy first")
}
