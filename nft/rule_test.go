package nft

import (
	"testing"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	g "github.com/svcctl/svcctl/compiler/graph"
)

// expressions encodes a rule as the kernel would give it back, but for what edit does to it.
func expressions(t *testing.T, f g.Family, r g.Rule, edit func([]expr.Any) []expr.Any) ruleInfo {
	t.Helper()
	var b []byte
	for _, e := range edit(ruleExprs(f, &r)) {
		v, err := expr.Marshal(familyOf(f), e)
		if err != nil {
			t.Fatal(err)
		}
		b = appendBytes(b, unix.NFTA_LIST_ELEM, v)
	}
	return ruleInfo{expressions: b}
}

// TestRuleOfStrangeRegisters changes the registers of rules that nft could not write: what a rule means is what its
// registers hold, not the order in which they are filled.
func TestRuleOfStrangeRegisters(t *testing.T) {
	sets := make(map[string]*g.Set)
	for _, s := range programTable(g.IPv6).Sets {
		sets[s.Name] = s
	}
	translate := rule(g.DNAT{X: append(service[:3:3], g.Numgen{Mod: 4}), Map: "endpoints"})
	tests := []struct {
		name string
		edit func([]expr.Any) []expr.Any
		same bool
	}{
		{"as it is", func(e []expr.Any) []expr.Any { return e }, true},
		{"filled from behind", func(e []expr.Any) []expr.Any {
			e[0], e[3] = e[3], e[0]
			return e
		}, true},
		{"an address overwritten in part", func(e []expr.Any) []expr.Any {
			e[3].(*expr.Numgen).Register = slot(2).register()
			return e
		}, false},
		{"a field that is missing", func(e []expr.Any) []expr.Any { return append(e[:2], e[3:]...) }, false},
		{"a map looked up for nothing", func(e []expr.Any) []expr.Any { return e[:5] }, false},
		{"a translation to what no map gave", func(e []expr.Any) []expr.Any { return append(e[:4], e[5:]...) }, false},
		{"a port from another place", func(e []expr.Any) []expr.Any {
			e[5].(*expr.NAT).RegProtoMin = slot(3).register()
			return e
		}, false},
		{"an address of the other family", func(e []expr.Any) []expr.Any {
			e[0].(*expr.Payload).Len = 4
			return e
		}, false},
		{"a register that there is not", func(e []expr.Any) []expr.Any {
			e[3].(*expr.Numgen).Register = 24
			return e
		}, false},
	}
	for _, tt := range tests {
		got, err := decodeRule(g.IPv6, sets, expressions(t, g.IPv6, translate, tt.edit))
		if (err == nil) != tt.same {
			t.Errorf("%s: got %v, %v", tt.name, got, err)
		}
	}
}
