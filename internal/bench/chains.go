package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
	"github.com/svcctl/svcctl/render"
)

// chainsAtOnce is how many Services a transaction takes: the kernel looks for the name of every anonymous map among all
// others of the transaction and the table, and with more it takes longer still.
const chainsAtOnce = 1000

// loadChains writes the same Services in the layout of kube-proxy: a chain with an anonymous map for each, in the frame
// of hooks that kube-proxy has. It is loaded by nft, part by part.
func loadChains(ctx context.Context, ns *netlab.Namespace, w workload.Workload) error {
	family, addr, cidr := "ip", "ipv4_addr", compileConfig().ServiceCIDRs[0]
	if w.Stack == workload.IPv6 {
		family, addr, cidr = "ip6", "ipv6_addr", compileConfig().ServiceCIDRs[1]
	}
	frame := strings.NewReplacer("FAMILY", family, "ADDR", addr, "CIDR", cidr.String()).Replace(chainsFrame)
	if _, err := ns.Run(ctx, frame, "nft", "-f", "-"); err != nil {
		return err
	}
	for first := 0; first < w.Services; first += chainsAtOnce {
		part := chainsPart(w, family, addr, first, min(first+chainsAtOnce, w.Services))
		if _, err := ns.Run(ctx, part, "nft", "-f", "-"); err != nil {
			return err
		}
	}
	return nil
}

// chainsFrame is what does not depend on the Services: what kube-proxy's nftables mode has for ClusterIPs without a
// cluster CIDR, under its own names.
const chainsFrame = `
table FAMILY per-service {
	set cluster-ips { type ADDR; }
	set service-cidrs { type ADDR; flags interval; elements = { CIDR }; }
	map service-ips { type ADDR . inet_proto . inet_service : verdict; }
	map no-endpoint-services { type ADDR . inet_proto . inet_service : verdict; }
	map firewall-ips { type ADDR . inet_proto . inet_service : verdict; }
	map service-nodeports { type inet_proto . inet_service : verdict; }
	set nodeport-ips { type ADDR; flags interval; }
	chain services {
		FAMILY daddr . meta l4proto . th dport vmap @service-ips
		FAMILY daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
	}
	chain masquerading {
		meta mark & 0x4000 == 0 return
		meta mark set meta mark ^ 0x4000
		masquerade fully-random
	}
	chain cluster-ips-check {
		FAMILY daddr @cluster-ips reject
		FAMILY daddr @service-cidrs drop
	}
	chain service-endpoints-check { FAMILY daddr . meta l4proto . th dport vmap @no-endpoint-services; }
	chain firewall-check { FAMILY daddr . meta l4proto . th dport vmap @firewall-ips; }
	chain filter-prerouting-pre-dnat { type filter hook prerouting priority -110; ct state new jump firewall-check; }
	chain filter-output-pre-dnat { type filter hook output priority -110; ct state new jump firewall-check; }
	chain filter-input { type filter hook input priority 0; ct state new jump service-endpoints-check; }
	chain filter-forward {
		type filter hook forward priority 0
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}
	chain filter-output {
		type filter hook output priority 0
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}
	chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
	chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
}
`

// chainsPart writes the Services from first up to end.
func chainsPart(w workload.Workload, family, addr string, first, end int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s per-service {\n", family)
	for i := first; i < end; i++ {
		writeServiceChain(&b, w, i)
	}
	fmt.Fprintf(&b, "\tset cluster-ips { type %s; elements = {", addr)
	for i := first; i < end; i++ {
		fmt.Fprintf(&b, " %s,", workload.ClusterIP(w.Stack, i))
	}
	fmt.Fprintf(&b, " } }\n\tmap service-ips { type %s . inet_proto . inet_service : verdict; elements = {", addr)
	for i := first; i < end; i++ {
		fmt.Fprintf(&b, " %s . udp . %d : goto service-%d,", workload.ClusterIP(w.Stack, i), servicePort, i)
	}
	b.WriteString(" } }\n}\n")
	return b.String()
}

// writeServiceChain writes the chain of a Service, with the map of its endpoints.
func writeServiceChain(b *strings.Builder, w workload.Workload, i int) {
	fmt.Fprintf(b, "\tchain service-%d {\n\t\tmeta l4proto udp dnat to numgen random mod %d map {", i, w.Endpoints)
	for k := range w.Endpoints {
		fmt.Fprintf(b, " %d : %s . %d,", k, w.Endpoint(w.Stack, i, k), endpointPort)
	}
	b.WriteString(" }\n\t}\n")
}

// loadChainsInFrame writes the same Services with a chain and an anonymous map each into the frame of svcctl's own hooks:
// the text of the program, with the map of services leading to these chains and the map of endpoints empty.
func loadChainsInFrame(ctx context.Context, ns *netlab.Namespace, w workload.Workload) error {
	rs, err := compileWorkload(w)
	if err != nil {
		return err
	}
	var text writer
	if err := render.NFT(&text, rs); err != nil {
		return err
	}
	family, frame, ok := strings.Cut(string(text), "\ntable ip6 ")
	if w.Stack == workload.IPv6 {
		family = "table ip6 " + frame
	}
	begin, rest, ok2 := strings.Cut(family, "\tmap endpoints {")
	head, elements, ok3 := strings.Cut(rest, "elements = {")
	_, rest, ok4 := strings.Cut(elements, "\n\t\t}\n")
	if !ok || !ok2 || !ok3 || !ok4 {
		return errors.New("the rendered text is not as expected")
	}
	begin, replaced := chainsInServices(begin, w)
	if replaced != w.Services {
		return fmt.Errorf("%d of %d Services found in the rendered text", replaced, w.Services)
	}
	last := strings.LastIndex(rest, "}")
	var chains strings.Builder
	for i := range w.Services {
		writeServiceChain(&chains, w, i)
	}
	_, err = ns.Run(ctx, begin+"\tmap endpoints {"+head+rest[:last]+chains.String()+rest[last:], "nft", "-f", "-")
	return err
}

// chainsInServices has the elements of the map of services lead to a chain for each.
func chainsInServices(text string, w workload.Workload) (changed string, replaced int) {
	chainOf := make(map[string]int, w.Services)
	for i := range w.Services {
		chainOf[workload.ClusterIP(w.Stack, i).String()] = i
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		key, _, found := strings.Cut(line, " : goto random-")
		addr, _, _ := strings.Cut(strings.TrimSpace(key), " . ")
		if i, known := chainOf[addr]; found && known {
			line = fmt.Sprintf("%s : goto service-%d,\n", key, i)
			replaced++
		}
		b.WriteString(line)
	}
	return b.String(), replaced
}
