package main

import (
	"context"

	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/internal/state"
)

// applyAsBefore is apply where the input is what was applied last, to the byte: by the same build of svcctl, with the same
// configuration, and accepted without a word. Then it still means what it meant, and if the kernel still has what that
// compiled to, there is nothing to decode, to compile or to record. It gives nil where all that is not so.
//
// This is what a reload, a boot or a repeated apply mostly is.
func (c *cli) applyAsBefore(
	ctx context.Context, o *applyOptions, store *state.Store, known *state.Record, sources []manifest.Source,
) (*outcome, error) {
	if o.confirm != 0 || !c.meansTheSame(o, known) || !state.NameManifests(sources).SameAs(known) || !store.Complete(known) {
		return nil, nil
	}
	if pending, err := store.LoadPending(); err != nil || pending != nil {
		return nil, nil
	}
	applied := c.recall(store, known)()
	if applied == nil {
		return nil, nil
	}
	t, err := c.openTarget(o.force)
	if err != nil {
		return nil, err
	}
	defer t.close()
	t.expect(known, applied)
	t.quiet = true // whatever is found is found again, and told, by who mends it
	ch, err := t.apply(ctx, t.towards(applied), true)
	if err != nil || !ch.plan.Empty() {
		return nil, err
	}
	c.log.Debug("the input is what was applied, and the kernel has it", "state", known.Serial)
	return &outcome{
		change: ch, dryRun: o.dryRun, table: c.config.Table, netns: c.config.Netns, results: recordResults(known, known),
	}, nil
}

// meansTheSame reports whether what was applied would mean now what it meant then: to the same build of svcctl, with the
// same configuration, and there was nothing to say about it.
func (c *cli) meansTheSame(o *applyOptions, known *state.Record) bool {
	if known == nil || !known.Clean || !o.prune || o.input.noCache || known.Config != c.config.Digest() {
		return false
	}
	build, err := buildID()
	return err == nil && build != "" && build == known.Build
}
