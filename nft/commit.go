package nft

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/plan"
)

// Commit carries out a plan: when it returns, the kernel has all of it or, with an error, nothing of it. The transaction
// is refused unless the namespace is still at the given generation, as of [State]; 0 takes any. An empty plan sends
// nothing.
//
// Some things are transactions of their own, which packets do not notice: larger sizes of sets, and new chains that
// nothing refers to yet, come before all else and may remain after an error, unused; before Linux 6.2 chains are removed
// after all else. Before Linux 6.3, deleting an element that has just expired by itself is a conflict.
//
// The error is or wraps [ErrConflict], [ErrPermission], [*KernelError] or [*BatchSizeError].
func (c *Conn) Commit(ctx context.Context, p *plan.Plan, generation uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, stage := range stages(p, c.kernel) {
		if err := c.run(stage, generation); err != nil {
			return err
		}
		if generation != 0 {
			generation = nextGeneration(generation)
		}
	}
	return nil
}

// nextGeneration gives the generation after a transaction; the kernel leaves out 0 (net/netfilter/nf_tables_api.c,
// nf_tables_commit).
func nextGeneration(g uint32) uint32 { return max(g+1, 1) }

// run sends a plan as one transaction.
func (c *Conn) run(p *plan.Plan, generation uint32) error {
	t, acknowledged := encode(p, c.sock.seq+1, generation, c.kernel)
	c.sock.seq += uint32(len(t.starts))
	refused, err := c.transact(t, acknowledged)
	if err != nil {
		return fmt.Errorf("nftables transaction: %w", err)
	}
	return refused.err()
}

// refusal is the first error of a transaction and what it is about.
type refusal struct {
	ack
	subject subject
}

// transact sends a transaction and reads all that the kernel says about it, which is there when the sending is done.
func (c *Conn) transact(t *batch, acknowledged uint32) (*refusal, error) {
	c.sock.drain()
	if err := c.sock.reserve(len(t.buf)); err != nil {
		return nil, err
	}
	if err := c.sock.send(t.buf); err != nil {
		return nil, err
	}
	var first *refusal
	done := false
	for {
		d, err := c.sock.receive()
		if errors.Is(err, unix.ENOBUFS) {
			continue // errors beyond those that the buffer holds are lost; the first are there
		}
		if err != nil {
			return nil, err
		}
		if d == nil {
			break
		}
		for h, p := range messages(d) {
			a, ok := parseAck(h, p)
			switch {
			case !ok || h.typ != unix.NLMSG_ERROR || !t.contains(h.seq):
			case a.errno == 0:
				done = done || h.seq == acknowledged
			case first == nil:
				first = &refusal{a, t.subjects[h.seq-t.first]}
			}
		}
	}
	if first == nil && !done {
		return nil, errNoAnswer
	}
	return first, nil
}

// err gives the error for the caller, nil for no refusal.
func (r *refusal) err() error {
	if r == nil {
		return nil
	}
	if r.errno == unix.EPERM {
		return ErrPermission
	}
	if r.errno == unix.ERESTART {
		return ErrConflict
	}
	if r.subject == nil {
		return &KernelError{Errno: r.errno, What: "the transaction", Message: r.message}
	}
	what, owner := r.subject.at(r.offset)
	if s, ok := r.subject.(*elementsSubject); ok && s.deletion && s.expiring && r.errno == unix.ENOENT {
		return fmt.Errorf("%s has expired: %w", what, ErrConflict)
	}
	return &KernelError{Errno: r.errno, What: what, Owner: owner, Message: r.message}
}
