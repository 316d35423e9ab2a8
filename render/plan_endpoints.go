package render

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/svcctl/svcctl/compiler/graph"
)

// slotChanges collects what happens to the slots of one service address. A reviewer wants to know which endpoints come
// and go; which of those that stay change their slots is only the price of it.
type slotChanges struct {
	service serviceKey
	changes []elementChange
}

// lines says which endpoints the address gains and loses, and how many slots change hands without that.
func (c *slotChanges) lines(before, after *graph.Table) []planLine {
	had, has := map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}
	for _, e := range c.changes {
		if e.del != nil {
			had[addrPortOf(e.del)] = true
		}
		if e.add != nil {
			has[addrPortOf(e.add)] = true
		}
	}
	// An endpoint with several slots, by its weight or in both ranges, may keep one that does not change.
	c.addUnchanged(had, has, before)
	c.addUnchanged(has, had, after)

	var out []planLine
	for _, gone := range sortedAddrs(had) {
		if !has[gone] {
			out = append(out, planLine{'-', "endpoint " + gone.String() + "  (" + c.service.String() + ")"})
		}
	}
	for _, come := range sortedAddrs(has) {
		if !had[come] {
			out = append(out, planLine{'+', "endpoint " + come.String() + "  (" + c.service.String() + ")"})
		}
	}
	if n := c.moved(had, has); n > 0 {
		slots := " slots"
		if n == 1 {
			slots = " slot"
		}
		out = append(out, planLine{'~', strconv.Itoa(n) + slots + " of " + c.service.String() + " for endpoints that stay"})
	}
	return out
}

// addUnchanged adds to a set those endpoints of another one that the address has in a table.
func (c *slotChanges) addUnchanged(set, others map[netip.AddrPort]bool, t *graph.Table) {
	if t == nil {
		return
	}
	s := t.Set(c.changes[0].set.Name)
	if s == nil {
		return
	}
	for e := range s.From(graph.Key{Addr: c.service.Addr, Proto: c.service.Proto, Port: c.service.Port}) {
		if key, _ := serviceOf(s, &e.Key); key != c.service {
			return
		}
		if a := addrPortOf(&e); others[a] {
			set[a] = true
		}
	}
}

// moved counts the slots that go to an endpoint which was there before.
func (c *slotChanges) moved(had, has map[netip.AddrPort]bool) int {
	n := 0
	for _, e := range c.changes {
		if e.add != nil && had[addrPortOf(e.add)] || e.add == nil && has[addrPortOf(e.del)] {
			n++
		}
	}
	return n
}

func addrPortOf(e *graph.Element) netip.AddrPort { return netip.AddrPortFrom(e.Data.Addr, e.Data.Port) }

func sortedAddrs(set map[netip.AddrPort]bool) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, len(set))
	for a := range set {
		out = append(out, a)
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return out
}
