package nft

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// nft is the oracle of these tests: it lists what Commit made exactly as it lists what it made itself.

var elementList = regexp.MustCompile(`(?s)elements = \{.*?\}`)

// canonical sorts the elements of each set in a listing: nft gives them in the order of the kernel's hash, which has a
// random seed.
func canonical(listing string) string {
	return elementList.ReplaceAllStringFunc(listing, func(list string) string {
		elements := strings.Split(strings.TrimSuffix(strings.TrimPrefix(list, "elements = {"), "}"), ",")
		for i := range elements {
			elements[i] = strings.Join(strings.Fields(elements[i]), " ")
		}
		slices.Sort(elements)
		return "elements = { " + strings.Join(elements, ", ") + " }"
	})
}

func sameListing(tb testing.TB, want, got string) {
	tb.Helper()
	if d := cmp.Diff(canonical(want), canonical(got)); d != "" {
		tb.Errorf("nft list ruleset (-want +got):\n%s", d)
	}
}

func TestListingIsThatOfText(t *testing.T) {
	needNFT(t)
	text, err := os.ReadFile("testdata/program.nft")
	if err != nil {
		t.Fatal(err)
	}
	var listings [2]string
	t.Run("text", func(t *testing.T) {
		c := openPrivate(t)
		nftCommand(t, string(text), "-f", "-")
		listings[0] = listRuleset(t)
		// What nft makes of the text reads back as the graph.
		s := read(t, c)
		sameRuleset(t, &g.Ruleset{Tables: []*g.Table{programTable(g.IPv4)}}, s.Ruleset)
		if len(s.Unknown) > 0 {
			t.Errorf("unknown: %q", s.Unknown)
		}
	})
	t.Run("netlink", func(t *testing.T) {
		c := openPrivate(t)
		commit(t, c, createPlan(plan.Create, programTable(g.IPv4)))
		listings[1] = listRuleset(t)
	})
	if listings[1] == "" {
		t.Skip("without a network namespace there are no listings")
	}
	sameListing(t, listings[0], listings[1])
}

// updateRule matches the one kind of rule that nft 1.0.6 can list and not parse, for IPv6: it aborts.
var updateRule = regexp.MustCompile(`(?m)^.*update @affinity.*\n`)

func TestListingReloads(t *testing.T) {
	needNFT(t)
	for _, f := range g.Families {
		t.Run(f.String(), func(t *testing.T) {
			c := openPrivate(t)
			commit(t, c, createPlan(plan.Create, programTable(f)))
			listed := listRuleset(t)
			if n := len(updateRule.FindAllString(listed, -1)); n != 3 {
				t.Errorf("the listing has %d update rules, want 3", n)
			}
			if f == g.IPv6 {
				listed = updateRule.ReplaceAllString(listed, "")
			}
			commit(t, c, &plan.Plan{Tables: []plan.TableChange{{Op: plan.Delete, Family: f, Name: "svcctl"}}})
			if empty := listRuleset(t); empty != "" {
				t.Fatalf("after deletion there is\n%s", empty)
			}
			nftCommand(t, listed, "-f", "-")
			sameListing(t, listed, listRuleset(t))
		})
	}
}
