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
// nothing refers to yet, come before all else; before Linux 6.2 chains are removed after all else. Where one of them is
// in force and the rest is not, the error wraps [*PartialError]. Before Linux 6.3, deleting an element that has just
// expired by itself is a conflict.
//
// The error is or wraps [ErrConflict], [ErrPermission], [*KernelError], [*BatchSizeError], or [*LostAnswerError] where
// nobody knows whether the plan is in force.
func (c *Conn) Commit(ctx context.Context, p *plan.Plan, generation uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	enacted := ""
	for _, s := range stages(p, c.kernel) {
		if err := c.run(s.plan, generation); err != nil {
			if enacted == "" {
				return err
			}
			return &PartialError{Enacted: enacted, Err: err}
		}
		enacted = s.enacted
		if generation != 0 {
			generation = nextGeneration(generation)
		}
	}
	return nil
}

// After gives the generation that [Conn.Commit] of a plan leads to from the one it was given. Whoever asks the kernel
// instead may get one that somebody else has led to since.
func (c *Conn) After(p *plan.Plan, generation uint32) uint32 {
	for range stages(p, c.kernel) {
		generation = nextGeneration(generation)
	}
	return generation
}

// nextGeneration gives the generation after a transaction; the kernel leaves out 0 (net/netfilter/nf_tables_api.c,
// nf_tables_commit).
func nextGeneration(g uint32) uint32 { return max(g+1, 1) }

// run sends a plan as one transaction.
func (c *Conn) run(p *plan.Plan, generation uint32) error {
	t, acknowledged := encode(p, c.sock.seq+1, generation, c.kernel)
	c.sock.seq += uint32(len(t.starts))
	v, err := c.transact(t, acknowledged)
	switch {
	case err != nil && v.sent:
		return c.lost(generation, err)
	case err != nil:
		return fmt.Errorf("nftables transaction: %w", err)
	case v.refusal != nil:
		return v.refusal.err()
	case !v.acknowledged || v.overrun:
		return c.lost(generation, nil)
	case generation == 0:
		return nil
	}
	// The acknowledgement is that of the last message; a transaction whose end did not arrive has it as well.
	if now, err := c.generation(context.Background()); err != nil || now == generation {
		return &LostAnswerError{Before: generation, After: now, Err: err}
	}
	return nil
}

// lost makes the error for a transaction that the kernel has taken and whose answer is not known.
func (c *Conn) lost(generation uint32, cause error) error {
	// Whether it is in force is to be found out now, whatever the caller still waits for: the question takes
	// microseconds and never blocks.
	now, err := c.generation(context.Background())
	return &LostAnswerError{Before: generation, After: now, Err: errors.Join(cause, err)}
}

// refusal is the first error of a transaction and what it is about.
type refusal struct {
	ack
	subject subject
}

// batchAnswer is all that the kernel said about a transaction.
type batchAnswer struct {
	sent         bool // the kernel has the transaction, and dealt with it
	acknowledged bool
	refusal      *refusal // nil: none that was heard
	overrun      bool     // some of what the kernel said is lost
}

// transact sends a transaction and reads all that the kernel says about it, which is there when the sending is done.
func (c *Conn) transact(t *batch, acknowledged uint32) (v batchAnswer, err error) {
	c.sock.drain()
	if err := c.sock.reserve(len(t.buf)); err != nil {
		return v, err
	}
	if err := c.sock.send(t.buf); err != nil {
		return v, c.sock.sendError(len(t.buf), err)
	}
	v.sent = true
	for {
		d, err := c.sock.receive()
		if errors.Is(err, unix.ENOBUFS) {
			v.overrun = true // errors beyond those that the buffer holds are lost; the first are there
			continue
		}
		if err != nil {
			return v, err
		}
		if d == nil {
			return v, nil
		}
		for h, p := range messages(d) {
			a, ok := parseAck(h, p)
			switch {
			case !ok || h.typ != unix.NLMSG_ERROR || !t.contains(h.seq):
			case a.errno == 0:
				v.acknowledged = v.acknowledged || h.seq == acknowledged
			case v.refusal == nil:
				v.refusal = &refusal{a, t.subjects[h.seq-t.first]}
			}
		}
	}
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
	return &KernelError{Errno: r.errno, What: what, Set: setOf(r.subject), Owner: owner, Message: r.message}
}
