package doctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// TestTutorial follows docs/tutorial.md as a reader would, from the first command to the last: real requests, to servers in
// network namespaces of their own, which the tutorial makes itself.
func TestTutorial(t *testing.T) {
	requirePlayground(t)
	bin := filepath.Dir(build(t))
	s := newSession(t, bin)
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
