package systemd

import (
	"strings"
	"testing"
)

// unconfirmed gives the units that wait to undo a change, or have done so.
func (h *host) unconfirmed() string {
	h.t.Helper()
	return h.run("systemctl", "list-units", "svcctl-unconfirmed-*", "--all", "--plain", "--no-legend")
}

// A change that is to be confirmed is undone by a timer of systemd.
func TestConfirm(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.write("/root/one.yaml", manifests(1))
	h.write("/root/two.yaml", manifests(2))
	h.boot()
	h.run("svcctl", "apply", "-f", "/root/one.yaml")
	h.leads("pod-1")

	// Whoever made the change is killed with everything that was started from his session, before it is undone.
	h.run("systemd-run", "--quiet", "--unit=session", "--property=KillMode=control-group",
		"sh", "-c", "svcctl apply -f /root/two.yaml --confirm=3s && touch /root/applied; exec sleep 1000")
	h.until("the session applies", func() bool {
		_, err := h.Run(t.Context(), "", "test", "-e", "/root/applied")
		return err == nil
	})
	h.run("systemctl", "kill", "--signal=KILL", "session.service")
	h.leads("pod-2")
	if got := h.unconfirmed(); strings.Count(got, ".timer ") != 1 || !strings.Contains(got, "waiting Undo an unconfirmed svcctl apply") {
		t.Errorf("units that wait: %q, want one timer", got)
	}
	if got := h.run("svcctl", "status"); !strings.Contains(got, `Unconfirmed: until `) {
		t.Errorf("status says\n%s", got)
	}
	h.until("the change is undone", func() bool { return h.asks(service) == "pod-1" })
	h.until("no unit is left", func() bool { return h.unconfirmed() == "" })
	if got := h.journal("svcctl-unconfirmed-*.service"); !strings.Contains(got, "\nback to state 1, which was applied ") ||
		!strings.Contains(got, "\nservice/web configured\n") {
		t.Errorf("the journal says\n%s", got)
	}

	// In another network namespace too.
	h.run("ip", "netns", "add", "blue")
	list := []string{"ip", "netns", "exec", "blue", "nft", "list", "tables"}
	h.run("svcctl", "apply", "--netns=blue", "-f", "/root/one.yaml", "--confirm=1s")
	if got := h.run(list...); !strings.Contains(got, "table ip svcctl") {
		t.Errorf("in the namespace there is %q", got)
	}
	h.until("the change is undone", func() bool { return h.run(list...) == "" })
	h.until("no unit is left", func() bool { return h.unconfirmed() == "" })
	h.leads("pod-1")

	// A path that leads every process to a namespace of its own is none for a timer: a process waits then.
	h.run("ip", "netns", "exec", "blue", "svcctl", "apply", "--netns=/proc/self/ns/net", "-f", "/root/one.yaml", "--confirm=2s")
	if got := h.unconfirmed(); got != "" {
		t.Errorf("there is %s", got)
	}
	if got := h.run(list...); !strings.Contains(got, "table ip svcctl") {
		t.Errorf("in the namespace there is %q", got)
	}
	h.until("the change is undone", func() bool { return h.run(list...) == "" })
	h.leads("pod-1")

	// Confirmed, it stays, and the timer is gone at once.
	h.run("svcctl", "apply", "-f", "/root/two.yaml", "--confirm=2s")
	if got := h.run("svcctl", "confirm"); got != "confirmed" {
		t.Errorf("confirm says %q", got)
	}
	if got := h.unconfirmed(); got != "" {
		t.Errorf("confirmed, and there still is %s", got)
	}
	h.run("sleep", "2.5")
	h.leads("pod-2")

	// Undone by hand: the same.
	h.run("svcctl", "apply", "-f", "/root/one.yaml", "--confirm=60s")
	h.run("svcctl", "rollback")
	h.leads("pod-2")
	if got := h.unconfirmed(); got != "" {
		t.Errorf("rolled back, and there still is %s", got)
	}
	if got := h.run("systemctl", "list-units", "svcctl*", "--failed", "--plain", "--no-legend"); got != "" {
		t.Errorf("failed units: %s", got)
	}
}

// A reboot ends the waiting, for the timer does not outlive it, and neither do the rules: the apply at boot is not refused as
// every other one was before.
func TestConfirmAndReboot(t *testing.T) {
	t.Parallel()
	h := newHostWithUnits(t)
	h.write("/root/two.yaml", manifests(2))
	h.enable("svcctl.service")
	h.boot()
	h.run("svcctl", "apply", "-f", "/root/two.yaml", "--confirm=1h")
	h.leads("pod-2")
	h.fails("systemctl", "reload", "svcctl.service")
	if got := h.journal("svcctl.service"); !strings.Contains(got, "error: a change waits to be confirmed until ") {
		t.Errorf("the journal says\n%s", got)
	}
	if err := h.Kill(); err != nil {
		t.Fatal(err)
	}
	h.boot()
	if got := h.active("svcctl.service"); got != "active" {
		t.Errorf("svcctl.service is %s", got)
	}
	h.leads("pod-1")
	if got := h.fails("svcctl", "confirm"); !strings.Contains(got, "error: nothing waits to be confirmed") {
		t.Errorf("confirm says %s", got)
	}
}

// A login's scope, killed as logind does it with KillUserProcesses=yes.
func TestConfirmInScope(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.write("/root/one.yaml", manifests(1))
	h.boot()
	_, err := h.Run(t.Context(), "", "systemd-run", "--quiet", "--scope", "--unit=login", "sh", "-c",
		"svcctl apply -f /root/one.yaml --confirm=3s && systemctl kill --signal=KILL login.scope; sleep 1000")
	if err == nil {
		t.Fatal("the login was to be killed")
	}
	h.leads("pod-1")
	h.until("the change is undone", func() bool { return h.asks(service) != "pod-1" })
	h.until("the timer's service is over", func() bool { return h.unconfirmed() == "" })
	if got := h.journal("svcctl-unconfirmed-*.service"); !strings.Contains(got, "nothing is applied, as before the first apply") {
		t.Errorf("the journal says\n%s", got)
	}
}
