package render

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// unshare gives the arguments for a private network namespace. Real root needs no user namespace for it, and is better off
// without: in one, nft may not force its socket buffer, and its batches are limited to what fits the default.
func unshare(command ...string) []string {
	flag := "-rn"
	if forcesBuffers() {
		flag = "-n"
	}
	return append([]string{flag}, command...)
}

// forcesBuffers reports whether this is root of the initial user namespace.
func forcesBuffers() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && os.Geteuid() == 0 && strings.Join(strings.Fields(string(m)), " ") == "0 0 4294967295"
}

// netnsError is why a private network namespace with nft cannot be had, empty where it can.
var netnsError = sync.OnceValue(func() string {
	if out, err := exec.Command("unshare", unshare("nft", "list", "ruleset")...).CombinedOutput(); err != nil {
		return "unshare nft list ruleset: " + err.Error() + ": " + strings.TrimSpace(string(out))
	}
	return ""
})

// needNetns skips a test that needs a network namespace of its own where there is none to be had. With
// SVCCTL_REQUIRE_NETNS=1 that is a failure.
func needNetns(t testing.TB) {
	t.Helper()
	reason := netnsError()
	switch {
	case reason == "":
	case os.Getenv("SVCCTL_REQUIRE_NETNS") == "1":
		t.Fatal(reason)
	default:
		t.Skip(reason)
	}
}

// inNetns runs a shell script in a new network namespace, in a folder with the given files, and gives its output. The
// shell stops at the first command that fails.
func inNetns(t testing.TB, files map[string][]byte, script string) (stdout, stderr string, err error) {
	t.Helper()
	needNetns(t)
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "unshare", unshare("sh", "-ec", script)...)
	cmd.Dir = dir
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// mustNetns is inNetns for scripts that must succeed without a word on standard error.
func mustNetns(t testing.TB, files map[string][]byte, script string) string {
	t.Helper()
	out, stderr, err := inNetns(t, files, script)
	if err != nil || stderr != "" {
		t.Fatalf("%s: %v\n%s", script, err, head(stderr))
	}
	return out
}

// head keeps the beginning of a long text.
func head(s string) string {
	const most = 4000
	if len(s) > most {
		return s[:most] + "\n…"
	}
	return s
}
