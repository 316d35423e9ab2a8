package beside

import (
	"net/netip"
	"strings"
	"testing"
)

// iptablesTranslated lets services through where FORWARD drops.
const iptablesTranslated = "-I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"

// iptables, which writes nf_tables by now, has tables of its own; what replaces or flushes them leaves svcctl's alone.
func TestIPTables(t *testing.T) {
	t.Parallel()
	h := newHost(t, "iptables")
	h.boot()
	h.apply()
	for _, command := range []string{"iptables", "ip6tables"} {
		h.run(command, "-P", "FORWARD", "DROP")
		h.run(command, "-A", "FORWARD", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
	}
	h.leads("dropped", h.lab.Client, map[netip.AddrPort]string{web4: "silent", web6: "silent", nodePort4: "silent", local4: "node"})
	for _, command := range []string{"iptables", "ip6tables"} {
		h.run(append([]string{command}, strings.Fields(iptablesTranslated)...)...)
	}
	h.works("let through")
	h.leads("let through", h.lab.Client, map[netip.AddrPort]string{direct(h.lab.Pods[0]): "silent"})
	saved := h.run("iptables-save")
	h.feed(saved+"\n", "iptables-restore")
	h.works("restored")
	h.verifies("restored")
	h.deletes()
	h.apply()
	for _, command := range []string{"iptables", "ip6tables"} {
		h.run(command, "-P", "FORWARD", "ACCEPT")
		h.run(command, "-F")
		h.run(command, "-t", "nat", "-F")
	}
	h.works("flushed")
	h.verifies("flushed")
}
