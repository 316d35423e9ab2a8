package render

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/graph"
)

func jsonText(t testing.TB, rs *graph.Ruleset) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := JSON(&b, rs); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b.Bytes()) {
		t.Fatalf("not JSON:\n%s", head(b.String()))
	}
	return b.Bytes()
}

// jsonLoadable leaves out what libnftables 1.0.6 has no JSON for: maps to an address and port, and the rules that use
// them.
func jsonLoadable(rs *graph.Ruleset) *graph.Ruleset {
	out := &graph.Ruleset{}
	for _, t := range rs.Tables {
		kept := *withoutRules(t, func(s graph.Stmt) bool {
			switch s.(type) {
			case graph.DNAT, graph.Update:
				return true
			default:
				return false
			}
		})
		kept.Sets = slices.DeleteFunc(slices.Clone(t.Sets), func(s *graph.Set) bool { return len(s.Data) > 1 })
		out.Tables = append(out.Tables, &kept)
	}
	return out
}

// What libnftables can read of the JSON it loads to the same state as the script.
func TestJSONLoadsAsNFT(t *testing.T) {
	rs := jsonLoadable(programs())
	rs.Tables[0].Set("services").Size = 64
	files := map[string][]byte{"in.nft": nftText(t, rs), "in.json": jsonText(t, rs)}
	script := mustNetns(t, files, "nft -f in.nft; nft list ruleset")
	// libnftables 1.0.6 takes no notice of the comment of a table.
	script = strings.ReplaceAll(script, "\tcomment \""+rs.Tables[0].Comment+"\"\n", "")
	fromJSON := mustNetns(t, files, "nft -j -f in.json; nft -j -f in.json; nft list ruleset")
	fromJSON = strings.ReplaceAll(fromJSON, "\tcomment \""+rs.Tables[0].Comment+"\"\n", "")
	if d := cmp.Diff(script, fromJSON); d != "" {
		t.Errorf("(-script +JSON)\n%s", d)
	}
	if !strings.Contains(fromJSON, "table ip6 svcctl") || !strings.Contains(fromJSON, "vmap @services") {
		t.Errorf("little was loaded:\n%s", head(fromJSON))
	}
}

// Where libnftables lists an object of the whole program, the JSON says the same of it: the type of every set that is
// not declared by expressions, every base chain, and every rule 1.0.6 has words for.
func TestJSONListsAsRendered(t *testing.T) {
	rs := &graph.Ruleset{Tables: []*graph.Table{program(graph.IPv4)}}
	out := mustNetns(t, map[string][]byte{"in.nft": nftText(t, rs)}, "nft -f in.nft; nft -j list ruleset 2>/dev/null")
	listed := rulesOf(t, []byte(out), func(o map[string]any) any { return o["rule"] })
	rendered := rulesOf(t, jsonText(t, rs), func(o map[string]any) any {
		add, _ := o["add"].(map[string]any)
		return add["rule"]
	})
	if len(listed) != len(rendered) || len(listed) == 0 {
		t.Fatalf("%d rules listed, %d rendered", len(listed), len(rendered))
	}
	same := 0
	for i, r := range rendered {
		if strings.Contains(r, `"op":"update"`) || strings.Contains(r, "tcp reset") {
			continue // has no JSON in 1.0.6; has its protocol match folded into the reject
		}
		if d := cmp.Diff(listed[i], r); d != "" {
			t.Errorf("rule %d (-listed +rendered)\n%s", i, d)
		}
		same++
	}
	if same < 50 {
		t.Errorf("only %d rules compared", same)
	}
}

// rulesOf gives the statements of every rule in a document, as JSON with sorted members.
func rulesOf(t *testing.T, doc []byte, rule func(map[string]any) any) []string {
	t.Helper()
	var d struct{ Nftables []map[string]any }
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range d.Nftables {
		if r, ok := rule(o).(map[string]any); ok {
			b, err := json.Marshal(r["expr"])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(b))
		}
	}
	return out
}

// Each element is a line, so that one more element is one more line.
func TestJSONLines(t *testing.T) {
	a, b := largeRuleset(2, 3), largeRuleset(2, 4)
	more := bytes.Count(jsonText(t, b), []byte("\n")) - bytes.Count(jsonText(t, a), []byte("\n"))
	if more != 2 {
		t.Errorf("two elements more are %d lines more", more)
	}
}
