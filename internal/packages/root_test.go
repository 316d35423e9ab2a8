package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scratchRoot is a root directory that dpkg can install into, without running a machine.
func scratchRoot(t *testing.T) (root string, dpkg func(args ...string)) {
	t.Helper()
	require(t, "dpkg", "deb-systemd-helper")
	root = t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return root, func(args ...string) {
		t.Helper()
		// The maintainer scripts run outside of the root, are told of it, and must touch nothing else. They are root only in a
		// namespace, where there is no systemd and no nftables but the namespace's own.
		cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--net", "--mount", "dpkg", "--root="+root)
		cmd.Args = append(cmd.Args, "--force-script-chrootless", "--force-depends", "--log="+filepath.Join(root, "log"))
		cmd.Args = append(cmd.Args, args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dpkg %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// An image is built without running it: the package is installed into a root that is not that of the machine.
func TestScratchRoot(t *testing.T) {
	t.Parallel()
	deb := debOf(t, built(t, older))
	root, dpkg := scratchRoot(t)
	at := func(name string) string { return filepath.Join(root, name) }
	dpkg("--install", deb)
	for _, link := range []string{
		"etc/systemd/system/sysinit.target.wants/svcctl.service",
		"etc/systemd/system/svcctl.service.wants/svcctl-reload.path",
		"etc/systemd/system/svcctl.service.wants/svcctl-verify.timer",
		"etc/systemd/system/svcctl.service.wants/svcctl-watch.service",
	} {
		if _, err := os.Lstat(at(link)); err != nil {
			t.Errorf("not enabled: %v", err)
		}
	}

	// An edited configuration and one that was deleted survive.
	if err := os.WriteFile(at(configFile), []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg("--install", debOf(t, built(t, newer)))
	if got, err := os.ReadFile(at(configFile)); err != nil || string(got) != edited {
		t.Errorf("after an upgrade the configuration is %q, %v", got, err)
	}
	if err := os.Remove(at(configFile)); err != nil {
		t.Fatal(err)
	}
	dpkg("--install", deb)
	if _, err := os.Lstat(at(configFile)); err == nil {
		t.Error("the configuration was deleted, and is back")
	}
	if err := os.MkdirAll(at("var/lib/svcctl/own/svcctl"), 0o700); err != nil {
		t.Fatal(err)
	}
	dpkg("--purge", "svcctl")
	left, err := exec.CommandContext(t.Context(), "find", root, "-name", "*svcctl*").CombinedOutput()
	if err != nil || len(left) != 0 {
		t.Errorf("purged, and there is %s, %v", left, err)
	}
}
