package nft

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/plan"
)

var (
	// ErrFlowsChanging says that the kernel could not list its flows in one piece, several times in a row.
	ErrFlowsChanging = errors.New("the connection tracking table kept changing while it was read")

	// ErrNoFlowList says that the kernel tracks connections and cannot list them.
	ErrNoFlowList = errors.New("the kernel cannot list the connections it tracks: it lacks nf_conntrack_netlink")
)

// FlowError says that flows were refused to be deleted. All others that had to go are gone.
type FlowError struct {
	Flow    string // the first: "udp 192.168.0.2:40000 -> 10.96.0.10:53, translated to 10.1.0.2:53"
	Others  int    // how many more
	Errno   unix.Errno
	Message string // the kernel's own words (extended acknowledgement), mostly empty
}

// Error names the first flow and what the kernel said about it.
func (e *FlowError) Error() string {
	s := fmt.Sprintf("deleting the flow %s: %s", e.Flow, e.Errno.Error())
	if e.Message != "" {
		s += " (" + e.Message + ")"
	}
	if e.Others > 0 {
		s += fmt.Sprintf(", and %d others", e.Others)
	}
	return s
}

// Unwrap gives the error number.
func (e *FlowError) Unwrap() error { return e.Errno }

// CountFlows gives how many of the flows in the kernel are stale, and so how many [Conn.DeleteFlows] would delete. A
// kernel that tracks no connections has none.
//
// The error is or wraps [ErrPermission], [ErrFlowsChanging] or [ErrNoFlowList].
func (c *Conn) CountFlows(ctx context.Context, stale []plan.StaleFlow) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.findFlows(ctx, stale)
	return len(found), err
}

// DeleteFlows makes the kernel forget the flows that are stale, so that the next packet of each is looked at as the first
// of a new one, and gives how many there were. It is to be called after the change that made them stale is committed: what
// begins then is not stale.
//
// A flow is deleted only if it is still the one that was seen, by both its tuples and its zone. One that has ended meanwhile
// is not counted. The error is as in CountFlows, or wraps [*FlowError].
func (c *Conn) DeleteFlows(ctx context.Context, stale []plan.StaleFlow) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.findFlows(ctx, stale)
	if err != nil {
		return 0, err
	}
	return c.deleteFlows(found)
}

// deleteBatch is how many flows one datagram deletes. Each is acknowledged, and the acknowledgements have to fit into the
// receive buffer of an unprivileged process (net.core.rmem_default).
const deleteBatch = 64

func (c *Conn) deleteFlows(flows []trackedFlow) (deleted int, err error) {
	var refused *FlowError
	for len(flows) > 0 {
		batch := flows[:min(deleteBatch, len(flows))]
		flows = flows[len(batch):]
		answers, err := c.sendDeletions(batch)
		if err != nil {
			return deleted, fmt.Errorf("deleting flows: %w", err)
		}
		for i, a := range answers {
			switch {
			case a.errno == 0:
				deleted++
			case a.errno == unix.ENOENT: // it has ended, or is another
			case a.errno == unix.EPERM:
				return deleted, ErrPermission
			case refused == nil:
				refused = &FlowError{Flow: batch[i].String(), Errno: a.errno, Message: a.message}
			default:
				refused.Others++
			}
		}
	}
	if refused != nil {
		return deleted, refused
	}
	return deleted, nil
}

// sendDeletions deletes flows, each by a message of its own, and gives the answers in the same order.
func (c *Conn) sendDeletions(flows []trackedFlow) ([]ack, error) {
	c.sock.drain()
	first := c.sock.seq + 1
	c.sock.seq += uint32(len(flows))
	var b []byte
	for i := range flows {
		b = flows[i].appendDeletion(b, first+uint32(i))
	}
	if err := c.sock.send(b); err != nil {
		return nil, err
	}
	answers := make([]ack, len(flows))
	missing := len(flows)
	for missing > 0 {
		d, err := c.sock.receive()
		if err != nil {
			return nil, err
		}
		if d == nil {
			return nil, errNoAnswer
		}
		for h, p := range messages(d) {
			if a, ok := parseAck(h, p); ok && h.typ == unix.NLMSG_ERROR && h.seq-first < uint32(len(flows)) {
				answers[h.seq-first] = a
				missing--
			}
		}
	}
	return answers, nil
}
