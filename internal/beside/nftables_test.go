package beside

import (
	"net/netip"
	"strings"
	"testing"
)

// handWritten is what many have in /etc/nftables.conf, with a line where docs/beside.md has one added.
const handWritten = `#!/usr/sbin/nft -f
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif lo accept
		meta l4proto { icmp, ipv6-icmp } accept
		#translated
		tcp dport 22 accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		#translated
	}
}
`

// Rules that let services through, in chains that drop.
const (
	anyTranslated = "ct status dnat accept"
	// The addresses of services and the node ports only, and nobody else's translations.
	onlyServices = "ct status dnat ct original ip daddr 10.96.0.0/12 accept\n" +
		"ct status dnat ct original ip6 daddr fd00:10:96::/112 accept\n" +
		"ct status dnat meta l4proto tcp ct original proto-dst 30000-32767 accept"
	// ownTable is what a configuration begins with that leaves others' tables alone.
	ownTable = "table inet filter\nflush table inet filter"
)

// What a hand-written configuration flushes comes back by verify, and what its chains drop is let through by a line in them:
// no rule elsewhere can.
func TestHandWritten(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	h.boot()
	h.apply()
	h.works("before")
	idle, busy := h.connect(web4), h.connect(web6)
	h.feed(handWritten, "nft", "-f", "-")
	if err := busy.asks(silence); err == nil {
		t.Error("everything was flushed, and nothing stands still")
	}
	if out, err := h.Run(t.Context(), "", "svcctl", "verify"); err == nil || !strings.Contains(out, "svcctl") {
		t.Errorf("everything was flushed, and verify says %v\n%s", err, out)
	}
	h.run("svcctl", "verify", "--repair")
	h.verifies("repaired")
	idle.goesOn(t, "repaired")
	busy.goesOn(t, "repaired")
	h.leads("dropped", h.lab.Client, map[netip.AddrPort]string{
		web4: "silent", web6: "silent", nodePort4: "silent", local4: "silent", local6: "silent",
	})
	h.leads("dropped", h.lab.Node, map[netip.AddrPort]string{web4: "pod-1", web6: "pod-1", nodePort4: "pod-1", local4: "node"})

	// Accepted elsewhere is not accepted there.
	h.feed("table inet early { chain forward { type filter hook forward priority -10; ct status dnat accept; }; }", "nft", "-f", "-")
	h.leads("accepted in another chain", h.lab.Client, map[netip.AddrPort]string{web4: "silent"})

	for _, rule := range []string{anyTranslated, onlyServices} {
		h.feed(strings.ReplaceAll(handWritten, "#translated", rule), "nft", "-f", "-")
		h.run("svcctl", "verify", "--repair")
		h.works(rule)
		h.leads(rule, h.lab.Client, map[netip.AddrPort]string{
			direct(h.lab.Node): "silent", direct(h.lab.Pods[0]): "silent", direct6(h.lab.Pods[0]): "silent",
		})
	}

	// A configuration that flushes its own table only leaves svcctl's alone.
	h.feed(strings.NewReplacer("#translated", anyTranslated, "flush ruleset", ownTable).Replace(handWritten), "nft", "-f", "-")
	h.verifies("its own table only")
	h.works("its own table only")
	h.deletes()
}
