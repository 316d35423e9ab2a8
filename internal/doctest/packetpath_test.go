package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	// drawn is an entry of the figure in docs/packet-path.md: hook, type, priority, and the chain or map it leads to.
	drawn = regexp.MustCompile(`(prerouting|input|forward|output|postrouting) (nat|filter) +(-?\d+): ([a-z-]+)`)
	// baseChain is a base chain of a ruleset in nft's language, and its rules.
	baseChain = regexp.MustCompile(`(?m)^\t\ttype (\w+) hook (\w+) priority (\S+); policy accept;\n((?:\t\t.*\n)*)`)
	ledTo     = regexp.MustCompile(`(?:goto |@)([a-z-]+)`)
)

// TestPacketPathIsDrawnAsItIs: the figure has the hooks, types and priorities of the compiled tables, every one, and the
// chain or map that each leads to.
func TestPacketPathIsDrawnAsItIs(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/packet-path.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range drawn.FindAllStringSubmatch(string(page), -1) {
		got[strings.Join(m[1:4], " ")] = m[4]
	}
	files, _ := filepath.Glob(filepath.Join(cases, "affinity", "*.yaml"))
	// nft's names of priorities: netfilter's own numbers (include/uapi/linux/netfilter_ipv4.h).
	numbers := map[string]string{"dstnat": "-100", "srcnat": "100", "filter": "0"}
	want := map[string]string{}
	for _, m := range baseChain.FindAllStringSubmatch(string(ruleset(t, decodeFiles(t, files))), -1) {
		priority := m[3]
		if number, ok := numbers[priority]; ok {
			priority = number
		}
		to := ledTo.FindStringSubmatch(m[4])
		if to == nil {
			t.Fatalf("%s leads nowhere", m[0])
		}
		want[m[2]+" "+m[1]+" "+priority] = to[1]
	}
	if d := cmp.Diff(want, got); d != "" || len(want) == 0 {
		t.Errorf("compiled (-), drawn (+):\n%s", d)
	}
}
