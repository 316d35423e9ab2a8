// Package plan decides what has to change in the kernel: it compares what is there with what should be.
//
// It takes two rulesets, the observed and the desired, and gives a [Plan]. It is pure: it neither reads nor writes the
// kernel, and a Plan is the only thing that nft.Conn.Commit takes, so whatever a commit does can be shown first.
package plan

import "github.com/svcctl/svcctl/compiler/graph"

// Plan is everything one transaction changes, a [TableChange] per table that changes, in family order. A Plan is carried
// out whole or not at all.
type Plan struct {
	Tables []TableChange
}

// Op is what happens to a table as a whole.
type Op uint8

// The operations.
const (
	Create  Op = iota // the table is new
	Update            // parts of it change
	Replace           // it is deleted and made again in the one transaction: a change the kernel cannot make in place
	Delete            // it goes, with all that is in it
)

// String gives the word of listings.
func (o Op) String() string {
	return [...]string{"create", "update", "replace", "delete"}[o]
}

// TableChange is what happens to one table. The fields are in the order in which the changes are made: whatever refers
// to a thing comes after the thing when it is made, and before it when it goes.
type TableChange struct {
	Op      Op
	Family  graph.Family
	Name    string
	Comment string // Create and Replace

	AddSets   []*graph.Set   // without their elements, which are in Elements
	GrowSets  []*graph.Set   // sets that are there and get the larger size they have here
	AddChains []*graph.Chain // without their rules, which are in SetRules
	// RemakeChains are base chains that are there and get the hook they have here. The kernel does not change a hook: it
	// deletes the chain, once all old rules are gone, and makes it again. Their rules are in SetRules.
	RemakeChains []*graph.Chain
	// SetRules are the chains that get new rules, in place of those they have.
	SetRules []*graph.Chain
	Elements []ElementChange
	Keep     []KeptElements // Replace
	// DelSets and DelChains are nobody's any more. The rules of all DelChains go first of all, then the sets, then the
	// chains: a verdict map holds the chains that its elements name.
	DelSets   []*graph.Set
	DelChains []*graph.Chain
}

// ElementChange is what happens to the elements of one set or map: first all deletions, then all additions, so that a key
// with new data is in both.
type ElementChange struct {
	Set *graph.Set // the set as it should be: its type and flags say how to encode the elements
	Del graph.Elements
	Add graph.Elements
}

// KeptElements are elements that the packet path has put into a set of a table that is made again, and that stay. Each
// goes on to live for as long as was left of its time.
type KeptElements struct {
	Set       *graph.Set // the set as it should be
	Elements  graph.Elements
	Lifetimes []graph.Lifetime // by place
}

// Empty reports whether nothing changes.
func (p *Plan) Empty() bool { return len(p.Tables) == 0 }

// Counts sums up a Plan for people and logs. The chains that carry digests, which change with everything else, do not count.
type Counts struct {
	Tables, Sets, Chains, RuleChains, ElementsAdded, ElementsDeleted int
}

// Count gives the sums of a Plan.
func (p *Plan) Count() Counts {
	var c Counts
	for i := range p.Tables {
		t := &p.Tables[i]
		c.Tables++
		c.Sets += len(t.AddSets) + len(t.GrowSets) + len(t.DelSets)
		for _, chains := range [...][]*graph.Chain{t.AddChains, t.RemakeChains, t.DelChains} {
			for _, ch := range chains {
				if !ch.CarriesDigest() {
					c.Chains++
				}
			}
		}
		c.RuleChains += len(t.SetRules)
		for _, e := range t.Elements {
			c.ElementsAdded += e.Add.Len()
			c.ElementsDeleted += e.Del.Len()
		}
	}
	return c
}

// Zero reports whether nothing is counted.
func (c Counts) Zero() bool { c.Tables = 0; return c == Counts{} }
