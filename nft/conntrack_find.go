package nft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// maxFlowQueries is for how many ports of one family and protocol the kernel is asked one by one. Each time it walks over
// all buckets of its table and all flows in them, however few it gives: asking for two ports costs about what it costs to be
// given all flows of the protocol on a host with fifty thousand (BenchmarkFlows).
const maxFlowQueries = 2

// flowQuery is what the kernel is asked for: the flows of a family and protocol that were sent to an address and port.
type flowQuery struct {
	family graph.Family
	proto  graph.Proto
	addr   netip.Addr // not valid: any
	port   uint16     // 0: any
}

// matches reports whether a flow is one that was asked for. The kernel may have given others: before Linux 5.8 it knows no
// filters, and it looks at the ports of TCP and UDP only.
func (q *flowQuery) matches(f *trackedFlow) bool {
	return f.family == q.family && f.proto == q.proto && (q.port == 0 || f.To.Port() == q.port) &&
		(!q.addr.IsValid() || f.To.Addr() == q.addr)
}

// flowQueries gives the questions whose answers contain every stale flow, and none of them twice.
func flowQueries(stale []plan.StaleFlow) []flowQuery {
	byPort := map[flowQuery]flowQuery{} // the keys have no address
	ports := map[flowQuery]int{}        // nor a port
	for i := range stale {
		s := &stale[i]
		q := flowQuery{family: s.Family, proto: s.Proto, port: s.Port}
		key := q
		if !s.IsNodePort() {
			q.addr = s.Addr
		}
		switch known, ok := byPort[key]; {
		case !ok:
			ports[flowQuery{family: s.Family, proto: s.Proto}]++
			byPort[key] = q
		case known.addr != q.addr:
			byPort[key] = key
		}
	}
	var out []flowQuery
	for all, n := range ports {
		if n > maxFlowQueries || n > 1 && all.proto == graph.SCTP { // whose ports the kernel does not compare
			out = append(out, all)
			continue
		}
		for key, q := range byPort {
			if key.family == all.family && key.proto == all.proto {
				out = append(out, q)
			}
		}
	}
	slices.SortFunc(out, func(a, b flowQuery) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.proto, b.proto), cmp.Compare(a.port, b.port))
	})
	return out
}

// flowIndex finds the stale flows of a destination.
type flowIndex struct {
	byAddr map[flowTarget]*plan.StaleFlow // node ports under the unspecified address
	own    ownAddrs
}

type flowTarget struct {
	proto graph.Proto
	addr  netip.Addr
	port  uint16
}

func newFlowIndex(stale []plan.StaleFlow) flowIndex {
	x := flowIndex{byAddr: make(map[flowTarget]*plan.StaleFlow, len(stale))}
	for i := range stale {
		s := &stale[i]
		x.byAddr[flowTarget{s.Proto, s.Addr, s.Port}] = s
	}
	return x
}

// cuts reports whether the flow has to go.
func (x *flowIndex) cuts(f *trackedFlow) bool {
	at := flowTarget{f.proto, f.To.Addr(), f.To.Port()}
	if s := x.byAddr[at]; s != nil && s.Cuts(f.Flow, false) {
		return true
	}
	at.addr = f.family.Unspecified()
	s := x.byAddr[at]
	return s != nil && s.Cuts(f.Flow, x.own.contains(f.To.Addr()))
}

// findFlows lists the stale flows in the kernel, all of them or none.
func (c *Conn) findFlows(ctx context.Context, stale []plan.StaleFlow) ([]trackedFlow, error) {
	if len(stale) == 0 {
		return nil, nil
	}
	if some, err := c.tracksFlows(ctx); err != nil || !some {
		return nil, err
	}
	x := newFlowIndex(stale)
	var err error
	if x.own, err = c.ownAddrs(ctx, stale); err != nil {
		return nil, err
	}
	var found []trackedFlow
	for _, q := range flowQueries(stale) {
		if found, err = c.findFlowsOf(ctx, q, q.filter(), &x, found); err != nil {
			return nil, fmt.Errorf("listing the flows of %s %s: %w", q.family, q.proto, err)
		}
	}
	return found, nil
}

// findFlowsOf adds the stale flows among those of a query. The filter has the kernel leave out what is not asked for; what
// it gives nevertheless does no harm.
func (c *Conn) findFlowsOf(
	ctx context.Context, q flowQuery, filter []byte, x *flowIndex, found []trackedFlow,
) ([]trackedFlow, error) {
	var out []trackedFlow
	err := listWhole(filter, func(filter []byte) (answer, error) {
		out = found
		return c.sock.exchange(ctx, ctType(ctMsgGet), unix.NLM_F_DUMP, familyOf(q.family), filter, func(payload []byte) {
			if f, ok := decodeFlow(payload); ok && q.matches(&f) && x.cuts(&f) {
				out = append(out, f.clone())
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// listWhole has a list made until it is of one piece: again where the kernel was interrupted, which it says, and without a
// filter where it cannot choose.
func listWhole(filter []byte, list func(filter []byte) (answer, error)) error {
	for interrupted := 0; interrupted < readAttempts; {
		a, err := list(filter)
		switch {
		case err != nil:
			return err
		case a.changed || a.errno == unix.EINTR || a.errno == unix.EAGAIN:
			interrupted++
		case filter != nil && (a.errno == unix.EINVAL || a.errno == unix.EOPNOTSUPP):
			filter = nil
		default:
			return a.err()
		}
	}
	return ErrFlowsChanging
}

// TracksFlows reports whether the kernel has any flows at all in the namespace: where it has none, there is no need to work
// out which are stale. The error is as in [Conn.CountFlows].
func (c *Conn) TracksFlows(ctx context.Context) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracksFlows(ctx)
}

func (c *Conn) tracksFlows(ctx context.Context) (bool, error) {
	var n uint32
	a, err := c.sock.exchange(ctx, ctType(ctMsgGetStats), 0, unix.AF_UNSPEC, nil, func(payload []byte) {
		if _, b, ok := familyPayload(payload); ok {
			n = u32(firstAttr(b, ctaStatsGlobalEntries))
		}
	})
	switch {
	case err != nil:
		return false, err
	case a.errno != unix.EINVAL:
		return n > 0, a.err()
	}
	// Nobody answers for connection tracking. A kernel that tracks no connections is one thing, one that does and cannot
	// say so is another.
	if _, err := os.Stat("/proc/sys/net/netfilter/nf_conntrack_max"); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, ErrNoFlowList
}
