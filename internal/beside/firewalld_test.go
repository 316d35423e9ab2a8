package beside

import (
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// firewalld lets through whatever was translated, by whomever: services work, in whatever zone the client is. Its reload,
// restart and stop leave svcctl's rules alone.
func TestFirewalld(t *testing.T) {
	t.Parallel()
	h := newHost(t, "firewalld")
	// What the package's script does: root is asked for no password.
	h.link("org.fedoraproject.FirewallD1.server.policy.choice", "/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1.policy")
	h.boot()
	h.apply()
	h.works("before")

	conn := h.connect(web4)
	keeps := func(when string) {
		t.Helper()
		conn.goesOn(t, when)
		h.works(when)
		h.verifies(when)
		h.leads(when, h.lab.Client, map[netip.AddrPort]string{
			direct(h.lab.Node): "unreachable", direct(h.lab.Pods[0]): "unreachable", direct6(h.lab.Pods[0]): "unreachable",
		})
	}
	h.run("systemctl", "start", "firewalld.service")
	h.run("firewall-cmd", "--state") // returns when its rules are there
	keeps("started")
	h.run("firewall-cmd", "--reload")
	keeps("reloaded")
	h.run("firewall-cmd", "--complete-reload")
	keeps("reloaded completely")
	h.run("systemctl", "restart", "firewalld.service")
	h.run("firewall-cmd", "--state")
	keeps("restarted")

	// A zone does not keep its sources from services; rules before the translation do, and sources that a Service names.
	second := netlab.SecondClientAddr4
	h.run("firewall-cmd", "--zone=drop", "--add-source="+second.String())
	h.leadsAs("in zone drop", h.lab.Client, second, map[netip.AddrPort]string{
		direct(h.lab.Node): "silent", web4: "pod-1", nodePort4: "pod-1", local4: "node",
	})
	h.blocks(second)
	h.leadsAs("dropped in prerouting", h.lab.Client, second, map[netip.AddrPort]string{
		web4: "silent", nodePort4: "silent", local4: "silent",
	})
	h.run("firewall-cmd", "--reload")
	h.leadsAs("dropped in prerouting, after a reload", h.lab.Client, second, map[netip.AddrPort]string{web4: "silent"})
	keeps("with another client dropped")

	h.deletes()
	h.apply()
	h.run("systemctl", "stop", "firewalld.service")
	h.works("stopped")
	h.verifies("stopped")
}
