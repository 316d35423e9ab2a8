package compiler

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// A pass that breaks an invariant is named, also where its elements are worked out after it.
func TestBrokenElementsNameTheirPass(t *testing.T) {
	st := newState(&resolve.Model{}, Config{Table: "t"})
	addTables(st)
	st.pass = "hairpin"
	st.fill(st.families[0], setClusterIPs, func() graph.Elements {
		twice := graph.Element{Key: graph.Key{Addr: netip.MustParseAddr("10.96.0.1")}}
		return graph.ElementsOf([]graph.Element{twice, twice})
	})
	st.pass = "sizes"
	setSizes(st)
	if err := st.check(); err == nil || !strings.Contains(err.Error(), `after pass "hairpin"`) || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v, want what is twice after the pass hairpin", err)
	}
}
