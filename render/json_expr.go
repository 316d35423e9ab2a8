package render

import (
	"fmt"
	"strconv"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
)

// appendRuleJSON appends the statements of a rule as libnftables' JSON schema has them, without spaces, on one line.
func appendRuleJSON(b []byte, f graph.Family, r graph.Rule) []byte {
	b = append(b, '[')
	for i, s := range r.Stmts {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendStmtJSON(b, f, s)
	}
	return append(b, ']')
}

func appendStmtJSON(b []byte, f graph.Family, stmt graph.Stmt) []byte {
	switch s := stmt.(type) {
	case graph.Match:
		op := "=="
		if isBits(s.Value) {
			op = "in"
		}
		b = appendExprJSON(append(b, `{"match": {"op": "`+op+`", "left": `...), f, s.X)
		return append(b, `, "right": "`+valueWord(s.Value)+`"}}`...)
	case graph.MatchSet:
		op := "=="
		if s.Not {
			op = "!="
		}
		b = appendExprJSON(append(b, `{"match": {"op": "`+op+`", "left": `...), f, s.X)
		return append(b, `, "right": "@`+s.Set+`"}}`...)
	case graph.LookupVerdict:
		b = appendExprJSON(append(b, `{"vmap": {"key": `...), f, s.X)
		return append(b, `, "data": "@`+s.Map+`"}}`...)
	case graph.DNAT:
		b = append(b, `{"dnat": {"family": "`+f.String()+`", "addr": {"map": {"key": `...)
		return append(appendExprJSON(b, f, s.X), `, "data": "@`+s.Map+`"}}}}`...)
	case graph.Masquerade:
		return append(b, `{"masquerade": {"flags": "fully-random"}}`...)
	case graph.Reject:
		return append(append(append(b, `{"reject": `...), rejectJSON(f, s.With)...), '}')
	case graph.Counter:
		return append(b, `{"counter": {"packets": 0, "bytes": 0}}`...)
	case graph.Update:
		return appendUpdateJSON(b, f, s)
	case graph.Do:
		return appendVerdictJSON(b, s.Verdict)
	default:
		panic(fmt.Sprintf("render: unhandled statement %T", stmt))
	}
}

func appendUpdateJSON(b []byte, f graph.Family, s graph.Update) []byte {
	b = appendExprJSON(append(b, `{"map": {"op": "update", "elem": {"elem": {"val": `...), f, s.Key)
	b = strconv.AppendInt(append(b, `, "timeout": `...), int64(s.Timeout/time.Second), 10)
	b = appendExprJSON(append(b, `}}, "data": `...), f, s.Data)
	return append(b, `, "map": "@`+s.Map+`"}}`...)
}

// isBits reports whether the value matches as a set of bits, which the schema writes "in" and not "==".
func isBits(value graph.Value) bool {
	switch value.(type) {
	case graph.CtStateBit, graph.CtStatusBit:
		return true
	case graph.Proto, graph.AddrType:
		return false
	default:
		panic(fmt.Sprintf("render: unhandled value %T", value))
	}
}

func rejectJSON(f graph.Family, with graph.RejectWith) string {
	switch {
	case with == graph.TCPReset:
		return `{"type": "tcp reset"}`
	case with == graph.PortUnreachable && f == graph.IPv6:
		return `{"type": "icmpv6", "expr": "port-unreachable"}`
	case with == graph.PortUnreachable:
		return `{"type": "icmp", "expr": "port-unreachable"}`
	default:
		panic(fmt.Sprintf("render: unhandled reject form %d", with))
	}
}

func appendVerdictJSON(b []byte, v graph.Verdict) []byte {
	b = append(append(b, `{"`...), v.Op.String()...)
	if v.Chain == "" {
		return append(b, `": null}`...)
	}
	return append(b, `": {"target": "`+v.Chain+`"}}`...)
}

func appendExprJSON(b []byte, f graph.Family, expr graph.Expr) []byte {
	switch x := expr.(type) {
	case graph.Payload:
		if x == graph.DestPort {
			return append(b, `{"payload": {"protocol": "th", "field": "dport"}}`...)
		}
		return append(b, `{"payload": {"protocol": "`+f.String()+`", "field": "`+addrSide(x)+`"}}`...)
	case graph.L4Proto:
		return append(b, `{"meta": {"key": "l4proto"}}`...)
	case graph.Ct:
		return append(b, ctJSON(f, x)...)
	case graph.FibType:
		return append(b, `{"fib": {"result": "type", "flags": ["`+addrSide(x.Of)+`"]}}`...)
	case graph.Masked:
		b = append(appendExprJSON(append(b, `{"&": [`...), f, x.X), `, "`...)
		return append(x.Mask.AppendTo(b), `"]}`...)
	case graph.Numgen:
		b = strconv.AppendUint(append(b, `{"numgen": {"mode": "random", "mod": `...), uint64(x.Mod), 10)
		b = strconv.AppendUint(append(b, `, "offset": `...), uint64(x.Offset), 10)
		return append(b, "}}"...)
	case graph.Jhash:
		b = strconv.AppendUint(append(b, `{"jhash": {"mod": `...), uint64(x.Mod), 10)
		b = strconv.AppendUint(append(b, `, "seed": `...), uint64(x.Seed), 10)
		b = strconv.AppendUint(append(b, `, "offset": `...), uint64(x.Offset), 10)
		return append(appendExprJSON(append(b, `, "expr": `...), f, x.X), "}}"...)
	case graph.Concat:
		b = append(b, `{"concat": [`...)
		for i, part := range x {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendExprJSON(b, f, part)
		}
		return append(b, "]}"...)
	default:
		panic(fmt.Sprintf("render: unhandled expression %T", expr))
	}
}

func ctJSON(f graph.Family, c graph.Ct) string {
	switch c {
	case graph.CtState:
		return `{"ct": {"key": "state"}}`
	case graph.CtStatus:
		return `{"ct": {"key": "status"}}`
	case graph.CtOriginalSource:
		return `{"ct": {"key": "` + f.String() + ` saddr", "dir": "original"}}`
	case graph.CtOriginalDest:
		return `{"ct": {"key": "` + f.String() + ` daddr", "dir": "original"}}`
	case graph.CtOriginalDestPort:
		return `{"ct": {"key": "proto-dst", "dir": "original"}}`
	default:
		panic(fmt.Sprintf("render: unhandled conntrack key %d", c))
	}
}
