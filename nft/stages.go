package nft

import (
	"slices"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// stages parts a plan into transactions. Nearly always there is one. What has to be in force before it, or can only be
// done after it, changes nothing for packets:
//   - The kernel counts new elements against the size that a set had before the transaction, so that a larger size has to
//     be there first.
//   - A packet sees the rules of the generation it began in, but looks elements up in the current one
//     (net/netfilter/nf_tables_core.c, nft_do_chain; nft_lookup.c). One that meets the change half way gets the new
//     verdict and would enter a new chain that is still empty for it, and be refused. So chains are there, with their
//     rules, before anything sends packets to them. A chain without rules has nothing to be there for: the one that
//     carries the digest of the table comes with the content it describes.
//   - On old kernels, chains that nobody refers to any more go last.
func stages(p *plan.Plan, k kernel) []*plan.Plan {
	var before, main, after plan.Plan
	for _, c := range p.Tables {
		update := plan.TableChange{Op: plan.Update, Family: c.Family, Name: c.Name}
		if first := prepare(&c, update); !nothing(&first) {
			before.Tables = append(before.Tables, first)
		}
		if len(c.DelChains) > 0 && k.lateChains {
			remove := update
			remove.DelChains, c.DelChains = c.DelChains, nil
			after.Tables = append(after.Tables, remove)
			c.SetRules = slices.Concat(c.SetRules, emptied(remove.DelChains))
		}
		if !nothing(&c) {
			main.Tables = append(main.Tables, c)
		}
	}
	return slices.DeleteFunc([]*plan.Plan{&before, &main, &after}, (*plan.Plan).Empty)
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

// emptied gives the chains without their rules, which may refer to sets and chains that go.
func emptied(chains []*graph.Chain) []*graph.Chain {
	out := make([]*graph.Chain, len(chains))
	for i, ch := range chains {
		out[i] = &graph.Chain{Name: ch.Name, Hook: ch.Hook, Owner: ch.Owner}
	}
	return out
}

func nothing(c *plan.TableChange) bool {
	return c.Op == plan.Update && len(c.AddSets)+len(c.GrowSets)+len(c.AddChains)+len(c.SetRules)+len(c.Elements)+
		len(c.DelChains)+len(c.DelSets) == 0
}
