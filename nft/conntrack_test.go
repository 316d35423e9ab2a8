package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	g "github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// madeFlow is a flow to put into the kernel's table.
type madeFlow struct {
	proto        uint8
	from         netip.AddrPort
	to, endpoint netip.AddrPort // endpoint is to, where the flow is not translated
	zone         uint16
}

func flow(proto uint8, from, to, endpoint string) madeFlow {
	f := madeFlow{proto: proto, from: netip.MustParseAddrPort(from), to: netip.MustParseAddrPort(to)}
	f.endpoint = f.to
	if endpoint != "" {
		f.endpoint = netip.MustParseAddrPort(endpoint)
	}
	return f
}

func appendTuple(b []byte, typ uint16, proto uint8, src, dst netip.AddrPort) []byte {
	ipSrc, ipDst := uint16(ctaIPv4Src), uint16(ctaIPv4Dst)
	if src.Addr().Is6() {
		ipSrc, ipDst = ctaIPv6Src, ctaIPv6Dst
	}
	b, tuple := openNested(b, typ)
	b, ip := openNested(b, ctaTupleIP)
	b = appendBytes(b, ipSrc, src.Addr().AsSlice())
	b = appendBytes(b, ipDst, dst.Addr().AsSlice())
	closeNested(b, ip)
	b, p := openNested(b, ctaTupleProto)
	b = appendBytes(b, ctaProtoNum, []byte{proto})
	b = appendBytes(b, ctaProtoSrcPort, binary.BigEndian.AppendUint16(nil, src.Port()))
	b = appendBytes(b, ctaProtoDstPort, binary.BigEndian.AppendUint16(nil, dst.Port()))
	closeNested(b, p)
	closeNested(b, tuple)
	return b
}

// track puts flows into the table of connections. They last for an hour.
func (c *Conn) track(tb testing.TB, flows ...madeFlow) {
	tb.Helper()
	const (
		ctMsgNew     = 0 // IPCTNL_MSG_CT_NEW
		ctaStatus    = 3
		ctaProtoInfo = 4
		ctaTimeout   = 7
	)
	for len(flows) > 0 {
		batch := flows[:min(deleteBatch, len(flows))]
		flows = flows[len(batch):]
		var b []byte
		first := c.sock.seq + 1
		for _, f := range batch {
			c.sock.seq++
			family := uint8(unix.NFPROTO_IPV4)
			if f.to.Addr().Is6() {
				family = unix.NFPROTO_IPV6
			}
			var start int
			b, start = appendHeader(b, header{
				typ: ctType(ctMsgNew), seq: c.sock.seq,
				flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL,
			}, family, 0)
			b = appendTuple(b, ctaTupleOrig, f.proto, f.from, f.to)
			b = appendTuple(b, ctaTupleReply, f.proto, f.endpoint, f.from)
			b = appendU32(b, ctaStatus, 1<<1|1<<3) // IPS_SEEN_REPLY, IPS_CONFIRMED
			b = appendU32(b, ctaTimeout, 3600)
			if f.proto == unix.IPPROTO_TCP {
				var info, tcp int
				b, info = openNested(b, ctaProtoInfo)
				b, tcp = openNested(b, 1)        // CTA_PROTOINFO_TCP
				b = appendBytes(b, 1, []byte{3}) // CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_ESTABLISHED
				closeNested(b, tcp)
				closeNested(b, info)
			}
			if f.zone != 0 {
				b = appendBytes(b, ctaZone, binary.BigEndian.AppendUint16(nil, f.zone))
			}
			closeMessage(b, start)
		}
		if err := c.sock.send(b); err != nil {
			tb.Fatal(err)
		}
		for missing := len(batch); missing > 0; {
			d, err := c.sock.receive()
			if err != nil || d == nil {
				tb.Fatalf("%d flows not acknowledged: %v", missing, err)
			}
			for h, p := range messages(d) {
				if a, ok := parseAck(h, p); ok && h.seq-first < uint32(len(batch)) {
					if a.errno != 0 {
						tb.Fatalf("tracking %+v: %v", batch[h.seq-first], a.err())
					}
					missing--
				}
			}
		}
	}
}

// tracked lists all flows as the kernel has them, each with its id: one that was deleted and came back is another.
func (c *Conn) tracked(tb testing.TB) map[string]string {
	tb.Helper()
	out := map[string]string{}
	a, err := c.sock.exchange(tb.Context(), ctType(ctMsgGet), unix.NLM_F_DUMP, unix.AF_UNSPEC, nil, func(p []byte) {
		if f, ok := decodeFlow(p); ok {
			zone := ""
			if f.zone != nil {
				zone = fmt.Sprintf(" zone %d", binary.BigEndian.Uint16(f.zone))
			}
			out[f.String()+zone] = fmt.Sprintf("%x", f.id)
		}
	})
	if err != nil || a.err() != nil {
		tb.Fatal(err, a.err())
	}
	return out
}

func openTracking(tb testing.TB) *Conn {
	tb.Helper()
	c := openPrivate(tb)
	if err := exchangeNothing(tb, c); err != nil {
		if os.Getenv("SVCCTL_REQUIRE_NETNS") != "" {
			tb.Fatalf("connection tracking over netlink: %v", err)
		}
		tb.Skipf("needs connection tracking over netlink: %v", err)
	}
	return c
}

func exchangeNothing(tb testing.TB, c *Conn) error {
	tb.Helper()
	a, err := c.sock.exchange(tb.Context(), ctType(ctMsgGet), unix.NLM_F_DUMP, unix.AF_UNSPEC, nil, func([]byte) {})
	if err != nil {
		return err
	}
	return a.err()
}

func addrPorts(s ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range s {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

var everywhere4 = []plan.AddrRange{{First: netip.MustParseAddr("0.0.0.0"), Last: netip.MustParseAddr("255.255.255.255")}}

// Of a table of flows exactly the stale ones go; the others stay, with the ids they had.
func TestDeleteFlows(t *testing.T) {
	const udp, sctp, tcp = unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_TCP
	zoned := func(f madeFlow, zone uint16) madeFlow { f.zone = zone; return f }
	stale := []plan.StaleFlow{
		{
			Proto: g.UDP, Addr: netip.MustParseAddr("10.96.0.10"), Port: 53, Keep: addrPorts("10.1.0.2:53"), Untranslated: true,
		},
		{Proto: g.UDP, Addr: netip.MustParseAddr("10.96.0.11"), Port: 53},
		{Proto: g.SCTP, Addr: netip.MustParseAddr("10.96.0.10"), Port: 80, Keep: addrPorts("10.1.0.2:80"), Untranslated: true},
		{
			Proto: g.UDP, Addr: netip.IPv4Unspecified(), Port: 30053, Keep: addrPorts("10.1.0.2:53"), Untranslated: true,
			Within: everywhere4, Except: []netip.Addr{netip.MustParseAddr("192.0.2.2")},
		},
		{
			Family: g.IPv6, Proto: g.UDP, Addr: netip.MustParseAddr("fd00:10:96::a"), Port: 53,
			Keep: addrPorts("[fd00:10:1::2]:53"), Untranslated: true,
		},
		{
			Family: g.IPv6, Proto: g.UDP, Addr: netip.IPv6Unspecified(), Port: 30053,
			Within: []plan.AddrRange{{First: netip.IPv6Unspecified(), Last: netip.MustParseAddr("ffff::")}},
		},
	}
	gone := []madeFlow{
		flow(udp, "198.51.100.1:4000", "10.96.0.10:53", "10.1.0.1:53"),                 // its endpoint is gone
		flow(udp, "198.51.100.1:4001", "10.96.0.10:53", "10.1.0.2:54"),                 // another port of an endpoint
		flow(udp, "198.51.100.1:4002", "10.96.0.10:53", ""),                            // there was none
		zoned(flow(udp, "198.51.100.1:4000", "10.96.0.10:53", "10.1.0.1:53"), 7),       // in another zone
		flow(udp, "198.51.100.1:4003", "10.96.0.11:53", "10.1.0.2:53"),                 // the Service is gone
		flow(sctp, "198.51.100.1:4004", "10.96.0.10:80", "10.1.0.1:80"),                //
		flow(udp, "198.51.100.1:4005", "192.0.2.1:30053", "10.1.0.1:53"),               // node port
		flow(udp, "198.51.100.1:4006", "192.0.2.1:30053", ""),                          //
		flow(udp, "198.51.100.1:4007", "203.0.113.77:30053", "10.1.0.1:53"),            // an address by route alone
		flow(udp, "[2001:db8::1]:4000", "[fd00:10:96::a]:53", "[fd00:10:1::1]:53"),     //
		flow(udp, "[2001:db8::1]:4001", "[2001:db8:1::1]:30053", "[fd00:10:1::1]:53"),  // node port
		flow(udp, "[2001:db8::1]:4002", "[2001:db8:77::7]:30053", "[fd00:10:1::1]:53"), // by route alone
	}
	kept := []madeFlow{
		flow(udp, "198.51.100.1:5000", "10.96.0.10:53", "10.1.0.2:53"),             // the endpoint is there
		flow(udp, "198.51.100.1:5001", "10.96.0.12:53", "10.1.0.1:53"),             // of another service address
		flow(udp, "198.51.100.1:5002", "10.96.0.10:54", "10.1.0.1:53"),             // another port
		flow(tcp, "198.51.100.1:5003", "10.96.0.10:53", "10.1.0.1:53"),             // TCP
		flow(udp, "198.51.100.1:5004", "203.0.114.9:53", "10.1.0.1:53"),            // somebody else's NAT
		flow(udp, "198.51.100.1:5005", "10.1.0.1:53", ""),                          // to the endpoint itself
		flow(udp, "10.96.0.10:53", "198.51.100.1:5006", ""),                        // from there
		flow(udp, "198.51.100.1:5007", "10.96.0.11:53", ""),                        // nobody's address any more
		flow(udp, "198.51.100.1:5008", "203.0.114.9:30053", "10.1.0.1:53"),         // not the node's own address
		flow(udp, "198.51.100.1:5009", "192.0.2.2:30053", "10.1.0.1:53"),           // another Service has the port there
		flow(sctp, "198.51.100.1:5010", "10.96.0.10:53", "10.1.0.1:53"),            // UDP's port
		flow(udp, "198.51.100.1:5011", "192.0.2.1:30053", "10.1.0.2:53"),           //
		flow(udp, "[2001:db8::1]:5000", "[fd00:10:96::a]:53", "[fd00:10:1::2]:53"), //
		flow(udp, "[2001:db8::1]:5001", "[2001:db8:9::9]:30053", "[fd00:10:1::1]:53"),
		zoned(flow(udp, "198.51.100.1:4002", "10.96.0.10:53", "10.1.0.2:53"), 7),
	}
	for _, filtered := range []bool{true, false} { // some ports on their own, or all flows of a protocol
		t.Run(fmt.Sprintf("filtered=%v", filtered), func(t *testing.T) {
			c := openTracking(t)
			addOwnAddrs(t, c)
			c.track(t, kept...)
			before := c.tracked(t)
			c.track(t, gone...)
			stale := stale
			if !filtered {
				stale = withOthers(stale)
			}
			if n, err := c.CountFlows(t.Context(), stale); err != nil || n != len(gone) {
				t.Errorf("counted %d (%v), want %d", n, err, len(gone))
			}
			if n := len(c.tracked(t)); n != len(kept)+len(gone) {
				t.Errorf("counting left %d flows of %d", n, len(kept)+len(gone))
			}
			if n, err := c.DeleteFlows(t.Context(), stale); err != nil || n != len(gone) {
				t.Errorf("deleted %d (%v), want %d", n, err, len(gone))
			}
			after := c.tracked(t)
			for f, id := range before {
				if after[f] != id {
					t.Errorf("%s had the id %s, and now %q", f, id, after[f])
				}
				delete(after, f)
			}
			for f := range after {
				t.Errorf("%s is still there", f)
			}
			if n, err := c.DeleteFlows(t.Context(), stale); err != nil || n != 0 {
				t.Errorf("once more: deleted %d (%v), want none", n, err)
			}
		})
	}
}

// withOthers adds so many ports that nobody sends to that the kernel is asked for whole protocols.
func withOthers(stale []plan.StaleFlow) []plan.StaleFlow {
	out := slices.Clone(stale)
	for i := range uint16(maxFlowQueries + 1) {
		for _, p := range []g.Proto{g.UDP, g.SCTP} {
			out = append(out,
				plan.StaleFlow{Proto: p, Addr: netip.MustParseAddr("10.97.0.1"), Port: 1 + i, Untranslated: true},
				plan.StaleFlow{
					Family: g.IPv6, Proto: p, Addr: netip.MustParseAddr("fd00:10:97::1"), Port: 1 + i, Untranslated: true,
				})
		}
	}
	return out
}

func TestFlowQueries(t *testing.T) {
	at := func(f g.Family, addr string, port uint16) plan.StaleFlow {
		return plan.StaleFlow{Family: f, Proto: g.UDP, Addr: netip.MustParseAddr(addr), Port: port}
	}
	query := func(f g.Family, addr string, port uint16) flowQuery {
		q := flowQuery{family: f, proto: g.UDP, port: port}
		if addr != "" {
			q.addr = netip.MustParseAddr(addr)
		}
		return q
	}
	for name, tc := range map[string]struct {
		stale []plan.StaleFlow
		want  []flowQuery
	}{
		"nothing":       {nil, nil},
		"one address":   {[]plan.StaleFlow{at(g.IPv4, "10.96.0.1", 53)}, []flowQuery{query(g.IPv4, "10.96.0.1", 53)}},
		"two of a port": {[]plan.StaleFlow{at(g.IPv4, "10.96.0.1", 53), at(g.IPv4, "192.0.2.1", 53)}, []flowQuery{query(g.IPv4, "", 53)}},
		"a node port": {
			[]plan.StaleFlow{at(g.IPv4, "10.96.0.1", 53), at(g.IPv4, "0.0.0.0", 30053)},
			[]flowQuery{query(g.IPv4, "10.96.0.1", 53), query(g.IPv4, "", 30053)},
		},
		"a node port like a port": {
			[]plan.StaleFlow{at(g.IPv4, "10.96.0.1", 30053), at(g.IPv4, "0.0.0.0", 30053)},
			[]flowQuery{query(g.IPv4, "", 30053)},
		},
		"two ports of SCTP": {
			[]plan.StaleFlow{{Proto: g.SCTP, Addr: numberedAddr(1), Port: 1}, {Proto: g.SCTP, Addr: numberedAddr(1), Port: 2}},
			[]flowQuery{{proto: g.SCTP}},
		},
		"many": {
			[]plan.StaleFlow{
				at(g.IPv4, "10.96.0.1", 1), at(g.IPv4, "10.96.0.1", 2), at(g.IPv4, "10.96.0.1", 3), at(g.IPv6, "fd00::1", 1),
			},
			[]flowQuery{query(g.IPv4, "", 0), query(g.IPv6, "fd00::1", 1)},
		},
	} {
		if got := flowQueries(tc.stale); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// addOwnAddrs gives the namespace of the test addresses of its own: some of an interface, some by route alone.
func addOwnAddrs(t *testing.T, c *Conn) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"192.0.2.1/32", "192.0.2.2/32", "2001:db8:1::1/128"} {
		_, p, _ := net.ParseCIDR(s)
		if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: p, Flags: unix.IFA_F_NODAD}); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"203.0.113.0/24", "2001:db8:77::/64"} {
		_, p, _ := net.ParseCIDR(s)
		r := &netlink.Route{
			LinkIndex: lo.Attrs().Index, Dst: p, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
		}
		if err := netlink.RouteAdd(r); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	// The kernel makes the local route of an IPv6 address in a work queue (addrconf_dad_start), on a busy machine much later.
	for range 10000 {
		var own ownAddrs
		own.addrs = map[netip.Addr]bool{}
		if err := c.readOwnAddrs(t.Context(), g.IPv6, &own); err != nil {
			t.Fatal(err)
		}
		if own.contains(netip.MustParseAddr("2001:db8:1::1")) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("an address that was added is none of the node's own")
}

// A kernel that does not know filters, and one that refuses them, has all its flows looked at.
func TestFindFlowsWithoutFilter(t *testing.T) {
	c := openTracking(t)
	c.track(t,
		flow(unix.IPPROTO_UDP, "198.51.100.1:4000", "10.96.0.10:53", "10.1.0.1:53"),
		flow(unix.IPPROTO_UDP, "198.51.100.1:4001", "10.96.0.11:54", "10.1.0.1:53"), // that of the other question
		flow(unix.IPPROTO_TCP, "198.51.100.1:4002", "10.96.0.10:53", "10.1.0.1:53"))
	stale := []plan.StaleFlow{
		{Proto: g.UDP, Addr: netip.MustParseAddr("10.96.0.10"), Port: 53},
		{Proto: g.UDP, Addr: netip.MustParseAddr("10.96.0.11"), Port: 54},
	}
	refused, at := openNested(nil, ctaFilter) // a filter by a tuple that is not there
	refused = appendBytes(refused, ctaFilterOrigFlags, binary.NativeEndian.AppendUint32(nil, ctFilterIPDst))
	closeNested(refused, at)
	x := newFlowIndex(stale)
	q := flowQueries(stale)[0]
	for name, filter := range map[string][]byte{"none": nil, "refused": refused, "ours": q.filter()} {
		found, err := c.findFlowsOf(t.Context(), q, filter, &x, nil)
		if err != nil || len(found) != 1 || found[0].from.Port() != 4000 {
			t.Errorf("filter %s: %v (%v)", name, found, err)
		}
	}
}

// A list that was interrupted is made again, and is never taken for the whole.
func TestListWhole(t *testing.T) {
	interrupted := answer{changed: true}
	failed := func(errno unix.Errno) answer { return answer{ack: ack{errno: errno}} }
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		answers []answer
		err     error // of the connection, after the answers
		want    error
		filters string // f for a list with a filter, - for one without
	}{
		"at once":                  {[]answer{{}}, nil, nil, "f"},
		"interrupted":              {[]answer{interrupted, failed(unix.EINTR), failed(unix.EAGAIN), {}}, nil, nil, "ffff"},
		"interrupted for ever":     {slices.Repeat([]answer{interrupted}, readAttempts), nil, ErrFlowsChanging, "fffff"},
		"no filter":                {[]answer{failed(unix.EINVAL), {}}, nil, nil, "f-"},
		"not this filter":          {[]answer{failed(unix.EOPNOTSUPP), interrupted, {}}, nil, nil, "f--"},
		"refused without a filter": {[]answer{failed(unix.EINVAL), failed(unix.EINVAL)}, nil, unix.EINVAL, "f-"},
		"not allowed":              {[]answer{failed(unix.EPERM)}, nil, ErrPermission, "f"},
		"broken":                   {[]answer{interrupted}, broken, broken, "ff"},
	} {
		filters := ""
		err := listWhole([]byte{1}, func(filter []byte) (answer, error) {
			filters += map[bool]string{true: "f", false: "-"}[filter != nil]
			if len(filters) > len(tc.answers) {
				return answer{}, tc.err
			}
			return tc.answers[len(filters)-1], nil
		})
		if !errors.Is(err, tc.want) || filters != tc.filters {
			t.Errorf("%s: %v with the filters %s, want %v with %s", name, err, filters, tc.want, tc.filters)
		}
	}
}

// A flow that ended since it was seen is not taken for another one that has a tuple of its: the client's new flow to another
// endpoint, or one to the same endpoint by another way.
func TestDeleteFlowsKeepsOthers(t *testing.T) {
	const client, service, endpoint = "198.51.100.1:4000", "10.96.0.10:53", "10.1.0.1:53"
	for name, other := range map[string]madeFlow{
		"the client again": flow(unix.IPPROTO_UDP, client, service, "10.1.0.2:53"),
		"the endpoint":     flow(unix.IPPROTO_UDP, client, endpoint, ""),
	} {
		t.Run(name, func(t *testing.T) {
			c := openTracking(t)
			stale := []plan.StaleFlow{{Proto: g.UDP, Addr: netip.MustParseAddr("10.96.0.10"), Port: 53}}
			for range 20 { // often, but not always, the other one gets the place of the first in memory
				c.track(t, flow(unix.IPPROTO_UDP, client, service, endpoint))
				seen, err := c.findFlows(t.Context(), stale)
				if err != nil || len(seen) != 1 {
					t.Fatal(seen, err)
				}
				if n, err := c.deleteFlows(seen); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				c.track(t, other)
				if n, err := c.deleteFlows(seen); n != 0 || err != nil {
					t.Fatalf("deleted %d (%v), want none", n, err)
				}
				others := []plan.StaleFlow{stale[0], {Proto: g.UDP, Addr: netip.MustParseAddr("10.1.0.1"), Port: 53, Untranslated: true}}
				if n, err := c.DeleteFlows(t.Context(), others); n != 1 || err != nil {
					t.Fatalf("the other one: deleted %d (%v)", n, err)
				}
			}
		})
	}
}

// What the kernel refuses is said, with the flow, and does not keep the others from going.
func TestFlowError(t *testing.T) {
	c := openTracking(t)
	c.track(t,
		flow(unix.IPPROTO_UDP, "198.51.100.1:4000", "10.96.0.10:53", "10.1.0.1:53"),
		flow(unix.IPPROTO_UDP, "198.51.100.1:4001", "10.96.0.10:53", "10.1.0.1:53"),
		flow(unix.IPPROTO_UDP, "198.51.100.1:4002", "10.96.0.10:53", "10.1.0.1:53"))
	found, err := c.findFlows(t.Context(), []plan.StaleFlow{{Proto: g.UDP, Addr: netip.MustParseAddr("10.96.0.10"), Port: 53}})
	if err != nil || len(found) != 3 {
		t.Fatal(found, err)
	}
	slices.SortFunc(found, func(a, b trackedFlow) int { return a.from.Compare(b.from) })
	found[0].reply, found[1].reply = found[0].reply[:8], found[1].reply[:8] // no tuple any more
	n, err := c.deleteFlows(found)
	var refused *FlowError
	if n != 1 || !errors.As(err, &refused) || !errors.Is(err, unix.EINVAL) || refused.Others != 1 {
		t.Errorf("deleted %d, error %v", n, err)
	}
	if want := "udp 198.51.100.1:4000 -> 10.96.0.10:53, translated to 10.1.0.1:53"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error %v does not say %q", err, want)
	}
}

func TestNoFlows(t *testing.T) {
	c := openTracking(t)
	if n, err := c.DeleteFlows(t.Context(), nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n, err := c.DeleteFlows(t.Context(), withOthers(nil)); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// manyFlows are so many flows of everybody's, and among them one stale one in a hundred.
func manyFlows(n int) (flows []madeFlow, stale []plan.StaleFlow, gone int) {
	service := netip.MustParseAddrPort("10.96.0.10:53")
	left, stays := netip.MustParseAddrPort("10.1.0.1:53"), netip.MustParseAddrPort("10.1.0.2:53")
	for i := range n {
		f := madeFlow{proto: unix.IPPROTO_UDP, from: netip.AddrPortFrom(numberedAddr(0xc6336400+i/50000), uint16(1+i%50000))}
		switch {
		case i%100 == 0:
			f.to, f.endpoint = service, left
			gone++
		case i%100 == 1:
			f.to, f.endpoint = service, stays
		case i%2 == 0: // the same endpoint by another way
			f.to, f.endpoint = netip.MustParseAddrPort("203.0.113.9:53"), left
		default:
			f.to = netip.AddrPortFrom(numberedAddr(0xcb007100+i%200), 443)
			f.endpoint = f.to
		}
		flows = append(flows, f)
	}
	return flows, []plan.StaleFlow{{
		Proto: g.UDP, Addr: service.Addr(), Port: service.Port(), Keep: []netip.AddrPort{stays}, Untranslated: true,
	}}, gone
}

// Among fifty thousand flows the right ones are found, and only they go.
func TestDeleteFlowsAmongMany(t *testing.T) {
	if testing.Short() {
		t.Skip("fills the table of connections")
	}
	const n = 50_000
	flows, stale, gone := manyFlows(n)
	for _, others := range []bool{false, true} {
		t.Run(fmt.Sprintf("others=%v", others), func(t *testing.T) {
			c := openTracking(t)
			needTableFor(t, n)
			c.track(t, flows...)
			before := c.tracked(t)
			stale := stale
			if others {
				stale = withOthers(stale)
			}
			if deleted, err := c.DeleteFlows(t.Context(), stale); err != nil || deleted != gone {
				t.Errorf("deleted %d (%v), want %d", deleted, err, gone)
			}
			after := c.tracked(t)
			if len(before) != n || len(after) != n-gone {
				t.Errorf("%d flows, and then %d; want %d and %d", len(before), len(after), n, n-gone)
			}
			for f, id := range after {
				if before[f] != id {
					t.Fatalf("%s had the id %q, and now %s", f, before[f], id)
				}
				if strings.Contains(f, "10.96.0.10:53, translated to 10.1.0.1") {
					t.Fatalf("%s is still there", f)
				}
			}
		})
	}
}

// needTableFor skips a test where the kernel does not track so many connections.
func needTableFor(tb testing.TB, n int) {
	tb.Helper()
	b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		tb.Skip(err)
	}
	if limit, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || limit < n+n/10 {
		tb.Skipf("the kernel tracks at most %s connections (net.netfilter.nf_conntrack_max)", strings.TrimSpace(string(b)))
	}
}

// What it costs to look for the flows of a service address among a host's, and to delete one in a hundred of them.
func BenchmarkFlows(b *testing.B) {
	for _, n := range []int{50_000, 200_000} {
		flows, stale, gone := manyFlows(n)
		c := openTracking(b)
		needTableFor(b, n)
		c.track(b, flows...)
		for _, x := range []struct {
			name  string
			stale []plan.StaleFlow
		}{{"one", stale}, {"protocol", withOthers(stale)}} {
			b.Run(fmt.Sprintf("flows=%d/count/%s", n, x.name), func(b *testing.B) {
				for b.Loop() {
					if found, err := c.CountFlows(b.Context(), x.stale); err != nil || found != gone {
						b.Fatal(found, err)
					}
				}
			})
		}
		var again []madeFlow
		for i := 0; i < len(flows); i += 100 {
			again = append(again, flows[i])
		}
		b.Run(fmt.Sprintf("flows=%d/delete", n), func(b *testing.B) {
			for b.Loop() {
				if deleted, err := c.DeleteFlows(b.Context(), stale); err != nil || deleted != gone {
					b.Fatal(deleted, err)
				}
				b.StopTimer()
				c.track(b, again...)
				b.StartTimer()
			}
		})
	}
}

func FuzzDecodeFlow(f *testing.F) {
	good := appendTuple([]byte{unix.NFPROTO_IPV4, 0, 0, 0}, ctaTupleOrig, unix.IPPROTO_UDP,
		netip.MustParseAddrPort("198.51.100.1:4000"), netip.MustParseAddrPort("10.96.0.10:53"))
	good = appendTuple(good, ctaTupleReply, unix.IPPROTO_UDP,
		netip.MustParseAddrPort("10.1.0.1:53"), netip.MustParseAddrPort("198.51.100.1:4000"))
	good = appendU32(good, ctaID, 77)
	f.Add(good)
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, ok := decodeFlow(payload)
		if !ok {
			return
		}
		// What was understood is deleted by what was read.
		for h, p := range messages(got.appendDeletion(nil, 1)) {
			if h.typ != ctType(ctMsgDelete) {
				t.Fatalf("%x", p)
			}
			_, body, _ := familyPayload(p)
			tuple, ok := decodeTuple(got.family, firstAttr(body, ctaTupleReply))
			if !ok || tuple.src != got.Endpoint || u32(firstAttr(body, ctaID)) != u32(got.id) {
				t.Fatalf("%+v is deleted by %x", got, p)
			}
		}
	})
}
