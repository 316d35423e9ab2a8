package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"runtime"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/state"
	"github.com/svcctl/svcctl/nft"
)

// loadRecord gives what is recorded as applied, or nil. A record that cannot be used is worth a warning and no more: the
// kernel is the truth.
func (c *cli) loadRecord(store *state.Store) *state.Record {
	r, err := c.readRecord(store)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.notef("warning: %v; going on without it", err)
	}
	return r
}

// loadRecordQuietly is loadRecord after a first one has warned already.
func (c *cli) loadRecordQuietly(store *state.Store) *state.Record {
	r, err := c.readRecord(store)
	if err != nil {
		c.log.Debug("no record", "error", err)
	}
	return r
}

func (c *cli) readRecord(store *state.Store) (*state.Record, error) {
	r, err := store.Load()
	if err != nil {
		return nil, err
	}
	identity, err := state.Identify(c.config.Netns)
	if err != nil {
		return nil, err
	}
	if err := store.CheckNamespace(r, identity); err != nil {
		return nil, err
	}
	if r.Namespace != identity {
		r.Generation = 0 // it counts from the boot
	}
	return r, nil
}

// recall begins to read the ruleset that was committed with a record, and gives the function that waits for it. It gives nil
// where there is no record or no such ruleset: then the kernel is read instead.
func (c *cli) recall(store *state.Store, r *state.Record) func() *graph.Ruleset {
	if r == nil {
		return func() *graph.Ruleset { return nil }
	}
	return inBackground(func() *graph.Ruleset {
		rs, err := store.Applied(r)
		if err != nil {
			c.log.Info("the kernel will be read instead", "error", err)
		}
		return rs
	})
}

// heldBy gives what Services keep of what was allocated to them when the record was made.
func heldBy(r *state.Record) allocate.Held {
	if r == nil {
		return nil
	}
	return r.Allocations
}

// mergeApplied adds what is applied to the input; where both have an object, the input's counts.
func (c *cli) mergeApplied(store *state.Store, known *state.Record, newer *manifest.Bundle) (*manifest.Bundle, error) {
	if known == nil {
		return newer, nil
	}
	older, err := c.decodeRecord(store, known)
	if err != nil {
		return nil, err
	}
	return older.Merge(newer), nil
}

// decodeRecord decodes the manifests of a record. They were accepted when they were recorded.
func (c *cli) decodeRecord(store *state.Store, r *state.Record) (*manifest.Bundle, error) {
	manifests, err := store.Manifests(r)
	if err != nil {
		return nil, systemError("%w", err)
	}
	b, found := manifest.Decode(manifests, manifest.Options{})
	if found.HasErrors() {
		return nil, c.judge(found, &inputFlags{quiet: true})
	}
	return b, nil
}

// lockError explains why the lock could not be had. Somebody who may not change nftables either hears about that first.
func (c *cli) lockError(ctx context.Context, t *target, err error) error {
	var held *state.HeldError
	if errors.As(err, &held) {
		return err
	}
	if _, kernelErr := t.read(ctx); errors.Is(kernelErr, nft.ErrPermission) {
		return kernelErr
	}
	return systemError("%w: svcctl keeps what it applied in %s; --state-dir names another directory",
		err, c.config.StateDir)
}

func (c *cli) release(lock *state.Lock) {
	if err := lock.Release(); err != nil {
		c.log.Warn("releasing the lock", "error", err)
	}
}

// stamp says of a record which namespace it is of, when, by whom, and of which change.
func (c *cli) stamp(r *state.Record, ch *change) error {
	identity, err := state.Identify(c.config.Netns)
	if err != nil {
		return err
	}
	r.Namespace, r.Generation, r.Time = identity, ch.generation, c.env.now().UTC()
	r.UID, r.SudoUser = c.env.uid, c.env.getenv("SUDO_USER")
	return nil
}

// record remembers what is applied now. Where it is what was known before, the record stays as it is.
func (a *application) record(ch *change, applied *graph.Ruleset) error {
	r := &state.Record{
		Files:       a.files,
		Config:      a.cli.config.Digest(),
		Services:    a.digests(),
		Allocations: a.held(),
		Clean:       a.in.clean && !a.merged,
	}
	if build, err := buildID(); err == nil {
		r.Build = build
	}
	if err := a.cli.stamp(r, ch); err != nil {
		return notRecorded(a.store, err)
	}
	content := state.NewContent(a.manifests(), applied)
	if r.Clean {
		content.Documents = a.in.documents
	}
	if ch.plan.Empty() && sameRecord(a.known, r, content) && a.store.Complete(a.known) {
		return a.amend(r, content)
	}
	a.cli.phase("recording what was applied")
	if err := a.store.Save(r, content); err != nil {
		return notRecorded(a.store, err)
	}
	return nil
}

// notRecorded is the end of a change that is in force and of which there is no record, on a full disk for one. The old
// record becomes history: the next command would take it for the truth, and a repair would bring back what it says. ADR 21.
func notRecorded(store *state.Store, err error) error {
	return systemError("the kernel has the new rules, but they could not be recorded: %w; the next apply records them",
		errors.Join(err, store.Outdate()))
}

// amend notes in the record that it is also what this build makes of the input.
func (a *application) amend(now *state.Record, content *state.Content) error {
	lacking := a.known.Documents == "" && content.Documents != nil
	if a.known.Build == now.Build && a.known.Clean == now.Clean && !lacking {
		return nil
	}
	r := *a.known
	r.Build, r.Clean = now.Build, now.Clean
	return a.store.AmendDocuments(&r, content.Documents)
}

// held gives what Services hold of what was allocated to them, now.
func (a *application) held() allocate.Held {
	if a.in.incremental != nil {
		return a.in.incremental.since.Allocations
	}
	return a.in.allocated.Held()
}

// sources gives the manifests to record: as they were read, unless they had documents of other kinds in them, which may be
// Secrets, or were put together from several inputs.
func (a *application) sources() []manifest.Source {
	if a.merged || len(a.in.bundle.Skipped) > 0 {
		return a.in.bundle.Sources()
	}
	return a.in.sources
}

// sameRecord reports whether two records are of the same thing applied in the same place.
func sameRecord(a, b *state.Record, content *state.Content) bool {
	return a != nil && a.Namespace == b.Namespace && a.Config == b.Config && maps.Equal(a.Services, b.Services) &&
		content.SameAs(a)
}

// serviceKey is how the record names a Service.
func serviceKey(o diag.Object) string { return o.Namespace + "/" + o.Name }

// digests gives the digest of every Service, by its key.
func digests(m *resolve.Model) map[string]string {
	list := make([]string, len(m.Services))
	var wg sync.WaitGroup
	for part := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := part; i < len(list); i += runtime.GOMAXPROCS(0) {
				list[i] = digest(m.Services[i])
			}
		})
	}
	wg.Wait()
	out := make(map[string]string, len(list))
	for i, s := range m.Services {
		out[serviceKey(s.Ref)] = list[i]
	}
	return out
}

// inBackground begins to work something out, and gives the function that waits for it.
func inBackground[T any](work func() T) func() T {
	once := sync.OnceValue(work)
	go once()
	return once
}

// digest gives a digest of all that a Service says and of its endpoints: not of the bookkeeping of an API server, which
// changes without the Service.
func digest(s *resolve.Service) string {
	h := sha256.New()
	add := func(marshal func() ([]byte, error)) {
		b, err := marshal()
		if err != nil {
			panic("the digest of " + s.Ref.String() + ": " + err.Error()) // there is nothing in an object that cannot be
		}
		// The length keeps two objects in a row apart from one.
		h.Write([]byte(strconv.Itoa(len(b)) + "\n"))
		h.Write(b)
	}
	o := &s.Object.Value
	add((&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Ref.Name, Namespace: s.Ref.Namespace, Labels: o.Labels, Annotations: o.Annotations,
		},
		Spec:   s.Spec,
		Status: corev1.ServiceStatus{LoadBalancer: o.Status.LoadBalancer},
	}).Marshal)
	for _, slice := range s.Slices {
		e := slice.EndpointSlice
		add((&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: e.Name, Labels: e.Labels, Annotations: e.Annotations},
			AddressType: e.AddressType, Endpoints: e.Endpoints, Ports: e.Ports,
		}).Marshal)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
