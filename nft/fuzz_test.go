package nft

import (
	"testing"

	"golang.org/x/sys/unix"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// FuzzDecode gives the decoders what no kernel would send: they may understand it or not, and must not panic.
func FuzzDecode(f *testing.F) {
	tables := program().Tables
	t, _ := encode(createPlan(plan.Create, tables...), 1, 7, kernel{})
	for h, p := range messages(t.buf) {
		if _, body, ok := familyPayload(p); ok {
			f.Add(h.typ, h.flags, body)
		}
	}
	f.Add(uint16(unix.NLMSG_ERROR), uint16(unix.NLM_F_ACK_TLVS), t.buf[:200])
	f.Fuzz(func(_ *testing.T, typ, flags uint16, b []byte) {
		for h, p := range messages(b) {
			parseAck(h, p)
		}
		parseAck(header{typ: typ, flags: flags}, b)
		decodeTable(b)
		decodeChain(b)
		for _, table := range tables {
			decodeSet(table.Family, b)
			sets := make(map[string]*g.Set)
			for _, s := range table.Sets {
				sets[s.Name] = s
				r := newElementReader(table.Family, s, 0)
				r.read(b)
				r.result()
			}
			r, err := decodeRule(table.Family, sets, decodeRuleInfo(b))
			if err == nil && len(r.Stmts) > 0 {
				// What is understood can be written again.
				ruleExprs(table.Family, &r)
			}
		}
	})
}
