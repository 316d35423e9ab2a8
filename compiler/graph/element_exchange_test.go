package graph_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
)

// An exchange does with words what taking out, putting in and sorting do with a slice of elements.
func TestExchange(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	byKey := func(a, b graph.Element) int { return a.Key.Compare(b.Key) }
	for range 3000 {
		alike := r.IntN(3) > 0
		var all []graph.Element
		for range r.IntN(30) {
			all = append(all, randomElement(r, alike))
		}
		slices.SortFunc(all, byKey)
		all = slices.CompactFunc(all, func(a, b graph.Element) bool { return a.Key == b.Key })
		var was, want, add []graph.Element
		var spans []graph.Span
		for _, e := range all {
			switch r.IntN(4) {
			case 0: // it is new
				if alike && r.IntN(2) == 0 {
					e.Owner = &graph.Owner{}
				}
				add, want = append(add, e), append(want, e)
				continue
			case 1: // it goes
				if n := len(spans); n > 0 && spans[n-1].To == len(was) && r.IntN(2) == 0 {
					spans[n-1].To++
				} else {
					spans = append(spans, graph.Span{From: len(was), To: len(was) + 1})
				}
			case 2: // it is another one, with the same key
				spans = append(spans, graph.Span{From: len(was), To: len(was) + 1})
				other := e
				other.Data.Port++
				add, want = append(add, other), append(want, other)
			default:
				want = append(want, e)
			}
			was = append(was, e)
		}
		from, with := graph.ElementsOf(was), graph.ElementsOf(add)
		got := from.Exchange(spans, with)
		if !slices.Equal(slices.Collect(got.All()), want) {
			t.Fatalf("%+v without %v and with %+v is\n%+v, want\n%+v", was, spans, add, slices.Collect(got.All()), want)
		}
		if !slices.Equal(slices.Collect(from.All()), was) || !slices.Equal(slices.Collect(with.All()), add) {
			t.Fatal("an exchange changed what it was given")
		}
		for i := range want {
			if got.DataAt(i) != want[i].Data {
				t.Fatalf("the data of %+v are %+v", want[i], got.DataAt(i))
			}
		}
	}
}
