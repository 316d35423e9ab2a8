package render

import (
	"io"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
)

// NFT writes the ruleset as a script for nft -f. The script deletes tables of the same names first, so that loading it
// is one atomic replacement whatever was there, and loading it again changes nothing. Elements that have an owner are
// followed by a comment with the names of their Service port, in the map of services only; there are no line numbers in
// it, so that moving a manifest about does not change the text.
//
// nft 1.0.6 loads everything but one rule: it aborts while parsing an IPv6 map update with a concatenated key (an
// assertion in its register allocation). The kernel takes that rule, and nft 1.0.6 lists it. Whatever nft, a script is
// one message to the kernel: in a user namespace, where the socket buffer cannot be forced beyond its limit, a few
// thousand elements are too long for it ("Message too long").
//
// The error is that of the writer, or about a name or comment that no script can express.
func NFT(w io.Writer, rs *graph.Ruleset) error {
	out := newWriter(w)
	for i, t := range rs.Tables {
		if err := checkNames(t); err != nil {
			out.fail(err)
			break
		}
		if i > 0 {
			out.str("\n")
		}
		writeTable(out, t)
	}
	return out.close()
}

func writeTable(out *writer, t *graph.Table) {
	name := t.Family.String() + " " + t.Name
	// A table that is not there cannot be deleted: declaring it first makes the deletion always possible.
	out.str("table ", name, "\ndelete table ", name, "\n\ntable ", name, " {\n")
	if t.Comment != "" {
		out.str("\tcomment \"", t.Comment, "\"\n")
	}
	for _, s := range t.Sets {
		out.str("\n")
		writeSet(out, t.Family, s)
	}
	for _, c := range t.Chains {
		out.str("\n")
		writeChain(out, t.Family, c)
	}
	out.str("}\n")
}

func writeSet(out *writer, f graph.Family, s *graph.Set) {
	out.str("\t", setWord(s), " ", s.Name, " {\n")
	for _, line := range setLines(f, s) {
		out.str("\t\t", line, "\n")
	}
	if s.Elements.Len() > 0 {
		out.str("\t\telements = {\n")
		writeElements(out, "\t\t\t", s, s.Elements)
		out.str("\t\t}\n")
	}
	out.str("\t}\n")
}

// setLines gives the declaration of a set without its elements, in the order in which nft lists it.
func setLines(f graph.Family, s *graph.Set) []string {
	lines := []string{setType(f, s)}
	if s.Size > 0 {
		lines = append(lines, "size "+strconv.FormatUint(uint64(s.Size), 10))
	}
	if s.Counter {
		lines = append(lines, "counter")
	}
	if flags := setFlags(s); len(flags) > 0 {
		lines = append(lines, "flags "+strings.Join(flags, ","))
	}
	return lines
}

// writeElements writes elements a line each, so that line diffs show elements. Every line ends in a comma, which nft
// allows after the last one too: a new last element does not change the line before it.
func writeElements(out *writer, indent string, s *graph.Set, elements graph.Elements) {
	// The other maps repeat the keys of this one, and comments there would only repeat the names.
	named := s.Name == graph.ServicesMap
	for e := range elements.All() {
		out.buf = append(out.buf, indent...)
		out.buf = append(appendElement(out.buf, s, &e), ',')
		if named && e.Owner != nil {
			out.str(" # ", plainLine(ownerText(e.Owner)))
		}
		out.buf = append(out.buf, '\n')
		out.spill()
	}
}

func writeChain(out *writer, f graph.Family, c *graph.Chain) {
	out.str("\tchain ", c.Name, " {\n")
	if c.Hook != nil {
		out.str("\t\t", hookText(c.Hook), "\n")
	}
	for _, r := range c.Rules {
		out.str("\t\t")
		out.buf = appendRule(out.buf, f, r)
		out.str("\n")
	}
	out.str("\t}\n")
}

// hookText gives the declaration of a base chain: "type nat hook prerouting priority dstnat; policy accept;".
func hookText(h *graph.Hook) string {
	return "type " + h.Type.String() + " hook " + h.Point.String() + " priority " + priorityText(h) + "; policy accept;"
}

// priorityText gives the name of a standard priority where nft takes it: dstnat on prerouting and srcnat on postrouting
// only, although -100 and 100 mean the same on the other hooks.
func priorityText(h *graph.Hook) string {
	switch {
	case h.Priority == 0:
		return "filter"
	case h.Priority == -100 && h.Point == graph.Prerouting:
		return "dstnat"
	case h.Priority == 100 && h.Point == graph.Postrouting:
		return "srcnat"
	default:
		return strconv.Itoa(int(h.Priority))
	}
}
