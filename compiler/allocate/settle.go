package allocate

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// band is a part of a range: size places, and which they are.
type band[P comparable] struct {
	size uint64 // at least 1
	at   func(i uint64) P
}

func appendBand[P comparable](bands []band[P], size uint64, at func(uint64) P) []band[P] {
	if size == 0 {
		return bands
	}
	return append(bands, band[P]{size, at})
}

// claim is one who wants a place. It has an order of preference over all places, which depends on its name alone: band
// after band, in each beginning at a hash and going on in steps of another, modulo the size of the band (double hashing).
// Steps that have no factor in common with the size come by every place.
type claim[P comparable] struct {
	start, step, order uint64 // hashes of the name
	choice             uint64 // how many places it has tried
	band               int    // where the next choice is, and there at what index and in what steps
	tried, at, stride  uint64

	place P
	ok    bool // place is its own
}

// newClaim gives the claim of a name. What is hashed must never change: other hashes are other addresses, and an upgrade
// would change those of every manifest that leaves them out.
func newClaim[P comparable](name string) claim[P] {
	sum := sha256.Sum256([]byte(name))
	return claim[P]{
		start: binary.BigEndian.Uint64(sum[0:8]),
		step:  binary.BigEndian.Uint64(sum[8:16]),
		order: binary.BigEndian.Uint64(sum[16:24]),
	}
}

// next goes to the next choice and gives it, or reports that there is none.
func (c *claim[P]) next(bands []band[P]) (p P, ok bool) {
	for ; c.band < len(bands); c.band, c.tried = c.band+1, 0 {
		b := &bands[c.band]
		if c.tried == b.size {
			continue
		}
		if c.tried == 0 {
			c.at, c.stride = c.start%b.size, coprime(c.step, b.size)
		} else if c.at += c.stride; c.at >= b.size {
			c.at -= b.size
		}
		c.tried++
		c.choice++
		return b.at(c.at), true
	}
	return p, false
}

// coprime gives a number below n, or 1, that has no factor in common with n.
func coprime(x, n uint64) uint64 {
	if n <= 2 {
		return 1
	}
	for x = 1 + x%(n-1); ; x = 1 + x%(n-1) {
		if gcd(x, n) == 1 {
			return x
		}
	}
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// settle gives the claims places that are not taken, as many as there are.
//
// Of two that want a place the one to which it is the earlier choice gets it, and the other goes on to its next one. This
// is deferred acceptance (Gale and Shapley 1962), whose outcome does not depend on who asks first. So the result is a
// function of the set of claims, and a claim that meets no other is not touched by what the others do.
//
// contains reports whether a place is in one of the bands.
func settle[P comparable](claims []*claim[P], bands []band[P], taken map[P]bool, contains func(P) bool) {
	claims = affordable(claims, bands, taken, contains)
	holder := make(map[P]*claim[P], len(claims))
	for _, c := range claims {
		for c != nil {
			p, ok := c.next(bands)
			if !ok {
				break
			}
			if taken[p] {
				continue
			}
			c.place = p
			if held := holder[p]; held == nil || c.before(held) {
				holder[p], c = c, held
			}
		}
	}
	for p, c := range holder {
		c.place, c.ok = p, true
	}
}

// before says which of two claims to a place is the better one.
func (c *claim[P]) before(o *claim[P]) bool {
	if c.choice != o.choice {
		return c.choice < o.choice
	}
	return c.order < o.order
}

// affordable keeps no more claims than there are places, those of the smallest hashes, so that nobody walks a full range to
// its end only to find that it is full.
func affordable[P comparable](
	claims []*claim[P], bands []band[P], taken map[P]bool, contains func(P) bool,
) []*claim[P] {
	wanted := uint64(len(claims))
	for p := range taken {
		if contains(p) {
			wanted++
		}
	}
	places := uint64(0)
	for _, b := range bands {
		if places += b.size; places >= wanted {
			return claims
		}
	}
	kept := slices.Clone(claims)
	slices.SortStableFunc(kept, func(c, d *claim[P]) int { return cmp.Compare(c.order, d.order) })
	return kept[:uint64(len(claims))-min(wanted-places, uint64(len(claims)))]
}
