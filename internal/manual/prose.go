package manual

import (
	"regexp"
	"strings"
)

// block is a piece of a help text: one of a paragraph, a list of definitions, and lines that are shown as they are.
type block struct {
	paragraph   string
	definitions []Entry
	literal     []string
}

// What --help prints is plain text: paragraphs, and below them lists whose lines begin with two blanks, a term and at
// least two more.
var definition = regexp.MustCompile(`^  (\S+(?: \S+)*)  +(\S.*)$`)

// parse divides a help text into its blocks.
func parse(help string) []block {
	var out []block
	var last *block
	for line := range strings.SplitSeq(strings.TrimSpace(help), "\n") {
		m := definition.FindStringSubmatch(line)
		switch {
		case line == "":
			last = nil
			continue
		case m != nil && (last == nil || last.definitions == nil):
			out = append(out, block{definitions: []Entry{{m[1], m[2]}}})
		case m != nil:
			last.definitions = append(last.definitions, Entry{m[1], m[2]})
		case strings.HasPrefix(line, "  ") && last != nil && last.definitions != nil:
			end := &last.definitions[len(last.definitions)-1]
			end.Text += " " + strings.TrimSpace(line)
		case strings.HasPrefix(line, "  ") && last != nil && last.literal != nil:
			last.literal = append(last.literal, line[2:])
		case strings.HasPrefix(line, "  "):
			out = append(out, block{literal: []string{line[2:]}})
		case last != nil && last.paragraph != "":
			last.paragraph += " " + line
		default:
			out = append(out, block{paragraph: line})
		}
		last = &out[len(out)-1]
	}
	return out
}

// span is a piece of a paragraph.
type span struct {
	text string
	code bool // what one types
}

// What one types: quoted commands and options, options by themselves, and names of variables. Other quotes are quotes.
var code = regexp.MustCompile(`"((?:svcctl|nft|unshare|ip|kubectl) [^"]+|--?[a-z][^"]*)"|(^|[\s("])(--?[a-zA-Z][a-z-]*(?:=[\w./]*\w)?|SVCCTL_[A-Z_*]+)`)

// spans divides a paragraph.
func spans(text string) []span {
	var out []span
	rest := 0
	for _, m := range code.FindAllStringSubmatchIndex(text, -1) {
		start, end, next := m[2], m[3], m[1]
		before := text[rest:m[0]]
		if start < 0 {
			start, end = m[6], m[7]
			before = text[rest:start]
		}
		if before != "" {
			out = append(out, span{text: before})
		}
		out = append(out, span{text: text[start:end], code: true})
		rest = next
	}
	if rest < len(text) {
		out = append(out, span{text: text[rest:]})
	}
	return out
}
