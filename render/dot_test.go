package render

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
)

func dotText(t testing.TB, rs *graph.Ruleset) string {
	t.Helper()
	var b bytes.Buffer
	if err := DOT(&b, rs); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Graphviz draws it: as many nodes as there are chains, sets and maps, and none that an edge alone brought in.
func TestDOTDraws(t *testing.T) {
	if _, err := exec.LookPath("dot"); err != nil {
		t.Skip("no Graphviz: ", err)
	}
	rs := programs()
	cmd := exec.CommandContext(t.Context(), "dot", "-Tsvg")
	cmd.Stdin = strings.NewReader(dotText(t, rs))
	var svg, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &svg, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("dot -Tsvg: %v\n%s", err, stderr.String())
	}
	want := 0
	for _, table := range rs.Tables {
		want += len(table.Chains) + len(table.Sets)
	}
	if got := strings.Count(svg.String(), `class="node"`); got != want {
		t.Errorf("%d nodes drawn, want %d", got, want)
	}
	if got := strings.Count(svg.String(), `class="cluster"`); got != len(rs.Tables) {
		t.Errorf("%d clusters drawn, want %d", got, len(rs.Tables))
	}
}

// The picture does not grow with the services.
func TestDOTSize(t *testing.T) {
	few, many := dotText(t, largeRuleset(10, 3)), dotText(t, largeRuleset(1000, 3))
	if a, b := strings.Count(few, "\n"), strings.Count(many, "\n"); a != b {
		t.Errorf("%d lines for 10 services, %d for 1000", a, b)
	}
	if !strings.Contains(many, "3000 elements") {
		t.Error("no count of elements")
	}
}

// A verdict map leads to the chains its elements name, equal rules are drawn once.
func TestDOTEdges(t *testing.T) {
	text := dotText(t, &graph.Ruleset{Tables: []*graph.Table{program(graph.IPv4)}})
	for _, want := range []string{
		`"ip svcctl set affinity-timeouts" -> "ip svcctl chain learn-10800" [label="jump × 2"]`,
		`"ip svcctl chain dispatch" -> "ip svcctl set services" [label="vmap", style=dashed]`,
		`"ip svcctl chain nat-prerouting" -> "ip svcctl chain dispatch" [label="goto"]`,
		"numgen random mod 4 map @endpoints  × 8\\l",
	} {
		if n := strings.Count(text, want); n != 1 && !strings.Contains(want, "×") || n == 0 {
			t.Errorf("%d of %s in\n%s", n, want, text)
		}
	}
}
