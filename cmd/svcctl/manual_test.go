package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/svcctl/svcctl/internal/config"
	"github.com/svcctl/svcctl/internal/manual"
)

// manualVariable names a directory to write the manual into: `make manual` sets it.
const manualVariable = "SVCCTL_MANUAL"

const referencePage = "../../docs/cli.md"

// helpTree is the tree of commands as --help sees it.
func helpTree() *cobra.Command {
	root := newRootCommand(&environment{getenv: func(string) string { return "" }})
	root.InitDefaultHelpFlag()
	return root
}

// newBook puts together what the manual is made of: the commands, and what holds for all of them.
func newBook(t *testing.T) manual.Book {
	t.Helper()
	example, err := os.ReadFile("../../examples/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := manual.ReadSettings(example, config.Variable)
	if err != nil {
		t.Fatal(err)
	}
	return manual.Book{
		Root:     helpTree(),
		Intro:    rootIntro,
		Settings: settings,
		Date:     sourceDate(t),
		Exits: func(cmd *cobra.Command) []manual.Entry {
			var out []manual.Entry
			for _, e := range exitsOf(cmd) {
				out = append(out, manual.Entry{Name: strconv.Itoa(e.code), Text: e.meaning})
			}
			return out
		},
		Flag:       func(f *pflag.Flag) (group, value string) { return annotation(f, helpGroup), annotation(f, helpValue) },
		FlagGroups: flagTitles(),
		Files: []manual.Entry{
			{Name: config.DefaultFile, Text: "The configuration, if it exists."},
			{
				Name: config.Default("stateDir"),
				Text: "What is applied and the states before it, and a cache of decoded manifests.",
			},
		},
		Environment: []manual.Entry{
			{Name: "SVCCTL_CONFIG", Text: "The configuration file, where --config names none."},
			{
				Name: "SVCCTL_*",
				Text: "Every setting of the configuration: SVCCTL_STATE_DIR for stateDir. An option comes before a variable, " +
					"a variable before the file.",
			},
			{Name: "NO_COLOR", Text: "If it is not empty, the output has no colours unless --color=always says so."},
		},
	}
}

// sourceDate is the date of the pages: that of the source, so that the same source gives the same bytes.
// (https://reproducible-builds.org/specs/source-date-epoch/)
func sourceDate(t *testing.T) string {
	t.Helper()
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return ""
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		t.Fatalf("SOURCE_DATE_EPOCH: %v", err)
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly)
}

// TestManual compares docs/cli.md with what the commands say of themselves. With SVCCTL_MANUAL it writes it, and the
// pages and completions into that directory.
func TestManual(t *testing.T) {
	book := newBook(t)
	reference := book.Markdown()
	if dir := os.Getenv(manualVariable); dir != "" {
		writeManual(t, dir, book)
		write(t, referencePage, reference)
		return
	}
	present, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(present), "\n"), strings.Split(string(reference), "\n")); diff != "" {
		t.Errorf("docs/cli.md is not what the commands say of themselves: run \"make manual\" (-docs/cli.md +commands):\n%s", diff)
	}
}

func writeManual(t *testing.T, dir string, book manual.Book) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil { // a command that is no more leaves no page
		t.Fatal(err)
	}
	for _, page := range book.Pages() {
		write(t, filepath.Join(dir, "man", page.Name), page.Text)
	}
	for name, shell := range map[string]string{"svcctl.bash": "bash", "_svcctl": "zsh", "svcctl.fish": "fish"} {
		var script bytes.Buffer
		if err := shells[shell](book.Root, &script); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "completions", name), script.Bytes())
	}
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	// What is there already stays untouched: packages are built, with the manual, while other tests read the page.
	if present, err := os.ReadFile(file); err == nil && bytes.Equal(present, text) {
		return
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Two programs that show manual pages have nothing to say against ours, not even about style.
func TestPagesAreClean(t *testing.T) {
	book := newBook(t)
	book.Date = "2026-01-31"
	dir := t.TempDir()
	var files []string
	for _, page := range book.Pages() {
		file := filepath.Join(dir, page.Name)
		write(t, file, page.Text)
		files = append(files, file)
	}
	for _, tool := range [][]string{
		{"mandoc", "-T", "lint", "-W", "style"},
		{"groff", "-man", "-Tutf8", "-ww", "-z"},
	} {
		path, err := exec.LookPath(tool[0])
		if err != nil && os.Getenv("SVCCTL_REQUIRE_NETNS") == "1" {
			t.Error(err)
		} else if err != nil {
			t.Logf("not judged by %s: %v", tool[0], err)
		} else if out, err := exec.Command(path, append(tool[1:], files...)...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", tool[0], err, out)
		}
	}
}

// The sections that a reader looks for are there, in the order of man-pages(7).
func TestPagesHaveTheSections(t *testing.T) {
	book := newBook(t)
	want := []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO"}
	for _, page := range book.Pages() {
		var got []string
		for line := range strings.SplitSeq(string(page.Text), "\n") {
			if title, ok := strings.CutPrefix(line, ".SH "); ok && slices.Contains(want, title) {
				got = append(got, title)
			}
		}
		want := want
		switch page.Name {
		case "svcctl.1":
			want = slices.DeleteFunc(slices.Clone(want), func(s string) bool { return s == "EXAMPLES" })
		case "svcctl-config.5":
			want = []string{"NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "SEE ALSO"}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", page.Name, diff)
		}
	}
}

// Flags, their values and their help.
func TestFlagsAreExplained(t *testing.T) {
	names := map[string]bool{}
	for _, cmd := range manual.Commands(helpTree()) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			names[f.Name] = true
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") || strings.ToUpper(f.Usage[:1]) == f.Usage[:1] && f.Usage[1] != ' ' {
				t.Errorf("%s --%s: its help is %q; want a phrase that begins in lower case and has no full stop",
					cmd.CommandPath(), f.Name, f.Usage)
			}
			if f.Value.Type() != "bool" && valueWords[f.Name] == "" {
				t.Errorf("%s --%s: valueWords in help.go has no word that stands for its value", cmd.CommandPath(), f.Name)
			}
			_, completed := cmd.GetFlagCompletionFunc(f.Name)
			if words := strings.Contains(f.Usage, ": ") && strings.Contains(f.Usage, " or "); words && annotation(f, helpValue) == "FORMAT" &&
				!completed {
				t.Errorf("%s --%s: it takes one of a few words and does not complete them", cmd.CommandPath(), f.Name)
			}
		})
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its short help is %q; want a phrase without a full stop", cmd.CommandPath(), cmd.Short)
		}
	}
}
