package nft

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// elementReader collects the elements of one set from the messages of a dump.
type elementReader struct {
	shape
	elements graph.Elements
	timeout  bool             // the set has timeouts
	counter  bool             // its elements count
	counts   []ElementCount   // what they counted, where that is wanted
	counting bool             // it is
	lives    []graph.Lifetime // of the elements, by place, where the set has timeouts
	ranges   []graph.Element  // of a tree, in place of elements: their ends come later
	ends     []netip.Addr     // of ranges in a tree: the addresses after their last
	foreign  bool             // there is an element that svcctl could not have made
	chains   map[string]string
}

func newElementReader(f graph.Family, s *graph.Set, count int) *elementReader {
	return &elementReader{
		shape:    shapeOf(f, s),
		elements: graph.MakeElements(f, s, max(count, 0)),
		timeout:  s.Timeout,
		counter:  s.Counter,
		chains:   make(map[string]string),
	}
}

// read takes the attributes of one message.
func (r *elementReader) read(b []byte) {
	for _, elem := range attrs(firstAttr(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		if !r.readElement(elem) {
			r.foreign = true
		}
	}
}

func (r *elementReader) readElement(b []byte) (ok bool) {
	var a [nftaSetElemKeyEnd + 2][]byte // and NFTA_SET_ELEM_EXPRESSIONS
	parseAttrs(b, a[:])
	expr := a[unix.NFTA_SET_ELEM_EXPR]
	if (expr != nil) != r.counter || r.counter && !isCounter(expr) || a[nftaSetElemKeyEnd+1] != nil || a[unix.NFTA_SET_ELEM_OBJREF] != nil {
		return false
	}
	var e graph.Element
	if !r.readKey(firstAttr(a[unix.NFTA_SET_ELEM_KEY], unix.NFTA_DATA_VALUE), &e.Key) {
		return false
	}
	flags := u32(a[unix.NFTA_SET_ELEM_FLAGS])
	if r.tree() && flags == unix.NFT_SET_ELEM_INTERVAL_END {
		r.ends = append(r.ends, e.Key.Addr)
		return true
	}
	if flags != 0 || !r.readRange(firstAttr(a[nftaSetElemKeyEnd], unix.NFTA_DATA_VALUE), &e.Key) {
		return false
	}
	if !r.readData(a[unix.NFTA_SET_ELEM_DATA], &e.Data) {
		return false
	}
	if r.counting {
		r.counts = append(r.counts, ElementCount{e.Key, e.Data, countOf(expr)})
		return true
	}
	if r.tree() {
		r.ranges = append(r.ranges, e)
		return true
	}
	r.elements.Append(e)
	if r.timeout {
		r.lives = append(r.lives, graph.Lifetime{
			Timeout: milliseconds(a[unix.NFTA_SET_ELEM_TIMEOUT]), Expires: milliseconds(a[unix.NFTA_SET_ELEM_EXPIRATION]),
		})
	}
	return true
}

// milliseconds reads a time; 0 for a missing one. A longer one than can be told is the longest that can.
func milliseconds(v []byte) time.Duration {
	return time.Duration(min(u64(v), uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// readKey reads a key of the set's type.
func (r *elementReader) readKey(b []byte, k *graph.Key) (ok bool) {
	if len(b) == 0 || len(b) != r.keyLen {
		return false
	}
	ports := 0
	for _, field := range r.key {
		_, n := fieldType(r.family, field)
		v := b[:n]
		switch field {
		case graph.AddrField:
			if k.Addr.IsValid() {
				k.Peer = addrFrom(v)
			} else {
				k.Addr = addrFrom(v)
			}
		case graph.ProtoField:
			if k.Proto, ok = protoFrom(v[0]); !ok {
				return false
			}
		case graph.PortField:
			if ports++; ports == 1 {
				k.Port = binary.BigEndian.Uint16(v)
			} else {
				k.PeerPort = binary.BigEndian.Uint16(v)
			}
		case graph.SlotField:
			k.Slot = hostU32(v)
		case graph.VerdictField:
			panic("nft: a verdict as key")
		}
		b = b[min(align4(n), len(b)):]
	}
	return true
}

// readRange reads the second key of a concatenation with a range. Only the field that may be a range may differ.
func (r *elementReader) readRange(b []byte, k *graph.Key) (ok bool) {
	if r.ranged < 0 || r.tree() {
		return b == nil
	}
	first, _ := r.bounds(k)
	end := *k
	if b != nil {
		end = graph.Key{}
		if !r.readKey(b, &end) {
			return false
		}
	}
	k.RangeTo, _ = r.bounds(&end)
	if k.RangeTo.Less(first) {
		return false
	}
	end.RangeTo = k.RangeTo
	if k.Peer.IsValid() {
		end.Peer = k.Peer
	} else {
		end.Addr = k.Addr
	}
	return end == *k
}

func (r *elementReader) readData(b []byte, d *graph.Data) (ok bool) {
	switch {
	case r.verdict:
		d.Verdict, ok = decodeVerdict(firstAttr(b, unix.NFTA_DATA_VERDICT))
		d.Verdict.Chain = r.intern(d.Verdict.Chain)
		return ok
	case r.dataLen > 0:
		v := firstAttr(b, unix.NFTA_DATA_VALUE)
		if len(v) != r.dataLen {
			return false
		}
		n := addrLen(r.family)
		d.Addr = addrFrom(v[:n])
		d.Port = binary.BigEndian.Uint16(v[n:])
		return true
	default:
		return b == nil
	}
}

// intern gives one copy of a name, however many elements have it.
func (r *elementReader) intern(name string) string {
	s, ok := r.chains[name]
	if !ok {
		r.chains[name], s = name, name
	}
	return s
}

// result gives the elements in canonical order; ok is false where some of them are not svcctl's.
func (r *elementReader) result() (elements graph.Elements, ok bool) {
	if r.foreign {
		return graph.Elements{}, false
	}
	if r.tree() {
		r.closeRanges()
		r.elements = graph.ElementsOf(r.ranges)
	}
	if len(r.lives) > 0 {
		r.sortWithLives()
		return r.elements, true
	}
	r.elements.Sort()
	// The kernel may move elements of a map during the dump, which then has one twice.
	r.elements.Compact()
	return r.elements, true
}

// sortWithLives sorts the elements and their lifetimes alike, and leaves out those that are there twice.
func (r *elementReader) sortWithLives() {
	places := make([]int, r.elements.Len())
	for i := range places {
		places[i] = i
	}
	compare := func(i, j int) int { return r.elements.CompareKeys(i, &r.elements, j) }
	slices.SortStableFunc(places, compare)
	places = slices.CompactFunc(places, func(i, j int) bool { return compare(i, j) == 0 })
	var elements graph.Elements
	elements.Grow(len(places))
	lives := make([]graph.Lifetime, len(places))
	for to, from := range places {
		elements.Append(r.elements.At(from))
		lives[to] = r.lives[from]
	}
	r.elements, r.lives = elements, lives
}

// closeRanges gives every range of a tree its last address: the one before the next end or the next start, and the last
// address of all where neither follows.
func (r *elementReader) closeRanges() {
	slices.SortFunc(r.ranges, func(a, b graph.Element) int { return a.Key.Addr.Compare(b.Key.Addr) })
	slices.SortFunc(r.ends, netip.Addr.Compare)
	_, everything := graph.PrefixRange(netip.PrefixFrom(r.family.Unspecified(), 0))
	for i := range r.ranges {
		k := &r.ranges[i].Key
		k.RangeTo = everything
		if i+1 < len(r.ranges) {
			k.RangeTo = r.ranges[i+1].Key.Addr.Prev()
		}
		// An end at the start itself is that of the range before.
		at, found := slices.BinarySearchFunc(r.ends, k.Addr, netip.Addr.Compare)
		if found {
			at++
		}
		if at < len(r.ends) && r.ends[at].Prev().Less(k.RangeTo) {
			k.RangeTo = r.ends[at].Prev()
		}
	}
}
