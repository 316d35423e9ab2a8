// Package doctest keeps the documents true: the commands that they show are run, and must print what they show.
package doctest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// playground is how a document that leads the reader into the playground begins.
const playground = "examples/tutorial/playground"

// documents gives the Markdown files that people wrote, from the root of the repository. What golden/want has is output.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "golden/want" || path == "bin" || path != "." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".md"):
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDocuments runs every terminal of every document, each document in a playground of its own: a node, a client and six
// Pods in private namespaces. One that does not enter it itself starts in it at the root of the repository. A block that
// is neither run nor says why not is an error.
func TestDocuments(t *testing.T) {
	requirePlayground(t)
	bin := filepath.Dir(build(t))
	// The examples are written for an ordinary user; the playground may have no way to become another one, nor needs it.
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range documents(t) {
		if path == "docs/tutorial.md" {
			continue // TestTutorial follows it, and looks at what it leaves
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := terminals(string(text))
		if err != nil {
			t.Errorf("%s:\n%v\nEither write it as a terminal, ```console with \"$ \" before each command and what it prints "+
				"below it (… for what varies), and it is run in the playground of examples/tutorial; or put\n"+
				"<!-- not run: WHY, and the package.TestX that does the same, if one does -->\nin the line before the block.", path, err)
			continue
		}
		if len(steps) == 0 {
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, bin)
			if steps[0].command != playground {
				enter := playground + "\ncd " + shellQuote(absolute(t, root))
				if printed, code, err := s.run(enter); err != nil || code != 0 {
					t.Fatalf("the playground: %v, exit code %d\n%s", err, code, printed)
				}
			}
			s.followSteps(t, path, steps)
		})
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	out, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// testName is a test in a reason, with its script where it is one of cmd/svcctl/testdata/script.
var testName = regexp.MustCompile(`\b([a-z]+\.Test[A-Za-z]+)(?:/([a-z0-9-]+))?`)

// TestReasonsNameTestsThatExist: where a block that is not run names the test that does the same, there is one.
func TestReasonsNameTestsThatExist(t *testing.T) {
	for _, path := range documents(t) {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := readBlocks(string(text))
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, b := range blocks {
			for _, m := range testName.FindAllStringSubmatch(b.notRun, -1) {
				pkg, test, _ := strings.Cut(m[1], ".")
				if !testExists(t, pkg, test) {
					t.Errorf("%s:%d: there is no test %s", path, b.line, m[1])
				}
				if m[2] == "" {
					continue
				}
				script := filepath.Join(root, "cmd/svcctl/testdata/script", m[2]+".txtar")
				if _, err := os.Stat(script); m[1] != "svcctl.TestScripts" || err != nil {
					t.Errorf("%s:%d: there is no script for %s", path, b.line, m[0])
				}
			}
		}
	}
}

// testExists looks for a test in the packages of that name, the command's too.
func testExists(t *testing.T, pkg, test string) bool {
	t.Helper()
	var files []string
	for _, parent := range []string{"compiler", "internal", "cmd", ""} {
		more, _ := filepath.Glob(filepath.Join(root, parent, pkg, "*_test.go"))
		files = append(files, more...)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		data, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(data), "func "+test+"(")
	})
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
