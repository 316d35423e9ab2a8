package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
)

// setWord gives nft's word for the object: "set" or "map".
func setWord(s *graph.Set) string {
	if s.IsMap() {
		return "map"
	}
	return "set"
}

// setType gives the type declaration of a set or map: "type ipv4_addr . inet_proto . inet_service : verdict". nft has no
// name for the type of a slot, so such a map is declared by the expressions that give its key and data instead.
func setType(f graph.Family, s *graph.Set) string {
	word, name := "type", typeName
	if slices.Contains(s.Key, graph.SlotField) {
		word, name = "typeof", typeofExpr
	}
	text := word + " " + joinFields(f, s.Key, name)
	if s.IsMap() {
		text += " : " + joinFields(f, s.Data, name)
	}
	return text
}

func joinFields(f graph.Family, fields []graph.Field, name func(graph.Family, graph.Field) string) string {
	words := make([]string, len(fields))
	for i, field := range fields {
		words[i] = name(f, field)
	}
	return strings.Join(words, " . ")
}

// typeName gives the name nft has for the type of a field.
func typeName(f graph.Family, field graph.Field) string {
	switch field {
	case graph.AddrField:
		if f == graph.IPv6 {
			return "ipv6_addr"
		}
		return "ipv4_addr"
	case graph.ProtoField:
		return "inet_proto"
	case graph.PortField:
		return "inet_service"
	case graph.SlotField:
		return "integer"
	case graph.VerdictField:
		return "verdict"
	default:
		panic(fmt.Sprintf("render: unhandled field %d", field))
	}
}

// slotModulus only gives the slot its type: any numgen is a 32-bit integer in host byte order.
const slotModulus = 65536

// fieldExpr gives an expression of the type of a field.
func fieldExpr(field graph.Field) graph.Expr {
	switch field {
	case graph.AddrField:
		return graph.DestAddr
	case graph.ProtoField:
		return graph.L4Proto{}
	case graph.PortField:
		return graph.DestPort
	case graph.SlotField:
		return graph.Numgen{Mod: slotModulus}
	case graph.VerdictField:
		panic("render: a verdict has no expression")
	default:
		panic(fmt.Sprintf("render: unhandled field %d", field))
	}
}

func typeofExpr(f graph.Family, field graph.Field) string {
	if field == graph.VerdictField {
		return typeName(f, field)
	}
	return string(appendExpr(nil, f, fieldExpr(field)))
}

// setFlags gives the flags of a set in the order in which nft lists them.
func setFlags(s *graph.Set) []string {
	var flags []string
	if s.Interval {
		flags = append(flags, "interval")
	}
	if s.Dynamic {
		flags = append(flags, "dynamic")
	}
	if s.Timeout {
		flags = append(flags, "timeout")
	}
	return flags
}
