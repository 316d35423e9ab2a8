package beside

import (
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// Two jails: one as Debian's actions have it, one with its rules where the address that was asked for is still to be seen.
const jails = `[DEFAULT]
backend = polling
maxretry = 3

[sshd]
enabled = false

[web]
enabled = true
filter = web
logpath = /var/log/web.log
port = 80,8080,30080
action = nftables[name=web, port="%(port)s"]

[services]
enabled = true
filter = web
logpath = /var/log/services.log
port = 80,30080
action = nftables[name=services, port="%(port)s", table=f2b-services, chain_hook=prerouting, chain_priority=-150]
`

// fail2ban bans in the input hook, where what was sent to a service comes by only if the endpoint is the node itself, and with
// the endpoint's port. A ban in prerouting bans from services.
func TestFail2ban(t *testing.T) {
	t.Parallel()
	h := newHost(t, "fail2ban")
	h.write("/etc/fail2ban/fail2ban.local", "[Definition]\nallowipv6 = auto\n")
	h.write("/etc/fail2ban/filter.d/web.conf", "[Definition]\nfailregex = failure from <ADDR>\n")
	h.write("/etc/fail2ban/jail.local", jails)
	h.write("/var/log/web.log", "")
	h.write("/var/log/services.log", "")
	h.boot()
	h.apply()
	h.run("systemctl", "start", "fail2ban.service")
	h.until("fail2ban answers", func() bool {
		_, err := h.Run(t.Context(), "", "fail2ban-client", "ping")
		return err == nil
	})
	h.works("started")
	conn := h.connect(web4)

	second := netlab.SecondClientAddr4
	fails := func(log string) {
		t.Helper()
		h.run("sh", "-c", `for n in 1 2 3; do echo "$(date '+%Y-%m-%d %H:%M:%S') failure from `+second.String()+`"; done >> `+log)
	}
	refused := func(to netip.AddrPort) func() bool {
		return func() bool { return h.asks(h.lab.Client, second, to, "refused") == "refused" }
	}
	fails("/var/log/web.log")
	h.until("the first jail bans", refused(direct(h.lab.Node)))
	h.leadsAs("banned in input", h.lab.Client, second, map[netip.AddrPort]string{
		web4: "pod-1", nodePort4: "pod-1", local4: "refused",
	})
	fails("/var/log/services.log")
	h.until("the second jail bans", refused(web4))
	h.leadsAs("banned in prerouting", h.lab.Client, second, map[netip.AddrPort]string{
		web4: "refused", nodePort4: "refused", local4: "refused",
	})
	h.works("another client is banned")

	h.run("fail2ban-client", "reload")
	h.until("reloaded, it bans", refused(web4))
	h.works("reloaded")
	h.verifies("reloaded")
	h.run("fail2ban-client", "set", "services", "unbanip", second.String())
	h.leadsAs("no longer banned", h.lab.Client, second, map[netip.AddrPort]string{web4: "pod-1", nodePort4: "pod-1"})
	h.run("systemctl", "restart", "fail2ban.service")
	h.until("restarted, it bans", refused(direct(h.lab.Node)))
	h.works("restarted")
	h.verifies("restarted")
	conn.goesOn(t, "restarted")
	h.deletes()
}
