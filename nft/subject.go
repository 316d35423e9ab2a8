package nft

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
)

// subject is what a message of a transaction is about. The kernel names the message that it refuses, and mostly the place
// in it; the subject turns that back into words.
type subject interface {
	// at names what lies at an offset from the start of the message, 0 where that is unknown, and its owner if it has one.
	at(offset int) (what string, owner *graph.Owner)
}

// tableSubject is a table as a whole.
type tableSubject struct {
	family graph.Family
	name   string
}

func (s tableSubject) at(int) (string, *graph.Owner) { return "table " + s.String(), nil }

// String gives "ip svcctl".
func (s tableSubject) String() string { return s.family.String() + " " + s.name }

// chainSubject is a chain, or with rule > 0 that rule of it.
type chainSubject struct {
	table tableSubject
	chain *graph.Chain
	rule  int
}

func (s chainSubject) at(int) (string, *graph.Owner) {
	what := s.table.String() + " chain " + s.chain.Name
	if s.rule > 0 {
		what += " rule " + strconv.Itoa(s.rule)
	}
	return what, s.chain.Owner
}

// setSubject is a set or map.
type setSubject struct {
	table tableSubject
	set   *graph.Set
}

func (s setSubject) at(int) (string, *graph.Owner) { return s.String(), nil }

// String gives "ip svcctl map services".
func (s setSubject) String() string {
	if s.set.IsMap() {
		return s.table.String() + " map " + s.set.Name
	}
	return s.table.String() + " set " + s.set.Name
}

// elementsSubject is the elements of a set that one message carries.
type elementsSubject struct {
	setSubject
	shape    *shape
	elements graph.Elements
	lives    []graph.Lifetime // of the elements, by place; nil: they stay as long as the set says
	deletion bool
	expiring bool // what is deleted may have expired by itself
	start    int  // offset of the first element
}

func (s *elementsSubject) at(offset int) (string, *graph.Owner) {
	if s.elements.Len() == 1 {
		offset = s.start
	}
	if offset < s.start {
		first := s.elements.KeyAt(0)
		return fmt.Sprintf("%s, one of %d elements from %s on", s, s.elements.Len(), s.shape.keyString(&first)), nil
	}
	end := s.start
	for i := range s.elements.Len() {
		e := s.elements.At(i)
		if end += s.size(i, &e); offset < end {
			return s.String() + " element " + s.shape.keyString(&e.Key), e.Owner
		}
	}
	return s.String(), nil
}

// size gives the number of bytes in the message of the element at a place.
func (s *elementsSubject) size(i int, e *graph.Element) int {
	n := s.shape.elementSize(e, !s.deletion)
	if s.lives != nil {
		n += lifetimeSize(s.lives[i])
	}
	return n
}

// setOf gives the name of the set that a subject is or belongs to, "" for none.
func setOf(s subject) string {
	switch s := s.(type) {
	case setSubject:
		return s.set.Name
	case *elementsSubject:
		return s.set.Name
	default:
		return ""
	}
}

// keyString gives a key as nft writes it: "10.96.0.1 . tcp . 80".
func (sh *shape) keyString(k *graph.Key) string {
	parts := make([]string, 0, len(sh.key))
	addr, port := k.Addr, k.Port
	for i, field := range sh.key {
		switch field {
		case graph.AddrField:
			if i == sh.ranged {
				parts = append(parts, rangeString(sh.bounds(k)))
			} else {
				parts = append(parts, addr.String())
			}
			addr = k.Peer
		case graph.ProtoField:
			parts = append(parts, k.Proto.String())
		case graph.PortField:
			parts = append(parts, strconv.Itoa(int(port)))
			port = k.PeerPort
		case graph.SlotField:
			parts = append(parts, strconv.FormatUint(uint64(k.Slot), 10))
		case graph.VerdictField:
			panic("nft: a verdict as key")
		}
	}
	return strings.Join(parts, " . ")
}

func rangeString(first, last netip.Addr) string {
	if first == last {
		return first.String()
	}
	return first.String() + "-" + last.String()
}
