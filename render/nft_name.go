package render

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/svcctl/svcctl/compiler/graph"
)

// maxComment is the longest comment nft accepts, in bytes (libnftnl, NFTNL_UDATA_COMMENT_MAXLEN).
const maxComment = 128

// checkNames makes sure that every name and comment of a table can be written in a script without changing what the
// script means: nft has no way to quote a name, and none to write a quote inside a quoted comment.
func checkNames(t *graph.Table) error {
	if err := checkName("table", t.Name); err != nil {
		return err
	}
	if err := checkComment(t.Comment); err != nil {
		return fmt.Errorf("table %s %s: %w", t.Family, t.Name, err)
	}
	for _, s := range t.Sets {
		if err := checkName(setWord(s), s.Name); err != nil {
			return fmt.Errorf("table %s %s: %w", t.Family, t.Name, err)
		}
	}
	for _, c := range t.Chains {
		if err := checkName("chain", c.Name); err != nil {
			return fmt.Errorf("table %s %s: %w", t.Family, t.Name, err)
		}
	}
	return nil
}

// checkName accepts what nft's scanner takes as one identifier (nftables, src/scanner.l, "string"), less the backslash.
func checkName(what, name string) error {
	for i, r := range name {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		inner := '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.' || r == '/'
		if !letter && (i == 0 || !inner) {
			return fmt.Errorf("%s name %q cannot be written in an nft script", what, name)
		}
	}
	if name == "" {
		return fmt.Errorf("%s without a name", what)
	}
	return nil
}

func checkComment(comment string) error {
	if len(comment) > maxComment {
		return fmt.Errorf("comment of %d bytes, nft takes at most %d", len(comment), maxComment)
	}
	if strings.ContainsFunc(comment, func(r rune) bool { return r == '"' || unicode.IsControl(r) }) {
		return fmt.Errorf("comment %q cannot be written in an nft script", comment)
	}
	return nil
}

// ownerText names an owner: "demo/web port http", or "demo/web" for the unnamed port.
func ownerText(o *graph.Owner) string {
	name := o.Service.Name
	if o.Service.Namespace != "" {
		name = o.Service.Namespace + "/" + name
	}
	if o.Port != "" {
		name += " port " + o.Port
	}
	return name
}

// plainLine replaces whatever could end a line or hide in it, so that text from the input stays inside the comment,
// label or line it is written to.
func plainLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\\' || r == '"' || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
