// Package doctest keeps the documents true: the commands that they show are run, and must print what they show.
package doctest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// console finds the blocks that show a terminal.
var console = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// TestReadmeShowsWhatSvcctlPrints runs every svcctl command of the README's terminals, in the root of the repository.
func TestReadmeShowsWhatSvcctlPrints(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := build(t)
	commands := 0
	for _, block := range console.FindAllStringSubmatch(string(text), -1) {
		for _, session := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(session, "\n")
			args, ok := strings.CutPrefix(line, "svcctl ")
			if !ok {
				t.Errorf("%q is not a svcctl command", line)
				continue
			}
			commands++
			cmd := exec.CommandContext(t.Context(), bin, strings.Fields(args)...)
			cmd.Dir = "../.."
			cmd.Env = append(os.Environ(), "SVCCTL_CONFIG="+os.DevNull)
			got, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			differs := errors.As(err, &exit) && exit.ExitCode() == 1 && strings.HasPrefix(args, "diff ")
			if err != nil && !differs {
				t.Errorf("%s: %v", line, err)
			}
			if d := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(string(got))); d != "" {
				t.Errorf("%s: shown (-), printed (+):\n%s", line, d)
			}
		}
	}
	if commands == 0 {
		t.Error("the README shows no command")
	}
}

func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "svcctl")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/svcctl")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}
