package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/svcctl/svcctl/internal/bootlab"
	"github.com/svcctl/svcctl/internal/netlab"
)

const repository = "../.."

// scratch is where the packages are built, once for all tests.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(bootlab.Main(func() int {
		return netlab.Main(func() int {
			var err error
			if scratch, err = os.MkdirTemp("", "svcctl-packages-"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer os.RemoveAll(scratch)
			return m.Run()
		})
	}))
}

// The packages of two versions: the newer one for this machine's architecture only.
var (
	older = sync.OnceValues(func() (string, error) { return makePackages(repository, "older", "1.0.0", "amd64 arm64") })
	newer = sync.OnceValues(func() (string, error) { return makePackages(repository, "newer", "2.0.0", "amd64") })
)

// makePackages has the packages built from a work tree, and gives the directory that they are in.
func makePackages(tree, name, version, archs string) (string, error) {
	bin := filepath.Join(scratch, name)
	tools, err := filepath.Abs(filepath.Join(repository, ".cache/bin"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command("make", "--directory="+tree, "packages", "TOOLS="+tools, "BIN="+bin, "VERSION="+version, "ARCHS="+archs)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make packages: %w\n%s", err, out)
	}
	return filepath.Join(bin, "packages"), nil
}

// built gives the directory of built packages.
func built(t *testing.T, build func() (string, error)) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds packages: not in short mode")
	}
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// output runs a command that must succeed, and gives what it prints.
func output(t *testing.T, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, stderr.String())
	}
	return string(out)
}

// require skips the test where a program is missing, or fails where nothing may be skipped.
func require(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv(netlab.RequireEnv) == "1" {
			t.Fatalf("%s is not installed (make deps)", p)
		}
		t.Skipf("%s is not installed (make deps)", p)
	}
}
