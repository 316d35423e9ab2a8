package packet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/internal/netlab"
)

// The kernel decides about the first packet of a flow. A client that keeps its source port is a flow for as long as it
// keeps sending, whatever becomes of the Service: each test sees that first, and then that the flow is cut.

// flowProtocols are those whose flows are cut.
var flowProtocols = []netlab.Protocol{netlab.UDP, netlab.SCTP}

// client is a flow with a name for messages.
type client struct {
	name string
	*netlab.Flow
}

// startTracking is start with a node that keeps flows for as long as a test may take on a busy machine: an SCTP flow that
// is not established yet, as ours are, would be gone after three seconds.
func startTracking(t *testing.T, pods int) *node {
	t.Helper()
	n := start(t, pods)
	err := n.Node.Do(func() error {
		for _, name := range []string{"sctp_timeout_cookie_wait", "sctp_timeout_closed", "udp_timeout", "udp_timeout_stream"} {
			if err := os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_"+name, []byte("600"), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// open makes a flow over each protocol and family to each address.
func (n *node) open(t *testing.T, to ...func(family) netip.AddrPort) []client {
	t.Helper()
	var out []client
	for _, f := range families {
		for _, p := range flowProtocols {
			for _, at := range to {
				flow, err := n.Client.Open(t.Context(), p, at(f))
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, client{fmt.Sprintf("the %s flow to %s", p, at(f)), flow})
			}
		}
	}
	return out
}

// ask has every client send a packet more.
func ask(t *testing.T, when string, clients []client, w want) {
	t.Helper()
	patience := time.Duration(0)
	if w.outcome == netlab.Silent {
		patience = silence
	}
	for _, c := range clients {
		a := c.Ask(t.Context(), patience)
		if a.Outcome != w.outcome || w.endpoint != "" && a.Endpoint != w.endpoint {
			t.Errorf("%s: %s: %s, want %s %s", when, c.name, a, w.outcome, w.endpoint)
		}
	}
}

// change applies manifests and gives the flows that are stale then. Every Service counts as changed, as in a record that
// knows no better.
func (n *node) change(t *testing.T, manifests ...string) []plan.StaleFlow {
	t.Helper()
	observed, desired := n.read(t).Ruleset, n.compile(t, manifests...)
	stale := plan.StaleFlows(plan.Diff(observed, desired), observed, desired, func(*graph.Owner) bool { return true })
	n.apply(t, manifests...)
	return stale
}

// cut cuts stale flows, insisting that they are so many.
func (n *node) cut(t *testing.T, stale []plan.StaleFlow, want int) {
	t.Helper()
	if got, err := n.conn.CountFlows(t.Context(), stale); err != nil || got != want {
		t.Errorf("%d flows would be cut (%v), want %d", got, err, want)
	}
	if got, err := n.conn.DeleteFlows(t.Context(), stale); err != nil || got != want {
		t.Errorf("%d flows were cut (%v), want %d", got, err, want)
	}
}

// tracked gives every flow that the node knows, by its original tuple, with its id: one that is cut and comes back has
// another.
func (n *node) tracked(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := n.Node.Do(func() error {
		req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
		messages, err := req.Execute(unix.NETLINK_NETFILTER, 0)
		if err != nil {
			return err
		}
		for _, m := range messages {
			attrs, err := nl.ParseRouteAttr(m[nl.SizeofNfgenmsg:])
			if err != nil {
				return err
			}
			var tuple, id string
			for _, a := range attrs {
				switch a.Attr.Type & nl.NLA_TYPE_MASK {
				case nl.CTA_TUPLE_ORIG:
					tuple = string(a.Value)
				case nl.CTA_ID:
					id = string(a.Value)
				}
			}
			out[tuple] = id
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// foreignNAT is a translation that is none of svcctl's, to the same endpoint as a Service's.
func (n *node) foreignNAT(t *testing.T, to *netlab.Namespace) func(family) netip.AddrPort {
	t.Helper()
	script := fmt.Sprintf(`
table ip foreign {
	chain prerouting {
		type nat hook prerouting priority -90; policy accept
		ip daddr 203.0.113.1 meta l4proto { udp, sctp } th dport 80 dnat to %s:%d
	}
}
table ip6 foreign {
	chain prerouting {
		type nat hook prerouting priority -90; policy accept
		ip6 daddr 2001:db8::1 meta l4proto { udp, sctp } th dport 80 dnat to [%s]:%[2]d
	}
}`, to.Addr4, endpointPort, to.Addr6)
	if _, err := n.Node.Run(t.Context(), script, "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	return fixed("203.0.113.1", "2001:db8::1", servicePort)
}

func fixed(v4, v6 string, port uint16) func(family) netip.AddrPort {
	return func(f family) netip.AddrPort {
		return netip.AddrPortFrom(f.pick(netip.MustParseAddr(v4), netip.MustParseAddr(v6)), port)
	}
}

func (n *node) nodePort(s service) func(family) netip.AddrPort {
	return func(f family) netip.AddrPort { return netip.AddrPortFrom(f.of(n.Node), s.nodePort) }
}

// connect makes a TCP connection and reads the greeting. What it gives makes sure that the connection is still there.
func connect(t *testing.T, from *netlab.Namespace, to netip.AddrPort) (still func()) {
	t.Helper()
	conn, err := from.DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r := bufio.NewReader(conn)
	line := func() {
		t.Helper()
		stop := context.AfterFunc(t.Context(), func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		_ = conn.SetReadDeadline(time.Now().Add(netlab.DefaultPatience))
		if _, err := r.ReadString('\n'); err != nil {
			t.Errorf("the TCP connection to %s: %v", to, err)
		}
	}
	line()
	return func() {
		t.Helper()
		if _, err := io.WriteString(conn, "still there\n"); err != nil {
			t.Error(err)
		}
		line()
	}
}

// An endpoint goes: the flows that it had go to another one with their next packet. All other flows stay what they are.
func TestFlowsOfAnEndpointThatGoes(t *testing.T) {
	t.Parallel()
	for _, affinity := range []string{"None", "ClientIP"} {
		t.Run(affinity, func(t *testing.T) {
			t.Parallel()
			n := startTracking(t, 2)
			foreign := n.foreignNAT(t, n.Pods[0])
			s := service{name: "web", number: 1, nodePort: 30001, spec: []string{
				"sessionAffinity: " + affinity, `externalIPs: [203.0.113.9, "2001:db8::9"]`,
			}}
			other := service{name: "other", number: 2, nodePort: 30002}
			external := fixed("203.0.113.9", "2001:db8::9", servicePort)
			manifests := func(pod *netlab.Namespace) []string {
				return []string{s.String(), endpoints("web", pod), other.String(), endpoints("other", n.Pods[0])}
			}
			n.apply(t, manifests(n.Pods[0])...)
			moving := n.open(t, s.at, n.nodePort(s), external)
			staying := n.open(t, other.at, n.nodePort(other), foreign, func(f family) netip.AddrPort {
				return netip.AddrPortFrom(f.of(n.Pods[0]), endpointPort)
			})
			ask(t, "before", moving, answered("pod-1", netip.Addr{}))
			ask(t, "before", staying, answered("pod-1", netip.Addr{}))
			var still []func()
			for _, f := range families {
				still = append(still, connect(t, n.Client, s.at(f)), connect(t, n.Client, n.nodePort(s)(f)))
			}

			stale := n.change(t, manifests(n.Pods[1])...)
			// The last packets before the cut, without which this test would prove nothing.
			ask(t, "changed", moving, answered("pod-1", netip.Addr{}))
			before := n.tracked(t)
			n.cut(t, stale, len(moving))
			after := n.tracked(t)
			for flow, id := range after {
				if before[flow] != id {
					t.Errorf("the flow %x had the id %x, and has %x", flow, before[flow], id)
				}
			}
			if len(after) != len(before)-len(moving) {
				t.Errorf("of %d flows %d were cut, and %d are left", len(before), len(moving), len(after))
			}
			ask(t, "cut", moving, answered("pod-2", netip.Addr{}))
			ask(t, "cut", staying, answered("pod-1", netip.Addr{}))
			for _, f := range still {
				f()
			}
			n.cut(t, stale, 0) // they have their new endpoint
		})
	}
}

// A flow that began when nobody served the address went nowhere. It is released when somebody does.
func TestFlowsOfTheFirstEndpoint(t *testing.T) {
	t.Parallel()
	n := startTracking(t, 1)
	n.foreignNAT(t, n.Pods[0]) // so that the node tracks connections at all
	s := service{name: "web", number: 1, nodePort: 30001, spec: []string{`externalIPs: [203.0.113.9, "2001:db8::9"]`}}
	cluster, onNode := n.open(t, s.at), n.open(t, n.nodePort(s))
	external := n.open(t, fixed("203.0.113.9", "2001:db8::9", servicePort))
	elsewhere := n.open(t, fixed("203.0.113.8", "2001:db8::8", servicePort))
	ask(t, "before", cluster, dropped)
	ask(t, "before", external, dropped)
	ask(t, "before", onNode, refused)
	ask(t, "before", elsewhere, dropped)

	stale := n.change(t, s.String(), endpoints("web", n.Pods[0]))
	ask(t, "changed", cluster, refused) // as whatever is not translated there, and the client is no better off
	ask(t, "changed", external, dropped)
	ask(t, "changed", onNode, refused)
	n.cut(t, stale, len(cluster)+len(external)+len(onNode))
	ask(t, "cut", cluster, answered("pod-1", netip.Addr{}))
	ask(t, "cut", external, answered("pod-1", netip.Addr{}))
	ask(t, "cut", onNode, answered("pod-1", netip.Addr{}))

	// A Service without endpoints refuses, and what is refused is no flow: the first endpoint is found at once.
	none := service{name: "none", number: 2}
	n.apply(t, none.String())
	waiting := n.open(t, none.at)
	ask(t, "without endpoints", waiting, refused)
	n.cut(t, n.change(t, none.String(), endpoints("none", n.Pods[0])), 0)
	ask(t, "with the first endpoint", waiting, answered("pod-1", netip.Addr{}))
}

// A Service loses its last endpoint, a Service is deleted, a Service hands its address to another, everything is deleted:
// no flow goes on to where it went.
func TestFlowsOfServicesThatChange(t *testing.T) {
	t.Parallel()
	s := service{name: "web", number: 1, nodePort: 30001}
	heir := service{name: "heir", number: 1, nodePort: 30001}
	other := service{name: "other", number: 2}
	for name, tc := range map[string]struct {
		manifests    func(n *node) []string
		cluster, all want // of the cluster IP and of the node port
	}{
		"scaled to zero": {func(*node) []string { return []string{s.String()} }, refused, refused},
		"deleted":        {func(*node) []string { return nil }, dropped, refused},
		"handed over": {
			func(n *node) []string { return []string{heir.String(), endpoints("heir", n.Pods[1])} },
			answered("pod-2", netip.Addr{}), answered("pod-2", netip.Addr{}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startTracking(t, 2)
			rest := []string{other.String(), endpoints("other", n.Pods[0])}
			n.apply(t, append(rest, s.String(), endpoints("web", n.Pods[0]))...)
			cluster, onNode, staying := n.open(t, s.at), n.open(t, n.nodePort(s)), n.open(t, other.at)
			for _, clients := range [][]client{cluster, onNode, staying} {
				ask(t, "before", clients, answered("pod-1", netip.Addr{}))
			}
			stale := n.change(t, append(rest, tc.manifests(n)...)...)
			ask(t, "changed", cluster, answered("pod-1", netip.Addr{}))
			ask(t, "changed", onNode, answered("pod-1", netip.Addr{}))
			n.cut(t, stale, len(cluster)+len(onNode))
			ask(t, "cut", cluster, tc.cluster)
			ask(t, "cut", onNode, tc.all)
			ask(t, "cut", staying, answered("pod-1", netip.Addr{}))
		})
	}
	t.Run("everything deleted", func(t *testing.T) {
		t.Parallel()
		n := startTracking(t, 1)
		n.foreignNAT(t, n.Pods[0]) // goes on tracking connections
		n.apply(t, s.String(), endpoints("web", n.Pods[0]))
		cluster, onNode := n.open(t, s.at), n.open(t, n.nodePort(s))
		ask(t, "before", cluster, answered("pod-1", netip.Addr{}))
		ask(t, "before", onNode, answered("pod-1", netip.Addr{}))
		observed := n.read(t).Ruleset
		stale := plan.StaleFlows(plan.DeleteAll(observed), observed, &graph.Ruleset{}, nil)
		n.deleteAll(t)
		ask(t, "changed", cluster, answered("pod-1", netip.Addr{}))
		n.cut(t, stale, len(cluster)+len(onNode))
		ask(t, "cut", cluster, dropped)
		ask(t, "cut", onNode, refused)
	})
}

// An endpoint that terminates keeps its flows as long as it serves, whether others get the new ones or not.
func TestFlowsOfAnEndpointThatTerminates(t *testing.T) {
	t.Parallel()
	n := startTracking(t, 2)
	s := service{name: "web", number: 1, nodePort: 30001}
	n.apply(t, s.String(), endpoints("web", n.Pods[0]))
	flows := n.open(t, s.at, n.nodePort(s))
	ask(t, "ready", flows, answered("pod-1", netip.Addr{}))

	terminating := terminatingEndpoint("web", n.Pods[0])
	n.cut(t, n.change(t, s.String(), terminating), 0)
	ask(t, "terminating", flows, answered("pod-1", netip.Addr{}))

	n.cut(t, n.change(t, s.String(), terminating, endpointsOn(otherNodeName, "web", n.Pods[1])), 0)
	ask(t, "terminating beside another", flows, answered("pod-1", netip.Addr{}))
	later := n.open(t, s.at, n.nodePort(s))
	ask(t, "new flows", later, answered("pod-2", netip.Addr{}))

	stale := n.change(t, s.String(), endpointsOn(otherNodeName, "web", n.Pods[1]))
	ask(t, "gone", flows, answered("pod-1", netip.Addr{}))
	n.cut(t, stale, len(flows))
	ask(t, "cut", flows, answered("pod-2", netip.Addr{}))
	ask(t, "cut", later, answered("pod-2", netip.Addr{}))
}
