// Package increment is the way from sources to a ruleset for an input that differs little from one that was taken that way
// before: of ten thousand Services one has an endpoint more. It takes what is remembered of the earlier input and the new
// sources, and gives what decoding, allocating, resolving and compiling all of it would give, by the same phases at work on
// a part: on the Services whose EndpointSlices or Endpoints came, went or changed, and on all documents that their meaning
// depends on.
//
// A change of any other kind of document, or one that concerns more than the Services it belongs to, is not local: then
// there is no result but a reason, and the input has to be taken the whole way, which is always right. So is an input about
// which there is anything to say: what is found is found there, in full.
//
// The package is pure. It may assume that there was nothing to say about the earlier input, that the same program took it
// the whole way with the same configuration, or this way, and that what is remembered of it is true.
package increment

import (
	"reflect"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Earlier is what is remembered of the earlier input.
type Earlier struct {
	Documents []manifest.Document
	Held      allocate.Held
	// Ruleset gives what it was compiled to, nil where that is not known any more. It is asked for once all else is local.
	Ruleset func() *graph.Ruleset
}

// Config is the configuration of the phases.
type Config struct {
	Allocate allocate.Config
	Resolve  resolve.Config
	Compiler compiler.Config
}

// Result is what there is now.
type Result struct {
	// Documents are those of the whole input, Ruleset is what it compiles to. Elements of Services that are not in Model have
	// no owners and places.
	Documents []manifest.Document
	Ruleset   *graph.Ruleset
	// Model, and what was allocated for it, are of the Services whose endpoints changed. All other Services mean what they
	// meant, and all hold what they held.
	Allocated *allocate.Result
	Model     *resolve.Model
}

// Make gives the result for new sources. Its error is a [*compiler.NotLocalError] where the change is not local.
func Make(e Earlier, sources []manifest.Source, cfg Config) (*Result, error) {
	cut, err := manifest.Cut(sources)
	if err != nil {
		return nil, compiler.NotLocal("%v", err)
	}
	s := compare(e.Documents, cut)
	bundle, err := s.concerned()
	if err != nil {
		return nil, err
	}
	r := &Result{Documents: s.now}
	var found diag.List
	if r.Allocated, found = allocate.Allocate(bundle, cfg.Allocate, e.Held); len(found) > 0 {
		return nil, somethingToSay(found)
	}
	if err := sameHeld(bundle, r.Allocated.Held(), e.Held); err != nil {
		return nil, err
	}
	if r.Model, found = resolve.Resolve(r.Allocated.Bundle, cfg.Resolve); len(found) > 0 {
		return nil, somethingToSay(found)
	}
	was := e.Ruleset()
	if was == nil {
		return nil, compiler.NotLocal("what was compiled is not known")
	}
	if r.Ruleset, err = compiler.Increment(was, r.Model, cfg.Compiler); err != nil {
		return nil, err
	}
	return r, nil
}

// sameHeld makes sure that the Services of a bundle hold what they held before: else others may not, either.
func sameHeld(b *manifest.Bundle, now, before allocate.Held) error {
	for _, o := range b.Services {
		key := o.Ref.Namespace + "/" + o.Ref.Name
		if !reflect.DeepEqual(before[key], now[key]) {
			return compiler.NotLocal("%s gets other addresses or node ports", o.Ref)
		}
	}
	return nil
}

func somethingToSay(found diag.List) error {
	return compiler.NotLocal("there is something to say: %s", found[0])
}
