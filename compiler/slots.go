package compiler

import (
	"encoding/binary"
	"math/bits"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// localSlots is where the slots of the node-local endpoints begin. Those before it are the cluster-wide ones.
const localSlots = 32768

// slotCount is P, the number of slots for n endpoints: a power of two, so that there are at most sixteen sizes on any
// host. Beyond four endpoints an eighth of the slots stays empty: with none empty, the last endpoint to be placed walks
// past all others, and adding or removing one moves hundreds.
func slotCount(n int) int {
	if n <= 4 {
		return 1 << bits.Len(uint(max(n, 1)-1))
	}
	p := 8
	for p-p/8 < n {
		p *= 2
	}
	return p
}

// tries is how often a shape with p slots draws before it takes slot 0: as often as makes the chance that every draw
// hits an empty slot 10⁻⁵, rounded, when the slots are at their emptiest. One slot needs no draw but the last, two are
// never empty.
func tries(p int) int {
	// By log₂ p. For p ≥ 8 the emptiest is 7p/16+1 endpoints, for 4 slots it is 3.
	byLog := [...]int{0, 1, 8, 12, 17, 18, 19, 20, 20, 20, 20, 20, 20, 20, 20, 20}
	return byLog[bits.Len(uint(p))-1]
}

// placement is which endpoint has which slot.
type placement struct {
	slots []int16 // slot → index of the endpoint, -1 for an empty slot; as many as the shape draws from
	taken int     // how many are not empty
}

// placer places endpoints. It keeps the memory that this takes for the next ones: there may be a hundred thousand.
type placer struct {
	claims, slots []claim
}

// of places endpoints for drawing at random or by source hash.
func (p *placer) of(endpoints []resolve.Endpoint, sourceHash bool) placement {
	if len(endpoints) == 0 {
		return placement{}
	}
	if !sourceHash {
		slots := p.place(endpoints)
		return placement{slots, min(len(p.claims), len(slots))}
	}
	slots := p.placeForHash(endpoints)
	return placement{slots, len(slots)}
}

// place gives every endpoint a slot, or as many as its weight: the result holds, for each slot, the index of its endpoint,
// or -1.
//
// The placement is a function of the set of endpoints alone: no history, no order. The endpoint with the smallest hash
// takes slot 0, which is never empty and ends the tries. Every other endpoint walks its own list of slots, its i-th
// choice being its i-th hash modulo P, so that choices nest when P doubles. Of two that want a slot, the one with the
// earlier choice keeps it and the other walks on. This is deferred acceptance (Gale and Shapley 1962), whose outcome
// does not depend on who asks first. An endpoint added or removed moves three slots on average.
func (p *placer) place(endpoints []resolve.Endpoint) []int16 {
	claims := p.claimsOf(endpoints)
	n := slotCount(len(claims))
	slots := p.slots[:0]
	for range n {
		slots = append(slots, claim{endpoint: -1})
	}
	p.slots = slots
	first := 0
	for i := range claims {
		if claims[i].hash < claims[first].hash {
			first = i
		}
	}
	slots[0] = claims[first]
	for i, c := range claims {
		if i != first {
			settle(slots, c)
		}
	}
	out := make([]int16, n)
	for i, c := range slots {
		out[i] = int16(c.endpoint)
	}
	return out
}

// hashSlotCount is P for a service port that chooses by source hash, its endpoints counted by weight. Every slot is taken,
// by the endpoint that wants it most, so there have to be many more slots than endpoints for their shares to be even (to
// √(n/P), 13 % for 32 endpoints in 2,048 slots), and P has to stay: another P deals all slots anew.
func hashSlotCount(n int) int {
	switch {
	case n <= 1:
		return 1
	case n <= 32:
		return 2048
	default:
		return localSlots
	}
}

// placeForHash deals the slots of a service port that chooses by source hash: each goes to the endpoint with the highest
// hash together with the slot (rendezvous hashing, Thaler and Ravishankar 1998), with as many chances as its weight. An
// endpoint that leaves gives up its slots and moves nobody else's clients; one that joins takes only its share.
func (p *placer) placeForHash(endpoints []resolve.Endpoint) []int16 {
	claims := p.claimsOf(endpoints)
	out := make([]int16, hashSlotCount(len(claims)))
	for slot := range out {
		bid := mix(uint64(slot))
		best, highest := claims[0], mix(claims[0].hash^bid)
		for _, c := range claims[1:] {
			if h := mix(c.hash ^ bid); h > highest {
				best, highest = c, h
			}
		}
		out[slot] = int16(best.endpoint)
	}
	return out
}

// claimsOf gives one claim per slot that the endpoints are due.
func (p *placer) claimsOf(endpoints []resolve.Endpoint) []claim {
	claims := p.claims[:0]
	for i := range endpoints {
		h := hashOf(&endpoints[i])
		for range max(endpoints[i].Weight, 1) {
			claims = append(claims, claim{hash: h, endpoint: int32(i)})
			h = mix(h)
		}
	}
	p.claims = claims
	return claims
}

// claim is an endpoint that wants a slot: its choice-th choice.
type claim struct {
	hash     uint64
	endpoint int32
	choice   int32
}

// settle finds a place for a claim, and for whomever it displaces. It ends because P is more than the number of claims
// or, for up to four endpoints, equal to it: there is an empty slot, and every walk comes by all slots.
func settle(slots []claim, c claim) {
	for {
		s := mix(c.hash+uint64(c.choice)*golden) & uint64(len(slots)-1)
		switch held := slots[s]; {
		case s == 0:
		case held.endpoint < 0:
			slots[s] = c
			return
		case c.before(held):
			slots[s], c = c, held
		}
		c.choice++
	}
}

// before says which of two claims to the same slot is the better one.
func (c claim) before(o claim) bool {
	if c.choice != o.choice {
		return c.choice < o.choice
	}
	return c.hash < o.hash
}

// golden is 2⁶⁴ divided by the golden ratio, the increment of SplitMix64 (Steele, Lea and Flood 2014).
const golden = 0x9e3779b97f4a7c15

// mix is the finaliser of SplitMix64: a bijection of 64-bit numbers, so that different inputs never collide.
func mix(x uint64) uint64 {
	x += golden
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// hashOf is the hash of an endpoint's address and port. It must never change: other hashes are other slots, and an
// upgrade would move every endpoint of every service.
func hashOf(e *resolve.Endpoint) uint64 {
	a := e.Addr.Addr().As16()
	h := mix(binary.BigEndian.Uint64(a[:8]))
	h = mix(h ^ binary.BigEndian.Uint64(a[8:]))
	return mix(h ^ uint64(e.Addr.Port()))
}
