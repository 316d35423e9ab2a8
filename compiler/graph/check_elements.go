package graph

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// CheckElements is the part of [Check] that concerns the elements of one set: each has exactly the parts that the set's
// type says, of the table's family, they are in canonical order without duplicates or overlaps, and every verdict names
// a chain that is there.
func CheckElements(t *Table, s *Set) error {
	c := &elementChecker{table: t, set: s, chains: map[string]bool{}}
	for _, ch := range t.Chains {
		c.chains[ch.Name] = ch.Hook == nil
	}
	if s.Dynamic && s.Elements.Len() > 0 {
		return c.errorf("a dynamic set has no elements of its own")
	}
	if s.Size > 0 && uint64(s.Elements.Len()) > uint64(s.Size) {
		return c.errorf("%d elements in a set of size %d", s.Elements.Len(), s.Size)
	}
	if c.uniform() {
		return nil
	}
	var errs []error
	for i := range s.Elements.Len() {
		if err := c.element(i); err != nil {
			if errs = append(errs, err); len(errs) == 10 {
				break // one defect of a pass shows in every element
			}
		}
	}
	return errors.Join(errs...)
}

type elementChecker struct {
	table  *Table
	set    *Set
	chains map[string]bool
}

func (c *elementChecker) errorf(format string, args ...any) error {
	return fmt.Errorf("table %s %s: set %s: %w", c.table.Family, c.table.Name, c.set.Name, fmt.Errorf(format, args...))
}

// uniform proves all elements right at once where their form is that of the set's type, as it is of those that a pass
// made: then each has exactly the parts it should have, of the family, and what is left is their order, the protocols
// and the verdicts. Where it fails, the elements have to be looked at one by one to say why.
func (c *elementChecker) uniform() bool {
	l := &c.set.Elements
	want := formOf(c.table.Family, c.set)
	want.origin = l.form.origin
	if want = want.counted(); c.set.Interval || l.form != want {
		return false
	}
	protocols := slices.Contains(c.set.Key, ProtoField)
	for i := range l.Len() {
		if i > 0 && l.CompareKeys(i-1, l, i) >= 0 {
			return false
		}
		if p := l.proto(i); protocols && (p < TCP || p > SCTP) {
			return false
		}
		if l.form.verdict && !c.dataParts(l.At(i).Data) {
			return false
		}
	}
	return true
}

func (c *elementChecker) element(i int) error {
	e := c.set.Elements.At(i)
	if !c.keyParts(e.Key) {
		return c.errorf("element %+v: the key does not fit the set's type", e.Key)
	}
	if !c.dataParts(e.Data) {
		return c.errorf("element %+v: the data %+v do not fit the map's type", e.Key, e.Data)
	}
	if i == 0 {
		return nil
	}
	prev := c.set.Elements.KeyAt(i - 1)
	switch order := prev.Compare(e.Key); {
	case order == 0:
		return c.errorf("element %+v: twice", e.Key)
	case order > 0:
		return c.errorf("element %+v: out of order", e.Key)
	case c.set.Interval && overlap(prev, e.Key):
		return c.errorf("element %+v: overlaps with the one before", e.Key)
	}
	return nil
}

func (c *elementChecker) keyParts(k Key) bool {
	var want Key // a part that is not zero has to be there
	addrs, ports := 0, 0
	for _, f := range c.set.Key {
		switch f {
		case AddrField:
			addrs++
		case ProtoField:
			want.Proto = k.Proto
			if k.Proto < TCP || k.Proto > SCTP {
				return false
			}
		case PortField:
			if ports++; ports == 1 {
				want.Port = k.Port
			} else {
				want.PeerPort = k.PeerPort
			}
		case SlotField:
			want.Slot = k.Slot
		case VerdictField:
			return false
		}
	}
	last := k.Addr
	if addrs >= 1 {
		want.Addr = k.Addr
	}
	if addrs == 2 {
		want.Peer, last = k.Peer, k.Peer
	}
	if c.set.Interval {
		want.RangeTo = k.RangeTo
		if !c.family(k.RangeTo) || k.RangeTo.Less(last) {
			return false
		}
	}
	return k == want && (addrs < 1 || c.family(k.Addr)) && (addrs < 2 || c.family(k.Peer))
}

func (c *elementChecker) family(a netip.Addr) bool { return c.table.Family.Of(a) }

func (c *elementChecker) dataParts(d Data) bool {
	switch {
	case !c.set.IsMap():
		return d == Data{}
	case !c.set.IsVerdictMap():
		return d.Verdict == Verdict{} && c.family(d.Addr)
	case d.Addr.IsValid() || d.Port != 0:
		return false
	case d.Verdict.Op == Jump, d.Verdict.Op == Goto:
		return c.chains[d.Verdict.Chain]
	default:
		return d.Verdict.Op >= Accept && d.Verdict.Chain == ""
	}
}

// overlap reports whether two ranges of a set, the first of which comes first, have an address in common.
func overlap(a, b Key) bool {
	if b.Peer.IsValid() { // the range is of the peer: the rest of the key must be the same
		return a.Addr == b.Addr && a.Proto == b.Proto && a.Port == b.Port && a.Slot == b.Slot && !a.RangeTo.Less(b.Peer)
	}
	return !a.RangeTo.Less(b.Addr)
}
