package deptest

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// starters are the files of the command line that may start programs, and why. svcctl starts no nft binary.
var starters = map[string]string{
	"watchdog.go": "a change that waits to be confirmed is undone by a program that outlives this one",
}

func TestOnlyTheWatchdogStartsPrograms(t *testing.T) {
	files, err := filepath.Glob("../../cmd/svcctl/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of the command line: %v", err)
	}
	found := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if i.Path.Value != `"os/exec"` {
				continue
			}
			found++
			if starters[filepath.Base(path)] == "" {
				t.Errorf("%s imports os/exec: svcctl starts no nft binary", path)
			}
		}
	}
	if found != len(starters) {
		t.Errorf("%d files start programs, %d may", found, len(starters))
	}
}

// What the command line imports starts no programs either.
func TestNothingBelowTheCommandLineStartsPrograms(t *testing.T) {
	packages := listPackages(t)
	root := module + "cmd/svcctl"
	for _, i := range ourClosure(packages, root) {
		if i.imported == "os/exec" && i.by != root {
			t.Errorf("%s imports os/exec, and the command line imports it: svcctl starts no nft binary", i.by)
		}
	}
}
