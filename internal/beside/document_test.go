package beside

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/beside.md names tests that are there, names all of them, and tells operators to write what they try.
func TestDocument(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/beside.md")
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(page)), " ")
	tests := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "../systemd/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t `).FindAllStringSubmatch(string(source), -1) {
				tests[m[1]] = true
				if m[1] != t.Name() && filepath.Dir(file) == "." && !strings.Contains(flat, "`"+m[1]+"`") {
					t.Errorf("the page does not name %s", m[1])
				}
			}
		}
	}
	for _, m := range regexp.MustCompile("`(Test[A-Z]\\w*)`").FindAllStringSubmatch(flat, -1) {
		if !tests[m[1]] {
			t.Errorf("the page names %s, which is not there", m[1])
		}
	}
	action := regexp.MustCompile(`(?m)^action = nftables\[name=services.*$`).FindString(jails)
	for _, said := range []string{
		anyTranslated, onlyServices, ownTable, iptablesTranslated, ufwTranslated, letThrough, action,
	} {
		if said == "" || !strings.Contains(flat, strings.Join(strings.Fields(said), " ")) {
			t.Errorf("the page does not have what is tested:\n%s", said)
		}
	}
}
