package nft

import (
	"net/netip"

	"github.com/svcctl/svcctl/compiler/graph"
)

// shape is what the encoding of the elements of a set depends on, worked out once per set.
type shape struct {
	family  graph.Family
	key     []graph.Field
	keyLen  int
	ranged  int // index of the field whose address may be a range: the last address; -1: none
	verdict bool
	dataLen int // 0: a set or a verdict map
}

func shapeOf(f graph.Family, s *graph.Set) shape {
	sh := shape{family: f, key: s.Key, ranged: -1, verdict: s.IsVerdictMap()}
	_, sh.keyLen = concatType(f, s.Key)
	if s.IsMap() && !sh.verdict {
		_, sh.dataLen = concatType(f, s.Data)
	}
	if s.Interval {
		for i, field := range s.Key {
			if field == graph.AddrField {
				sh.ranged = i
			}
		}
	}
	return sh
}

// tree reports whether the set is a search tree of single addresses (nft_set_rbtree): there a range is two elements, its
// start and the address after its end. A concatenation with a range is one element with two keys (nft_set_pipapo).
func (sh *shape) tree() bool { return sh.ranged >= 0 && len(sh.key) == 1 }

// bounds gives the first and last value of the field that may be a range.
func (sh *shape) bounds(k *graph.Key) (first, last netip.Addr) {
	first = k.Addr
	if sh.ranged >= 0 && k.Peer.IsValid() {
		first = k.Peer
	}
	if !k.RangeTo.IsValid() {
		return first, first
	}
	return first, k.RangeTo
}
