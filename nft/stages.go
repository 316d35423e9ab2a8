package nft

import (
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// stage is a transaction that carries out a part of a plan.
type stage struct {
	plan    *plan.Plan
	enacted string // what is in force of the whole plan once this is, in words
}

// stages parts a plan into transactions. Nearly always there is one. What has to be in force before it, or can only be
// done after it, changes nothing for packets:
//   - The kernel counts new elements against the size that a set had before the transaction, so that a larger size has to
//     be there first. (Where it changes no sizes the plan has none.)
//   - A packet sees the rules of the generation it began in, but looks elements up in the current one
//     (net/netfilter/nf_tables_core.c, nft_do_chain; nft_lookup.c). One that meets the change half way gets the new
//     verdict and would enter a new chain that is still empty for it, and be refused. So chains are there, with their
//     rules, before anything sends packets to them. A chain without rules has nothing to be there for: the one that
//     carries the digest of the table comes with the content it describes.
//   - On old kernels, chains that nobody refers to any more go last.
func stages(p *plan.Plan, k kernel) []stage {
	var before, main, after plan.Plan
	for _, c := range p.Tables {
		update := plan.TableChange{Op: plan.Update, Family: c.Family, Name: c.Name}
		if first := prepare(&c, update); !nothing(&first) {
			before.Tables = append(before.Tables, first)
		}
		if late := lateChains(&c); len(late) > 0 && k.lateChains {
			remove := update
			remove.DelChains = late
			c.DelChains = slices.DeleteFunc(slices.Clone(c.DelChains), func(ch *graph.Chain) bool {
				return slices.Contains(late, ch)
			})
			after.Tables = append(after.Tables, remove)
			c.SetRules = slices.Concat(c.SetRules, emptied(late))
		}
		if !nothing(&c) {
			main.Tables = append(main.Tables, c)
		}
	}
	return slices.DeleteFunc([]stage{
		{&before, preparation(&before)},
		{&main, "all of it but the removal of chains that nothing refers to any more"},
		{&after, ""},
	}, func(s stage) bool { return s.plan.Empty() })
}

// preparation says what is there after the first stage, and changes nothing for packets.
func preparation(p *plan.Plan) string {
	var chains, sizes bool
	for i := range p.Tables {
		chains = chains || len(p.Tables[i].AddChains) > 0
		sizes = sizes || len(p.Tables[i].GrowSets) > 0
	}
	switch {
	case chains && sizes:
		return "new chains that nothing refers to, and larger sizes of sets"
	case chains:
		return "new chains that nothing refers to"
	default:
		return "larger sizes of sets"
	}
}

// prepare moves what has to be there first from a change to a change of its own. A base chain is reached by packets as
// soon as it is there, so it stays.
func prepare(c *plan.TableChange, first plan.TableChange) plan.TableChange {
	first.GrowSets, c.GrowSets = c.GrowSets, nil
	if c.Op != plan.Update {
		return first // no packet is on its way through a table that is new
	}
	isNew := map[string]bool{}
	var stay []*graph.Chain
	for _, ch := range c.AddChains {
		if ch.Hook != nil || len(ch.Rules) == 0 {
			stay = append(stay, ch)
			continue
		}
		isNew[ch.Name] = true
		first.AddChains = append(first.AddChains, ch)
	}
	if len(isNew) == 0 {
		return first
	}
	c.AddChains = stay
	first.AddSets, c.AddSets = c.AddSets, nil // the rules of the new chains may look them up
	stay = nil
	for _, ch := range c.SetRules {
		if isNew[ch.Name] {
			first.SetRules = append(first.SetRules, ch)
		} else {
			stay = append(stay, ch)
		}
	}
	c.SetRules = stay
	return first
}

// lateChains gives the chains that go and that elements may have referred to.
func lateChains(c *plan.TableChange) []*graph.Chain {
	return slices.DeleteFunc(slices.Clone(c.DelChains), (*graph.Chain).CarriesDigest)
}

// emptied gives the chains without their rules, which may refer to sets and chains that go.
func emptied(chains []*graph.Chain) []*graph.Chain {
	out := make([]*graph.Chain, len(chains))
	for i, ch := range chains {
		out[i] = &graph.Chain{Name: ch.Name, Hook: ch.Hook, Owner: ch.Owner}
	}
	return out
}

func nothing(c *plan.TableChange) bool {
	return c.Op == plan.Update && len(c.AddSets)+len(c.GrowSets)+len(c.AddChains)+len(c.RemakeChains)+len(c.SetRules)+len(c.Elements)+
		len(c.Keep)+len(c.DelChains)+len(c.DelSets) == 0
}
