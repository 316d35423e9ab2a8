package packages

import (
	"path/filepath"
	"strings"
	"testing"
)

// debOf gives the deb of this machine's architecture.
func debOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_amd64.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("debs in %s: %v, %v", dir, files, err)
	}
	return files[0]
}

// All that dpkg does to a package, on a machine that carries traffic.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	require(t, "dpkg", "nft")
	m := bootMachine(t)

	// Installed, it waits for manifests, and nothing is in the kernel.
	m.dpkg("--install", "/root/older.deb")
	for _, unit := range []string{"svcctl.service", "svcctl-reload.path", "svcctl-verify.timer", "svcctl-watch.service"} {
		m.wantState("is-enabled", unit, "enabled")
	}
	m.wantState("is-active", "svcctl-reload.path", "active")
	m.wantState("is-active", "svcctl.service", "inactive")
	if got := m.tables(); got != "" {
		t.Errorf("nothing was asked for, and there is %s", got)
	}
	if got := m.run("dpkg", "--verify", "svcctl"); got != "" {
		t.Errorf("dpkg --verify: %s", got)
	}
	m.write(configFile, edited)
	m.settled()
	m.write(manifestFile, manifests(1))
	m.becomes("pod-1")
	m.run("systemctl", "reset-failed")

	// Upgraded and downgraded, no connection is lost, the new program has applied the files, and they are followed on.
	for _, step := range []struct{ file, version, endpoint, next string }{
		{"/root/newer.deb", "2.0.0", "pod-1", manifests(2)},
		{"/root/older.deb", "1.0.0", "pod-2", manifests(1)},
	} {
		applied := m.appliedTimes()
		m.withTraffic(step.endpoint, func() { m.dpkg("--install", step.file) })
		if got := m.run("svcctl", "version"); !strings.HasPrefix(got, "svcctl "+step.version+" ") {
			t.Errorf("installed is %s", got)
		}
		if got := m.appliedTimes(); got != applied+1 {
			t.Errorf("the files were applied %d times by the upgrade", got-applied)
		}
		if got := m.run("cat", configFile); got != strings.TrimSpace(edited) {
			t.Errorf("the configuration is\n%s", got)
		}
		m.wantState("is-active", "svcctl.service", "active")
		m.wantState("is-active", "svcctl-verify.timer", "active")
		m.write(manifestFile, step.next)
		m.becomes(map[string]string{"pod-1": "pod-2", "pod-2": "pod-1"}[step.endpoint])
	}

	// What the operator stopped and disabled stays so.
	m.run("systemctl", "disable", "--now", "svcctl.service")
	m.withTraffic("pod-1", func() { m.dpkg("--install", "/root/newer.deb") })
	m.wantState("is-active", "svcctl.service", "inactive")
	m.wantState("is-active", "svcctl-reload.path", "inactive")
	m.wantState("is-enabled", "svcctl.service", "disabled")
	m.run("systemctl", "enable", "--now", "svcctl.service")

	// A version that refuses the files changes nothing, and is installed.
	m.write(manifestFile, "kind: [")
	m.run("sh", "-c", "while systemctl is-active -q svcctl-changed; do sleep 0.1; done; until systemctl is-failed -q svcctl-reload; do sleep 0.1; done")
	m.run("systemctl", "reset-failed")
	m.withTraffic("pod-1", func() {
		if got := m.dpkg("--install", "/root/older.deb"); !strings.Contains(got, "the rules are what they were") {
			t.Error("nobody is told that the files were not applied")
		}
	})
	m.write(manifestFile, manifests(1))
	m.becomes("pod-1")

	// Removed, nothing runs any more and the rules go on; installed again it takes over.
	m.withTraffic("pod-1", func() {
		if got := m.dpkg("--remove", "svcctl"); !strings.Contains(got, "the rules stay in the kernel") {
			t.Error("nobody is told that the rules stay")
		}
	})
	m.wantNoUnits()
	if m.exists("/usr/bin/svcctl") || !m.exists(configFile) || !m.exists(manifestFile) || !m.exists("/var/lib/svcctl") {
		t.Error("removed: the program is to be gone, and the configuration, manifests and the record are to be there")
	}
	m.withTraffic("pod-1", func() { m.dpkg("--install", "/root/newer.deb") })
	m.wantState("is-active", "svcctl.service", "active")
	m.wantState("is-enabled", "svcctl.service", "enabled")
	m.write(manifestFile, manifests(2))
	m.becomes("pod-2")

	// Purged, nothing is left but what the operator wrote, and other tables.
	m.run("nft", "add", "table", "ip", "other")
	m.dpkg("--purge", "svcctl")
	m.wantNoUnits()
	if got := m.run("nft", "list", "tables"); got != "table ip other" {
		t.Errorf("purged, and there is %s", got)
	}
	for _, gone := range []string{configFile, "/var/lib/svcctl", "/run/svcctl", "/usr/share/doc/svcctl"} {
		if m.exists(gone) {
			t.Errorf("purged, and there is %s", gone)
		}
	}
	if !m.exists(manifestFile) {
		t.Error("purging deleted the operator's manifests")
	}
	if got := m.run("sh", "-c", "find /etc/systemd /var/lib/systemd -name '*svcctl*'"); got != "" {
		t.Errorf("purged, and there is %s", got)
	}
}

// Where the operator has stopping remove the rules, so does removing the package.
func TestRemoveWithDropIn(t *testing.T) {
	t.Parallel()
	require(t, "dpkg", "nft")
	m := bootMachine(t)
	m.dpkg("--install", "/root/older.deb")
	m.write(manifestFile, manifests(1))
	m.becomes("pod-1")
	m.run("install", "-D", "-m644", "/usr/share/doc/svcctl/examples/stop-removes-rules.conf",
		"/etc/systemd/system/svcctl.service.d/stop-removes-rules.conf")
	m.run("systemctl", "daemon-reload")
	m.withTraffic("pod-1", func() { m.dpkg("--install", "/root/newer.deb") })
	m.dpkg("--remove", "svcctl")
	if got := m.tables(); got != "" {
		t.Errorf("removed, and there is %s", got)
	}
}

// appliedTimes counts how often the files were applied, in this boot.
func (m *machine) appliedTimes() int {
	m.t.Helper()
	out, err := m.Journal("--unit=svcctl.service", "_PID=1")
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Count(out, "Reloaded ")
}

// wantNoUnits fails the test where a unit of svcctl is known to systemd.
func (m *machine) wantNoUnits() {
	m.t.Helper()
	if got := m.run("systemctl", "list-units", "--state=active,activating,failed", "--plain", "--no-legend", "svcctl*"); got != "" {
		m.t.Errorf("there is %s", got)
	}
	// Where there are none it fails.
	if got, _ := m.Run(m.t.Context(), "", "systemctl", "list-unit-files", "--no-legend", "svcctl*"); got != "" {
		m.t.Errorf("there is %s", got)
	}
}
