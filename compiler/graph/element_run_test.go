package graph_test

import (
	"math/rand/v2"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
)

// EqualRun says what comparing the elements one by one says, whatever the lists look like inside: with origins and
// without, with other chains in front, of one form or of several.
func TestEqualRun(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	chains := []string{"", "a", "b", "c"}
	element := func(i int, verdicts bool) graph.Element {
		e := graph.Element{Key: graph.Key{Addr: addr("10.0.0.1"), Proto: graph.TCP, Port: uint16(i), Slot: 1}}
		if verdicts {
			e.Data.Verdict.Op = graph.Goto
			e.Data.Verdict.Chain = chains[r.IntN(len(chains))]
		} else {
			e.Data.Addr, e.Data.Port = addr("10.1.0.1"), uint16(r.IntN(3))
		}
		return e
	}
	runs := 0
	for round := range 2000 {
		verdicts, odd := round%2 == 0, round%5 == 0
		var a, b []graph.Element
		for i := range 12 {
			x := element(i, verdicts)
			y := x
			switch r.IntN(12) {
			case 0:
				y = element(i, verdicts)
			case 1:
				y.Key.Port += 100
			case 2:
				if odd {
					y.Data.Addr = addr("fd00::1") // another form
				}
			}
			if round%3 == 0 {
				x.Owner = &graph.Owner{Port: "http"}
			}
			a, b = append(a, x), append(b, y)
		}
		i := r.IntN(4)
		if round%7 == 0 {
			b = append([]graph.Element{element(0, verdicts)}, b...)
		}
		j := i + len(b) - len(a)
		la, lb := graph.ElementsOf(a), graph.ElementsOf(b)
		want := 0
		for i+want < len(a) && a[i+want].Key == b[j+want].Key && a[i+want].Data == b[j+want].Data {
			want++
		}
		runs += want
		if got := la.EqualRun(i, &lb, j); got != want {
			t.Fatalf("round %d: got %d, want %d, from %d of %+v and %d of %+v", round, got, want, i, a, j, b)
		}
	}
	if runs < 2000 {
		t.Errorf("only %d elements were the same: the test proves little", runs)
	}
	var none graph.Elements
	if got := none.EqualRun(0, &none, 0); got != 0 {
		t.Errorf("of empty lists: got %d", got)
	}
}
