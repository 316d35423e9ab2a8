package main

import (
	"errors"
	"maps"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/increment"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/state"
)

// incremental says of an input that it was understood by what differs from the one that was applied last: its bundle and
// its model are of the Services that have other endpoints now. All others are as they were recorded.
type incremental struct {
	since   *state.Record
	desired *graph.Ruleset // for all Services; what belongs to the others has no owners and places
}

// understandIncrement is [cli.understand] where the input differs from the one that was applied last in little, as it does
// after most changes of a cluster: see package increment. It gives nil where it differs in more.
func (c *cli) understandIncrement(
	o *applyOptions, store *state.Store, known *state.Record, applied func() *graph.Ruleset, sources []manifest.Source,
) (*input, error) {
	if !c.meansTheSame(o, known) {
		return nil, nil
	}
	defer pauseCollector(pausedMemory)()
	documents, err := store.Documents(known)
	if err != nil || documents == nil {
		c.log.Debug("the documents of what is applied are not known", "error", err)
		return nil, nil
	}
	r, err := increment.Make(
		increment.Earlier{Documents: documents, Held: known.Allocations, Ruleset: applied}, sources,
		increment.Config{Allocate: c.config.Allocate(), Resolve: c.config.Resolve(), Compiler: c.config.Compiler()})
	var notLocal *compiler.NotLocalError
	if errors.As(err, &notLocal) {
		c.log.Debug("the whole input is looked at", "why", err)
		return nil, nil
	}
	if err != nil {
		return nil, defect(err)
	}
	c.log.Debug("only some Services have other endpoints than were applied", "services", len(r.Model.Services))
	return &input{
		sources: sources, bundle: r.Allocated.Bundle, allocated: r.Allocated, model: r.Model, documents: r.Documents, clean: true,
		incremental: &incremental{since: known, desired: r.Ruleset},
	}, nil
}

// allDigests gives the digest of every Service of an input, by its key.
func (in *input) allDigests() map[string]string {
	out := digests(in.model)
	if in.incremental != nil {
		all := maps.Clone(in.incremental.since.Services)
		maps.Copy(all, out)
		return all
	}
	return out
}

// concernsOthers reports whether a plan is about more than the Services of the model: because the kernel does not have
// what was applied.
func (in *input) concernsOthers(p *plan.Plan) bool {
	owners := serviceAddresses(in.model)
	for i := range p.Tables {
		t := &p.Tables[i]
		if t.Op != plan.Update {
			return true
		}
		for _, e := range t.Elements {
			for _, elements := range []graph.Elements{e.Del, e.Add} {
				for k := range elements.Len() {
					key := elements.KeyAt(k)
					at, ok := addressOf(t.Family, e.Set, &key)
					if _, owned := owners[at]; ok && !owned {
						return true
					}
				}
			}
		}
	}
	return false
}

// results says what happens to every Service.
func (a *application) results(ch *change) []result {
	if a.in.incremental == nil {
		return results(a.in.model, a.known, ch, a.digests)
	}
	part := &state.Record{Services: make(map[string]string, len(a.in.model.Services))}
	for _, s := range a.in.model.Services {
		key := serviceKey(s.Ref)
		if digest, ok := a.in.incremental.since.Services[key]; ok {
			part.Services[key] = digest
		}
	}
	others := &state.Record{Services: maps.Clone(a.in.incremental.since.Services)}
	for key := range part.Services {
		delete(others.Services, key)
	}
	out := append(results(a.in.model, part, ch, a.digests), recordResults(others, others)...)
	sortResults(out)
	return out
}

// takeWhole understands the input as a whole, where it was understood by what differs and that is not enough: the plan, or
// somebody else's change of the record, is about other Services as well. The desired ruleset stays what it is, and gets
// its owners.
func (a *application) takeWhole() error {
	a.cli.log.Debug("the whole input is looked at after all")
	in, err := a.whole()
	if err != nil {
		return err
	}
	desired, err := a.cli.compile(in.model)
	if err != nil {
		return err
	}
	for _, t := range desired.Tables {
		was, _ := a.in.incremental.desired.Table(t.Family).Applied()
		if is, _ := t.Applied(); is != was {
			return defect(errors.New("an input was not understood as a part of it was"))
		}
	}
	*a.in.incremental.desired = *desired
	a.in = in
	a.digests = inBackground(in.allDigests)
	return nil
}
