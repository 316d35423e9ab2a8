package nft

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"testing"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

func itoa(n int) string { return strconv.Itoa(n) }

// largeTable is a table with a map of n endpoints.
func largeTable(n int) *g.Table {
	s := &g.Set{
		Name: "endpoints", Key: append([]g.Field{}, g.AddrField, g.ProtoField, g.PortField, g.SlotField), Data: addrPort,
		Size: uint32(2 * n),
	}
	s.Elements = g.MakeElements(g.IPv4, s, n)
	for i := range n {
		s.Elements.Append(g.Element{
			Key:  g.Key{Addr: numberedAddr(0x0a600000 + i/16), Proto: g.TCP, Port: 80, Slot: uint32(i % 16)},
			Data: g.Data{Addr: numberedAddr(0x0a010000 + i), Port: 8080},
		})
	}
	return &g.Table{Name: "svcctl", Sets: []*g.Set{s}}
}

func numberedAddr(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("reading back is quadratic in the kernel")
	}
	c := openPrivate(t)
	table := largeTable(300_000)
	err := c.Commit(t.Context(), createPlan(plan.Create, table), 0)
	if size := (*BatchSizeError)(nil); errors.As(err, &size) {
		t.Log(err)
		table = largeTable(size.Limit / 50)
		err = c.Commit(t.Context(), createPlan(plan.Create, table), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := &g.Ruleset{Tables: []*g.Table{table}}
	if err := c.VerifyCounts(t.Context(), want); err != nil {
		t.Error(err)
	}
	if p := plan.Diff(read(t, c).Ruleset, want); !p.Empty() {
		t.Errorf("what was read back differs: %+v", p.Count())
	}
	// One element too few is noticed by its number alone.
	s := table.Sets[0]
	commit(t, c, &plan.Plan{Tables: []plan.TableChange{{
		Op: plan.Update, Name: "svcctl", Elements: []plan.ElementChange{{Set: s, Del: s.Elements.Slice(77, 78)}},
	}}})
	if err := c.VerifyCounts(t.Context(), want); err == nil {
		t.Error("a missing element is not noticed")
	}
}
