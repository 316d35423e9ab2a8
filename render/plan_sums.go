package render

import (
	"strconv"

	"github.com/svcctl/svcctl/compiler/graph"
)

// planSums are what a reader wants to know last. A key with new data counts once, as changed.
type planSums struct {
	added, changed, deleted, sets, chains int
}

func (s *planSums) element(e elementChange) {
	switch e.sign() {
	case '+':
		s.added++
	case '-':
		s.deleted++
	default:
		s.changed++
	}
}

// chain counts a chain that is added, changed or deleted. The one that carries the digest of a table goes with whatever else
// changes, and says nothing to a reader.
func (s *planSums) chain(c *graph.Chain) {
	if !c.CarriesDigest() {
		s.chains++
	}
}

// text gives "2 elements added, 1 changed, 1 deleted, 0 chains"; sets are named only where there are any.
func (s *planSums) text() string {
	text := count(s.added, "element") + " added"
	if s.changed > 0 {
		text += ", " + strconv.Itoa(s.changed) + " changed"
	}
	text += ", " + strconv.Itoa(s.deleted) + " deleted"
	if s.sets > 0 {
		text += ", " + count(s.sets, "set")
	}
	return text + ", " + count(s.chains, "chain")
}

// count gives a number with its noun, "1 element" or "2 elements".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
