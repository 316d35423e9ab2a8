package doctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// TestTutorial follows docs/tutorial.md as a reader would, from the first command to the last: real requests, to servers in
// network namespaces of their own, which the tutorial makes itself. The program is that of the Debian package, installed.
func TestTutorial(t *testing.T) {
	requirePlayground(t)
	s := newSession(t, filepath.Join(installPackage(t), "usr/bin"))
	s.follow(t, "../../docs/tutorial.md")
	// It says that everything is gone when it is over: what is left is the shell that the tutorial was begun in.
	err := netlab.Until(t.Context(), netlab.DefaultPatience, func() bool { return len(s.processes()) == 1 })
	if err != nil {
		t.Errorf("%d processes run when the tutorial is over, not the shell alone: %v", len(s.processes()), err)
	}
}

// requirePlayground skips the test where the playground of the tutorial cannot be, or fails where nothing may be skipped.
func requirePlayground(t *testing.T) {
	t.Helper()
	missing := t.Skipf
	if os.Getenv(netlab.RequireEnv) == "1" {
		missing = t.Fatalf
	}
	for _, tool := range []string{"bash", "curl", "dig", "ip", "nft", "nsenter", "perl", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing("the tutorial cannot be followed here: %v (make deps)", err)
		}
	}
	const namespaces = `unshare --net --mount true || become=--map-root-user
		unshare $become --net --mount sh -c "mount -t tmpfs tmpfs /run && ip link set lo up"`
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", namespaces).CombinedOutput(); err != nil {
		missing("no network and mount namespaces: %v: %s", err, out)
	}
}

// installPackage builds the Debian package, has dpkg install it into a root of its own, and gives that.
func installPackage(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Fatalf("the tutorial is followed with Debian's package: %v", err)
	}
	bin, root := t.TempDir(), t.TempDir()
	for _, dir := range []string{"info", "updates"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	arch, file := runtime.GOARCH, filepath.Join(bin, "packages", "svcctl_1.0.0_"+runtime.GOARCH+".deb")
	for _, command := range [][]string{
		{"make", "--directory=../..", "packages", "BIN=" + bin, "VERSION=1.0.0", "ARCHS=" + arch},
		// Its scripts are told of the root, and do nothing outside of it. An ordinary user is root in a namespace.
		{
			"unshare", "--user", "--map-root-user", "dpkg", "--root=" + root, "--force-script-chrootless", "--force-depends",
			"--log=" + filepath.Join(root, "log"), "--install", file,
		},
	} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	return root
}
