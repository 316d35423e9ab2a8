package diag

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"dry-run", "force", "prune", "output", "output-dir", "web", "detailed-exitcode"}
	for word, want := range map[string]string{
		"dryrun": "dry-run", "Dry-Run": "dry-run", "forec": "force", "prunes": "prune", "outptu": "output",
		"det": "detailed-exitcode", // begins one, and is like none
		"out": "",                  // begins two
		"w":   "", "zzz": "", "": "",
		"wbe": "web",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
