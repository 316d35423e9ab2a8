package systemd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	unitsDir     = "../../deploy/systemd"
	manifestsDir = "/etc/svcctl/services"
)

// newHostWithUnits makes a host on which the units are installed and enabled, as a package does it.
func newHostWithUnits(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	for file, at := range unitFiles(t) {
		if err := h.CopyFile(file, at); err != nil {
			t.Fatal(err)
		}
	}
	h.write(manifestsDir+"/web.yaml", manifests(1))
	return h
}

// unitFiles gives where each unit and each drop-in goes.
func unitFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(unitsDir, func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(unitsDir, path)
		if err != nil || relErr != nil || d.IsDir() || rel == "stop-removes-rules.conf" {
			return err
		}
		files[path] = filepath.Join("/usr/lib/systemd/system", rel)
		return nil
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("units: %v, %v", files, err)
	}
	return files
}

// enable has units started at the next boot.
func (h *host) enable(units ...string) {
	h.t.Helper()
	h.boot()
	h.run(append([]string{"systemctl", "enable"}, units...)...)
	if err := h.Halt(); err != nil {
		h.t.Fatal(err)
	}
}

// active gives the state of a unit: "active", "failed", "inactive".
func (h *host) active(unit string) string {
	h.t.Helper()
	out, _ := h.Run(h.t.Context(), "", "systemctl", "is-active", unit) // the exit code says it once more
	return strings.TrimSpace(out)
}

// becomes waits until the service leads to an endpoint.
func (h *host) becomes(endpoint, after string) {
	h.t.Helper()
	h.until(after+": the service leads to "+endpoint, func() bool { return h.asks(service) == endpoint })
}

// settled waits until nothing is under way any more that was set off by changed files.
func (h *host) settled() {
	h.t.Helper()
	h.until("everything is applied", func() bool {
		return h.run("systemctl", "list-jobs", "--no-legend", "svcctl*") == "" && h.active("svcctl-changed.service") != "activating" &&
			h.active("svcctl-reload.service") != "activating"
	})
}

// inOrder fails the test where units did not come to states one after the other: "UNIT STATE", as in systemctl's show.
func (h *host) inOrder(events ...string) {
	h.t.Helper()
	before := 0
	for _, event := range events {
		unit, state, _ := strings.Cut(event, " ")
		out := h.run("systemctl", "show", "--property="+state+"TimestampMonotonic", "--value", unit)
		at, err := strconv.Atoi(out)
		if err != nil || at <= before {
			h.t.Errorf("%s at %q, and what should come before it in %v at %d", event, out, events, before)
		}
		before = at
	}
}

// What is in the directory is in force from boot on, and is followed.
func TestUnits(t *testing.T) {
	t.Parallel()
	h := newHostWithUnits(t)
	h.enable("nftables.service", "svcctl.service")
	h.boot()
	h.leads("pod-1")
	if got := h.run("systemctl", "status", "svcctl.service"); !regexp.MustCompile(`Status: "applied 1 service at generation \d+"`).MatchString(got) {
		t.Errorf("the status is\n%s", got)
	}
	h.inOrder("nftables.service ActiveEnter", "svcctl.service ActiveEnter", "network-pre.target ActiveEnter")
	h.inOrder("svcctl.service ActiveEnter", "sysinit.target ActiveEnter")
	h.settled()

	// Edited, in place and under another name first.
	if _, err := h.Run(t.Context(), manifests(2), "tee", manifestsDir+"/web.yaml"); err != nil {
		t.Fatal(err)
	}
	h.becomes("pod-2", "written in place")
	h.settled()
	h.write(manifestsDir+"/web.yaml", manifests(1))
	h.becomes("pod-1", "renamed over")
	h.settled()

	// Somebody has the lock while a file changes: he is waited for, and named.
	h.run("systemd-run", "--quiet", "--unit=holder", "flock", "--no-fork", "/var/lib/svcctl/own/svcctl/lock", "sleep", "1000")
	h.until("the lock is held", func() bool {
		_, err := h.Run(t.Context(), "", "flock", "--nonblock", "/var/lib/svcctl/own/svcctl/lock", "true")
		return err != nil
	})
	h.write(manifestsDir+"/web.yaml", manifests(2))
	h.until("the reload waits", func() bool {
		return strings.Contains(h.journal("svcctl.service"), "/lock): waiting up to 1m0s for it")
	})
	h.leads("pod-1")
	h.run("systemctl", "stop", "holder.service")
	h.becomes("pod-2", "after waiting")
	h.settled()
	if got := h.active("svcctl-reload.service"); got != "inactive" {
		t.Errorf("svcctl-reload.service is %s", got)
	}
	h.write(manifestsDir+"/web.yaml", manifests(1))
	h.becomes("pod-1", "renamed over once more")
	h.settled()

	// A broken file changes nothing, a unit has failed, and the journal says where to look.
	h.write(manifestsDir+"/web.yaml", strings.Replace(manifests(2), "port: 80}", "port: 80000}", 1))
	h.until("the reload fails", func() bool { return h.active("svcctl-reload.service") == "failed" })
	h.settled()
	h.leads("pod-1")
	if got := h.active("svcctl.service"); got != "active" {
		t.Errorf("svcctl.service is %s", got)
	}
	const place = manifestsDir + "/web.yaml:6:18: service default/web: spec.ports[0].port: Invalid value: 80000: "
	if got := h.journal("svcctl.service"); !strings.Contains(got, place) {
		t.Errorf("the journal does not say %q:\n%s", place, got)
	}
	h.write(manifestsDir+"/web.yaml", manifests(2))
	h.becomes("pod-2", "mended")
	h.until("nothing has failed any more", func() bool { return h.active("svcctl-reload.service") == "inactive" })
	h.settled()

	// Many changes in a short time, the last of which counts. Each file has a Service of its own.
	_, err := h.Run(t.Context(), "", "sh", "-c", fmt.Sprintf(`
		for i in $(seq 50); do
			sed "s/name: web/name: web-$i/g; s/10\.96\.0\.1/10.96.1.$i/; s/10\.1\.2\.2/10.1.$((1 + i %% 2)).2/" %[1]s/web.yaml > %[1]s/many-$i.yaml
			sed -i "s/10\.1\..\.2/10.1.$((1 + i %% 2)).2/" %[1]s/web.yaml
			sleep 0.01
		done`, manifestsDir))
	if err != nil {
		t.Fatal(err)
	}
	h.until("the burst is applied", func() bool {
		_, err := h.Run(t.Context(), "", "svcctl", "diff", "-R", "-f", manifestsDir)
		return err == nil
	})
	h.settled()
	h.leads("pod-1")
	if got := h.run("svcctl", "get", "services", "-o", "name"); strings.Count(got, "\n") != 50 {
		t.Errorf("not 51 services:\n%s", got)
	}
	if got := h.run("systemctl", "list-units", "--failed", "--plain", "--no-legend"); got != "" {
		t.Errorf("failed units: %s", got)
	}
	// A storm, after which everybody still watches: slow enough for systemd to see one change at a time, and too fast for it.
	h.run("sh", "-c", "for i in $(seq 1000); do touch "+manifestsDir+"/storm-$((i % 10)).txt; done; rm "+manifestsDir+"/storm-*.txt")
	h.settled()
	h.run("sh", "-c", "rm "+manifestsDir+"/many-*")
	h.until("the files are gone and so are the services", func() bool {
		return h.run("svcctl", "get", "services", "-o", "name") == "service/web"
	})
}

// Subdirectories are followed however they come, at once and after a reboot.
func TestSubdirectories(t *testing.T) {
	t.Parallel()
	h := newHostWithUnits(t)
	h.enable("nftables.service", "svcctl.service")
	h.boot()
	h.settled()

	// A directory that is made, a file in it, a change of that, and a directory below it with an odd name.
	h.run("mkdir", manifestsDir+"/sub")
	h.run("mv", manifestsDir+"/web.yaml", manifestsDir+"/sub/web.yaml")
	h.settled()
	h.leads("pod-1")
	h.write(manifestsDir+"/sub/web.yaml", manifests(2))
	h.becomes("pod-2", "in a subdirectory")
	h.run("mkdir", manifestsDir+"/sub/a b-$c")
	h.settled()
	h.run("mv", manifestsDir+"/sub/web.yaml", manifestsDir+"/sub/a b-$c/web.yaml")
	h.settled()
	h.write(manifestsDir+"/sub/a b-$c/web.yaml", manifests(1))
	h.becomes("pod-1", "in a subdirectory of it")
	h.settled()

	// After a reboot, and after the power has failed, everything is there again.
	for _, end := range []func() error{h.Halt, h.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		h.boot()
		h.leads("pod-1")
		h.settled()
	}
	h.write(manifestsDir+"/sub/a b-$c/web.yaml", manifests(2))
	h.becomes("pod-2", "in a subdirectory, after a reboot")
}

// Stopped, the rules stay, and nobody follows the files.
func TestStop(t *testing.T) {
	t.Parallel()
	h := newHostWithUnits(t)
	h.write(manifestsDir+"/sub/web.yaml", manifests(2))
	if err := os.Remove(h.Path(manifestsDir + "/web.yaml")); err != nil {
		t.Fatal(err)
	}
	h.enable("nftables.service", "svcctl.service")
	h.boot()
	h.settled()
	h.run("systemctl", "stop", "svcctl.service")
	h.leads("pod-2")
	if got := h.run("systemctl", "list-units", "svcctl*", "--state=active,activating", "--plain", "--no-legend"); got != "" {
		t.Errorf("svcctl.service is stopped, and there is %s", got)
	}
	h.write(manifestsDir+"/sub/web.yaml", manifests(1))
	time.Sleep(time.Second)
	if got := h.active("svcctl.service"); got != "inactive" {
		t.Errorf("stopped, and %s", got)
	}
	h.leads("pod-2")
	h.run("systemctl", "start", "svcctl.service")
	h.leads("pod-1")

	// Unless the drop-in for that is there.
	if err := h.CopyFile(unitsDir+"/stop-removes-rules.conf", "/etc/systemd/system/svcctl.service.d/stop-removes-rules.conf"); err != nil {
		t.Fatal(err)
	}
	h.settled()
	h.run("systemctl", "daemon-reload")
	h.run("systemctl", "stop", "svcctl.service")
	if got := h.run("nft", "list", "tables"); strings.Contains(got, "svcctl") {
		t.Errorf("stopped, and there is %s", got)
	}
	h.run("systemctl", "start", "svcctl.service")
	h.leads("pod-1")
}

// A freshly installed svcctl has nothing to apply, which is no failure, and begins with the first manifest.
func TestFirstManifest(t *testing.T) {
	t.Parallel()
	h := newHostWithUnits(t)
	if err := os.RemoveAll(h.Path(manifestsDir)); err != nil {
		t.Fatal(err)
	}
	h.enable("svcctl.service")
	h.boot()
	if got := h.active("svcctl.service"); got != "inactive" {
		t.Errorf("without manifests svcctl.service is %s", got)
	}
	h.write(manifestsDir+"/web.yaml", manifests(1))
	h.becomes("pod-1", "the first manifest")
	if got := h.active("svcctl.service"); got != "active" {
		t.Errorf("svcctl.service is %s", got)
	}
	h.settled()

	// The configuration is followed like the manifests, and refused like them.
	h.write("/etc/svcctl/config.yaml", "nodeNames: node-1\n")
	h.until("the reload fails", func() bool { return h.active("svcctl-reload.service") == "failed" })
	h.settled()
	h.leads("pod-1")
	if got := h.journal("svcctl.service"); !strings.Contains(got, "/etc/svcctl/config.yaml:1: unknown key") {
		t.Errorf("the journal says\n%s", got)
	}
	if got := h.run("systemctl", "status", "svcctl.service"); !strings.Contains(got, `Status: "error: /etc/svcctl/config.yaml:1: unknown key`) {
		t.Errorf("the status is\n%s", got)
	}
	h.write("/etc/svcctl/config.yaml", "")
	h.until("nothing has failed", func() bool { return h.active("svcctl-reload.service") == "inactive" })
	h.settled()

	// Whoever changes the rules by hand is put right by the timer's service.
	h.run("nft", "delete", "element", "ip", "svcctl", "services", "{", "10.96.0.1", ".", "tcp", ".", "80", "}")
	if got := h.asks(service); got == "pod-1" {
		t.Error("the service is gone, and answers")
	}
	if got := h.run("systemctl", "list-timers", "svcctl-verify.timer", "--no-legend"); !strings.Contains(got, "svcctl-verify.service") {
		t.Errorf("the timers are %q", got)
	}
	h.run("systemctl", "start", "svcctl-verify.service")
	h.leads("pod-1")
	if got := h.journal("svcctl-verify.service"); !strings.Contains(got, "repaired: 1 difference\n") {
		t.Errorf("the journal says\n%s", got)
	}

	// Broken at boot, what was applied last is back before the network.
	if err := h.Halt(); err != nil {
		t.Fatal(err)
	}
	h.write(manifestsDir+"/web.yaml", "nonsense: [\n")
	h.boot()
	if got := h.active("svcctl.service"); got != "failed" {
		t.Errorf("svcctl.service is %s with a broken file", got)
	}
	h.leads("pod-1")
	h.inOrder("svcctl.service InactiveEnter", "svcctl-verify.service InactiveEnter", "network-pre.target ActiveEnter")
}

// What flushes the ruleset takes svcctl's rules along, and they come back.
func TestNftablesService(t *testing.T) {
	t.Parallel()
	h := newHostWithUnits(t)
	h.enable("nftables.service", "svcctl.service")
	h.boot()
	h.leads("pod-1")
	if got := h.journal("svcctl-verify.service"); got != "" {
		t.Errorf("nothing is to be repaired at boot, and the journal says\n%s", got)
	}
	for _, verb := range []string{"reload", "restart", "stop", "start"} {
		before := h.run("nft", "list", "tables")
		h.run("systemctl", verb, "nftables.service")
		h.becomes("pod-1", verb)
		h.until(verb+": the repair is over", func() bool { return h.active("svcctl-verify.service") == "inactive" })
		if got := h.run("nft", "list", "tables"); verb != "stop" && !strings.Contains(before+got, "table inet filter") {
			t.Errorf("%s: the tables are %s", verb, got)
		}
		if got := h.run("svcctl", "verify"); got != "" && !strings.Contains(got, "exactly") {
			t.Errorf("%s: verify says %s", verb, got)
		}
	}
	if got := h.journal("svcctl-verify.service"); strings.Count(got, "repaired: ") < 4 {
		t.Errorf("the journal says\n%s", got)
	}

	// What comes back is what was applied, whatever the manifests look like.
	h.write(manifestsDir+"/web.yaml", "nonsense: [\n")
	h.until("the reload fails", func() bool { return h.active("svcctl-reload.service") == "failed" })
	h.run("systemctl", "reload", "nftables.service")
	h.becomes("pod-1", "reload, with a broken file")

	// The same at boot; and what is mended is applied.
	if err := h.Halt(); err != nil {
		t.Fatal(err)
	}
	h.boot()
	if got := h.active("svcctl.service"); got != "failed" {
		t.Errorf("svcctl.service is %s with a broken file", got)
	}
	h.leads("pod-1")
	h.write(manifestsDir+"/web.yaml", manifests(2))
	h.becomes("pod-2", "mended")
	h.until("nothing has failed", func() bool {
		return h.active("svcctl.service") == "active" && h.active("svcctl-reload.service") == "inactive"
	})

	// Nobody wants the rules of a service that was stopped.
	h.settled()
	h.run("systemctl", "stop", "svcctl.service")
	h.run("systemctl", "reload", "nftables.service")
	time.Sleep(time.Second)
	if got := h.run("nft", "list", "tables"); strings.Contains(got, "svcctl") {
		t.Errorf("svcctl.service is stopped, and there is %s", got)
	}
}
