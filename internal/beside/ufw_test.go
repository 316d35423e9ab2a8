package beside

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// ufwTranslated is what is put into before.rules, and with ufw6- into before6.rules.
const ufwTranslated = `-A ufw-before-input -m conntrack --ctstate DNAT -j ACCEPT
-A ufw-before-forward -m conntrack --ctstate DNAT -j ACCEPT
`

// ufw drops what is forwarded and what comes in, translated or not. Two rules for what was translated, or rules for the
// endpoints, let services through; reloads keep them, and ufw goes on with the rest.
func TestUFW(t *testing.T) {
	t.Parallel()
	h := newHost(t, "ufw")
	// What the package's script does.
	h.boot()
	h.run("sh", "-c", "cd /usr/share/ufw && cp iptables/*.rules *.init ufw.conf /etc/ufw && chmod 640 /etc/ufw/*.rules /etc/ufw/*.init")
	h.apply()
	h.works("before")
	h.run("ufw", "--force", "enable")
	h.leads("enabled", h.lab.Client, map[netip.AddrPort]string{
		web4: "silent", web6: "silent", nodePort4: "silent", local4: "silent", local6: "silent",
	})
	h.leads("enabled", h.lab.Node, map[netip.AddrPort]string{web4: "pod-1", web6: "pod-1", nodePort4: "pod-1", local4: "node"})
	h.verifies("enabled")

	// What was translated, and nothing else.
	for file, prefix := range map[string]string{"/etc/ufw/before.rules": "ufw", "/etc/ufw/before6.rules": "ufw6"} {
		rules := h.run("cat", file)
		translated := strings.ReplaceAll(ufwTranslated, "ufw-", prefix+"-")
		before, after, found := strings.Cut(rules, "# don't delete the 'COMMIT' line")
		if !found {
			t.Fatalf("%s is\n%s", file, rules)
		}
		h.write(file, before+translated+"# don't delete the 'COMMIT' line"+after+"\n")
	}
	h.run("ufw", "reload")
	conn := h.connect(web4)
	keeps := func(when string) {
		t.Helper()
		conn.goesOn(t, when)
		h.works(when)
		h.verifies(when)
		h.leads(when, h.lab.Client, map[netip.AddrPort]string{
			direct(h.lab.Node): "silent", direct(h.lab.Pods[0]): "silent", direct6(h.lab.Pods[0]): "silent",
		})
	}
	keeps("translated connections are let through")
	h.run("ufw", "--force", "disable")
	h.works("disabled")
	h.run("ufw", "--force", "enable")
	keeps("enabled again")

	// ufw's own rules are looked at later, so what they deny they deny to others only.
	second := netlab.SecondClientAddr4
	h.run("ufw", "deny", "from", second.String())
	h.leadsAs("denied", h.lab.Client, second, map[netip.AddrPort]string{web4: "pod-1"})
	h.deletes()
}

// The same with ufw's own commands, which open the endpoints to everybody, and where what is denied first is denied.
func TestUFWCommands(t *testing.T) {
	t.Parallel()
	h := newHost(t, "ufw")
	h.boot()
	h.run("sh", "-c", "cd /usr/share/ufw && cp iptables/*.rules *.init ufw.conf /etc/ufw && chmod 640 /etc/ufw/*.rules /etc/ufw/*.init")
	h.apply()
	h.run("ufw", "--force", "enable")
	second := netlab.SecondClientAddr4
	h.run("ufw", "route", "deny", "from", second.String())
	for _, cidr := range []string{"10.1.0.0/16", "fd00:10:1::/48"} {
		h.run("ufw", "route", "allow", "proto", "tcp", "to", cidr, "port", "8080")
	}
	h.run("ufw", "allow", "8080/tcp") // the node's own endpoint
	h.works("endpoints are let through")
	h.leads("endpoints are let through", h.lab.Client, map[netip.AddrPort]string{direct(h.lab.Pods[0]): "pod-1"})
	h.leadsAs("denied", h.lab.Client, second, map[netip.AddrPort]string{web4: "silent", nodePort4: "silent"})
	h.run("ufw", "reload")
	h.works("reloaded")
	h.verifies("reloaded")
}
