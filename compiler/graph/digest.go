package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
)

// appliedPrefix begins the name of the chain that carries the digest of a table.
const appliedPrefix = "applied-"

// digestLen is how much of a SHA-256 the digest keeps, in bytes: enough that no two rulesets ever share one by chance.
const digestLen = 16

// Applied gives the digest that a table carries: the one of the content it was committed with. ok is false where the
// table carries none, or more than one, as it may between the two transactions that kernels before 6.2 need.
//
// It is the name of an empty chain, because that is the one thing in nftables that can be exchanged in the transaction it
// describes, that costs packets nothing, and that every listing and script keeps: comments of tables and chains cannot be
// changed.
func (t *Table) Applied() (digest string, ok bool) {
	for _, c := range t.Chains {
		if d, is := AppliedDigest(c.Name); is {
			if ok {
				return "", false
			}
			digest, ok = d, true
		}
	}
	return digest, ok
}

// CarriesDigest reports whether a chain is there for its name alone: see [Table.Applied].
func (c *Chain) CarriesDigest() bool {
	_, ok := AppliedDigest(c.Name)
	return ok
}

// AppliedChain gives the name of the chain that carries a digest.
func AppliedChain(digest string) string { return appliedPrefix + digest }

// AppliedDigest is the inverse of [AppliedChain]; ok is false for the name of any other chain.
func AppliedDigest(chain string) (digest string, ok bool) {
	digest, ok = strings.CutPrefix(chain, appliedPrefix)
	if b, err := hex.DecodeString(digest); err != nil || len(b) != digestLen {
		return "", false
	}
	return digest, ok
}

// Digest gives a digest of all that a table says: of its sets and their elements, its chains and their rules. Left out is
// what makes no difference to packets (owners, places, passes, the sizes of static sets) or is the packet path's own (the
// elements of dynamic sets), and the chain that carries a digest.
func (t *Table) Digest() string {
	// Every set has a digest of its own, so that all processors can work on them.
	sets := make([][sha256.Size]byte, len(t.Sets))
	var wg sync.WaitGroup
	for i, s := range t.Sets {
		wg.Go(func() { sets[i] = s.digest() })
	}
	e := newEncoder(nil)
	e.num(codecVersion, uint64(t.Family), uint64(len(t.Sets)))
	e.str(t.Name)
	e.str(t.Comment)
	for _, c := range t.Chains {
		if !c.CarriesDigest() {
			e.chain(c)
		}
	}
	wg.Wait()
	for i := range sets {
		e.buf = append(e.buf, sets[i][:]...)
	}
	sum := sha256.Sum256(e.buf)
	return hex.EncodeToString(sum[:digestLen])
}

func (s *Set) digest() (sum [sha256.Size]byte) {
	hash := sha256.New()
	e := newEncoder(make([]byte, 0, digestBlock+digestBlock/8))
	e.declaration(s)
	if s.Dynamic {
		e.num(uint64(s.Size))
	} else {
		e.num(uint64(s.Elements.Len()))
		e.elements(&s.Elements, func() {
			if len(e.buf) > digestBlock {
				hash.Write(e.buf)
				e.buf = e.buf[:0]
			}
		})
	}
	hash.Write(e.buf)
	hash.Sum(sum[:0])
	return sum
}

// digestBlock is how much is gathered before it is hashed, in bytes.
const digestBlock = 16 << 10
