package render

import (
	"fmt"
	"strconv"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
)

// appendRule appends the statements of a rule as nft reads them.
func appendRule(b []byte, f graph.Family, r graph.Rule) []byte {
	for i, s := range r.Stmts {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendStmt(b, f, s)
	}
	return b
}

// ruleText gives a rule as nft reads it.
func ruleText(f graph.Family, r graph.Rule) string { return string(appendRule(nil, f, r)) }

// ruleRuns gives rules for a reader, equal neighbours once with their number: the tries of a shape are many and all the
// same.
func ruleRuns(f graph.Family, rules []graph.Rule) []string {
	var out []string
	for i := 0; i < len(rules); {
		text := ruleText(f, rules[i])
		n := 1
		for i+n < len(rules) && ruleText(f, rules[i+n]) == text {
			n++
		}
		i += n
		if n > 1 {
			text += "  × " + strconv.Itoa(n)
		}
		out = append(out, text)
	}
	return out
}

func appendStmt(b []byte, f graph.Family, stmt graph.Stmt) []byte {
	switch s := stmt.(type) {
	case graph.Match:
		b = append(appendExpr(b, f, s.X), ' ')
		return append(b, valueWord(s.Value)...)
	case graph.MatchSet:
		b = appendExpr(b, f, s.X)
		if s.Not {
			b = append(b, " !="...)
		}
		return append(append(b, " @"...), s.Set...)
	case graph.LookupVerdict:
		return append(append(appendExpr(b, f, s.X), " vmap @"...), s.Map...)
	case graph.DNAT:
		b = appendExpr(append(b, "dnat to "...), f, s.X)
		return append(append(b, " map @"...), s.Map...)
	case graph.Masquerade:
		return append(b, "masquerade fully-random"...)
	case graph.Reject:
		return append(append(b, "reject with "...), rejectWords(f, s.With)...)
	case graph.Counter:
		return append(b, "counter"...)
	case graph.Update:
		b = append(append(append(b, "update @"...), s.Map...), " { "...)
		b = appendTimeout(append(appendExpr(b, f, s.Key), " timeout "...), s.Timeout)
		return append(appendExpr(append(b, " : "...), f, s.Data), " }"...)
	case graph.Do:
		return appendVerdict(b, s.Verdict)
	default:
		panic(fmt.Sprintf("render: unhandled statement %T", stmt))
	}
}

func appendExpr(b []byte, f graph.Family, expr graph.Expr) []byte {
	switch x := expr.(type) {
	case graph.Payload:
		return append(b, payloadWords(f, x)...)
	case graph.L4Proto:
		return append(b, "meta l4proto"...)
	case graph.Ct:
		return append(b, ctWords(f, x)...)
	case graph.FibType:
		return append(append(append(b, "fib "...), addrSide(x.Of)...), " type"...)
	case graph.Masked:
		// The parentheses keep the mask from taking in the rest of a concatenation, "." binding tighter than "&".
		b = append(appendExpr(append(b, '('), f, x.X), " & "...)
		return append(x.Mask.AppendTo(b), ')')
	case graph.Numgen:
		b = strconv.AppendUint(append(b, "numgen random mod "...), uint64(x.Mod), 10)
		if x.Offset != 0 {
			b = strconv.AppendUint(append(b, " offset "...), uint64(x.Offset), 10)
		}
		return b
	case graph.Jhash:
		b = appendExpr(append(b, "jhash "...), f, x.X)
		b = strconv.AppendUint(append(b, " mod "...), uint64(x.Mod), 10)
		b = strconv.AppendUint(append(b, " seed 0x"...), uint64(x.Seed), 16)
		if x.Offset != 0 {
			b = strconv.AppendUint(append(b, " offset "...), uint64(x.Offset), 10)
		}
		return b
	case graph.Concat:
		for i, part := range x {
			if i > 0 {
				b = append(b, " . "...)
			}
			b = appendExpr(b, f, part)
		}
		return b
	default:
		panic(fmt.Sprintf("render: unhandled expression %T", expr))
	}
}

func payloadWords(f graph.Family, p graph.Payload) string {
	if p == graph.DestPort {
		return "th dport"
	}
	return f.String() + " " + addrSide(p)
}

// addrSide gives nft's word for an address of the packet.
func addrSide(p graph.Payload) string {
	switch p {
	case graph.SourceAddr:
		return "saddr"
	case graph.DestAddr:
		return "daddr"
	default:
		panic(fmt.Sprintf("render: payload %d is no address", p))
	}
}

func ctWords(f graph.Family, c graph.Ct) string {
	switch c {
	case graph.CtState:
		return "ct state"
	case graph.CtStatus:
		return "ct status"
	case graph.CtOriginalSource:
		return "ct original " + f.String() + " saddr"
	case graph.CtOriginalDest:
		return "ct original " + f.String() + " daddr"
	case graph.CtOriginalDestPort:
		return "ct original proto-dst"
	default:
		panic(fmt.Sprintf("render: unhandled conntrack key %d", c))
	}
}

// valueWord gives nft's word for a constant; the JSON schema uses the same words.
func valueWord(value graph.Value) string {
	switch v := value.(type) {
	case graph.Proto:
		return v.String()
	case graph.AddrType:
		if v == graph.AddrTypeLocal {
			return "local"
		}
	case graph.CtStateBit:
		if v == graph.CtNew {
			return "new"
		}
	case graph.CtStatusBit:
		if v == graph.CtDNAT {
			return "dnat"
		}
	}
	panic(fmt.Sprintf("render: unhandled value %T %v", value, value))
}

func rejectWords(f graph.Family, with graph.RejectWith) string {
	switch {
	case with == graph.TCPReset:
		return "tcp reset"
	case with == graph.PortUnreachable && f == graph.IPv6:
		return "icmpv6 port-unreachable"
	case with == graph.PortUnreachable:
		return "icmp port-unreachable"
	default:
		panic(fmt.Sprintf("render: unhandled reject form %d", with))
	}
}

func appendVerdict(b []byte, v graph.Verdict) []byte {
	b = append(b, v.Op.String()...)
	if v.Chain != "" {
		b = append(append(b, ' '), v.Chain...)
	}
	return b
}

// appendTimeout appends a duration of whole seconds as nft lists it: 10,800 s is "3h", 86,461 s "1d1m1s".
func appendTimeout(b []byte, d time.Duration) []byte {
	s := int64(d / time.Second)
	if s == 0 {
		return append(b, "0s"...)
	}
	for _, unit := range [...]struct {
		seconds int64
		letter  byte
	}{{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}} {
		if n := s / unit.seconds; n > 0 {
			b = append(strconv.AppendInt(b, n, 10), unit.letter)
			s %= unit.seconds
		}
	}
	return b
}
