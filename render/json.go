package render

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
)

// JSON writes the ruleset in libnftables' JSON schema, for nft -j -f, as an atomic replacement like [NFT]: every table is
// declared, deleted and made again, then its chains, its sets and maps with their elements, and its rules. Each command
// and each element is a line of its own, so that line diffs show elements. There are no owners in it: libnftables
// refuses members it does not know.
//
// libnftables 1.0.6 has no words for a part of the program. It loads the rest, but refuses a document with
//   - a map whose data are a concatenation (endpoints, affinity): its "map" member takes one type name only; a list, as
//     written here, came with 1.1.0;
//   - a key that is declared by an expression, {"typeof": …} (endpoints): newer still, and no type name fits a slot;
//   - the rules that use those maps, dnat to … map @endpoints, since the maps are not there;
//   - the statement {"map": {"op": "update", …}} (affinity): it can neither read nor write it before 1.0.9.
//
// It also takes no notice of the comment of a table.
//
// Use [NFT] to load, and JSON to read the program with other tools.
//
// The error is that of the writer, or about a name or comment that nft does not take.
func JSON(w io.Writer, rs *graph.Ruleset) error {
	out := newWriter(w)
	out.str("{\"nftables\": [\n", `  {"metainfo": {"json_schema_version": 1}}`)
	for _, t := range rs.Tables {
		if err := checkNames(t); err != nil {
			out.fail(err)
			break
		}
		writeTableJSON(out, t)
	}
	out.str("\n]}\n")
	return out.close()
}

func writeTableJSON(out *writer, t *graph.Table) {
	table := `{"table": {"family": "` + t.Family.String() + `", "name": "` + t.Name + `"`
	declared := table
	if t.Comment != "" {
		declared += `, "comment": ` + quoteJSON(t.Comment)
	}
	writeCommandJSON(out, "add", table+"}}")
	writeCommandJSON(out, "delete", table+"}}")
	writeCommandJSON(out, "add", declared+"}}")
	// Chains come first: a verdict map's elements name them.
	for _, c := range t.Chains {
		writeCommandJSON(out, "add", chainJSON(t, c))
	}
	for _, s := range t.Sets {
		writeSetJSON(out, t, s)
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			out.str(",\n", `  {"add": {"rule": {`, inTable(t), `, "chain": "`, c.Name, `", "expr": `)
			out.buf = appendRuleJSON(out.buf, t.Family, r)
			out.str("}}}")
		}
	}
}

func writeCommandJSON(out *writer, verb, object string) {
	out.str(",\n", `  {"`, verb, `": `, object, "}")
}

// inTable gives the members that say which table an object is in.
func inTable(t *graph.Table) string {
	return `"family": "` + t.Family.String() + `", "table": "` + t.Name + `"`
}

func chainJSON(t *graph.Table, c *graph.Chain) string {
	text := `{"chain": {` + inTable(t) + `, "name": "` + c.Name + `"`
	if h := c.Hook; h != nil {
		text += `, "type": "` + h.Type.String() + `", "hook": "` + h.Point.String() +
			`", "prio": ` + strconv.Itoa(int(h.Priority)) + `, "policy": "accept"`
	}
	return text + "}}"
}

func writeSetJSON(out *writer, t *graph.Table, s *graph.Set) {
	out.str(",\n", `  {"add": {"`, setWord(s), `": {`, inTable(t), `, "name": "`, s.Name, `", `, setTypeJSON(t.Family, s))
	if s.Size > 0 {
		out.str(`, "size": `, strconv.FormatUint(uint64(s.Size), 10))
	}
	if flags := setFlags(s); len(flags) > 0 {
		out.str(`, "flags": ["`, strings.Join(flags, `", "`), `"]`)
	}
	if s.Counter {
		out.str(`, "stmt": [{"counter": null}]`)
	}
	if s.Elements.Len() > 0 {
		out.str(`, "elem": `)
		writeElementsJSON(out, s)
	}
	out.str("}}}")
}

func writeElementsJSON(out *writer, s *graph.Set) {
	out.str("[")
	for i := range s.Elements.Len() {
		if i > 0 {
			out.buf = append(out.buf, ',')
		}
		out.buf = append(out.buf, "\n    "...)
		e := s.Elements.At(i)
		out.buf = appendElementJSON(out.buf, s, &e)
		out.spill()
	}
	out.str("\n  ]")
}

// setTypeJSON gives the members that declare the types of a set or map.
func setTypeJSON(f graph.Family, s *graph.Set) string {
	if slices.Contains(s.Key, graph.SlotField) {
		return typeofJSON(f, s)
	}
	text := `"type": ` + typesJSON(f, s.Key)
	if s.IsMap() {
		text += `, "map": ` + typesJSON(f, s.Data)
	}
	return text
}

func typesJSON(f graph.Family, fields []graph.Field) string {
	names := make([]string, len(fields))
	for i, field := range fields {
		names[i] = `"` + typeName(f, field) + `"`
	}
	if len(names) == 1 {
		return names[0]
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// typeofJSON declares the key by an expression, and the data by names: both forms are the same to the kernel.
func typeofJSON(f graph.Family, s *graph.Set) string {
	key := make(graph.Concat, len(s.Key))
	for i, field := range s.Key {
		key[i] = fieldExpr(field)
	}
	text := string(appendExprJSON([]byte(`"type": {"typeof": `), f, key)) + "}"
	if s.IsMap() {
		text += `, "map": ` + typesJSON(f, s.Data)
	}
	return text
}

// quoteJSON quotes a string that checkComment has let through.
func quoteJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("render: " + err.Error()) // a string always marshals
	}
	return string(b)
}
