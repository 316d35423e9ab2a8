package doctest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
	// notInAnchor is what GitHub leaves out of a heading to make its anchor.
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}\p{M} _-]`)
)

// TestLinks: whatever a document links to within the repository is there, the heading too.
func TestLinks(t *testing.T) {
	for _, path := range documents(t) {
		data, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range deadLinks(path, string(data)) {
			t.Error(problem)
		}
	}
}

// deadLinks gives the links of a document, whose path is from the root of the repository, that lead nowhere.
func deadLinks(path, text string) []string {
	var out []string
	for i, line := range strings.Split(prose(text), "\n") {
		for _, m := range link.FindAllStringSubmatch(line, -1) {
			file, anchor, hasAnchor := strings.Cut(m[1], "#")
			if strings.Contains(file, ":") {
				continue // another host's
			}
			target := filepath.Join(root, filepath.Dir(path), file)
			if file == "" {
				target = filepath.Join(root, path)
			}
			if _, err := os.Stat(target); err != nil {
				out = append(out, fmt.Sprintf("%s:%d: a link to %s, and there is no such file", path, i+1, m[1]))
				continue
			}
			if !hasAnchor || !strings.HasSuffix(target, ".md") {
				continue
			}
			there, err := os.ReadFile(target)
			if err != nil || !anchors(string(there))[anchor] {
				out = append(out, fmt.Sprintf("%s:%d: a link to %s, and there is no such heading", path, i+1, m[1]))
			}
		}
	}
	return out
}

// prose gives a document with its fenced blocks empty and the lines in their places.
func prose(text string) string {
	inside := false
	all := strings.Split(text, "\n")
	for i, line := range all {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
			all[i] = ""
		} else if inside {
			all[i] = ""
		}
	}
	return strings.Join(all, "\n")
}

// anchors gives those of a document's headings, as GitHub makes them: a heading that is there already gets a number.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, line := range strings.Split(prose(text), "\n") {
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		title := link.ReplaceAllString(m[1], "]")
		base := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
		anchor := base
		for n := 1; out[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", base, n)
		}
		out[anchor] = true
	}
	return out
}

func TestDeadLinks(t *testing.T) {
	const text = "# A, `b`: [c](README.md) d_e-f\n# Twice\n# Twice\n[1](README.md) [2](README.md#nowhere) [3](#a-b-c-d_e-f) " +
		"[4](https://example.com/x#y) [5](none.md) [6](#twice-2) [7](#twice-1)\n```\n[8](none.md)\n# In a block\n```\n[9](#in-a-block)\n"
	// The links within the document are looked up in the file itself: README.md, which has none of them.
	got := strings.Join(deadLinks("README.md", text), "\n")
	for _, dead := range []string{"README.md#nowhere", "none.md", "#twice-2", "#in-a-block"} {
		if !strings.Contains(got, "a link to "+dead+",") {
			t.Errorf("%s is not found:\n%s", dead, got)
		}
	}
	if strings.Contains(got, "example.com") || strings.Count(got, "none.md") != 1 {
		t.Errorf("too much is found:\n%s", got)
	}
	for _, anchor := range []string{"a-b-c-d_e-f", "twice", "twice-1"} {
		if !anchors(text)[anchor] {
			t.Errorf("no anchor %s in %v", anchor, anchors(text))
		}
	}
}
