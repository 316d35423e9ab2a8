package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The same commit gives the same bytes in another directory, with another clone of the repository, time and umask.
func TestReproducible(t *testing.T) {
	t.Parallel()
	dir := built(t, older)
	tree := filepath.Join(t.TempDir(), "another", "place")
	output(t, "git", "clone", "--quiet", "--no-tags", repository, tree)
	// What is not committed yet, too.
	overlay := exec.CommandContext(t.Context(), "bash", "-c", `
		cd "$1" && umask 077
		{ git diff -z --name-only --no-renames HEAD; git ls-files -z --others --exclude-standard; } | while IFS= read -rd '' f; do
			if [[ -e $f ]]; then mkdir -p "$2/$(dirname "$f")" && cp -- "$f" "$2/$f"; else rm -f -- "$2/$f"; fi
		done
		find "$2" -path "$2/.git" -prune -o -type f -exec chmod go-rwx {} +`, "overlay", repository, tree)
	if out, err := overlay.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	again, err := makePackages(tree, "again", "1.0.0", "amd64 arm64")
	if err != nil {
		t.Fatal(err)
	}
	read := func(dir string) string {
		sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return string(sums)
	}
	want := read(dir)
	if d := cmp.Diff(want, read(again)); d != "" {
		t.Errorf("the two builds differ:\n%s", d)
	}
	if got := strings.Count(want, "\n"); got != 8 {
		t.Errorf("%d files, want 8: two architectures with a deb, an rpm, the program and its SBOM", got)
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
