package differential

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/trace"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/nft"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

const (
	table    = "svcctl"
	podCount = 4
)

// The addresses of the world, IPv4 and IPv6 twins in pairs. Nothing that is sent is ever sent from or to another one.
var (
	nodeAddrs = addrs("192.168.0.1", "fd00:c0::1", "10.1.1.1", "fd00:10:1:1::1")
	loopback  = addrs("127.0.0.1", "::1")
	clients   = addrs("192.168.0.2", "fd00:c0::2", "192.168.0.3", "fd00:c0::3")
	farClient = addrs("198.51.100.7", "2001:db8:7::7")
	// clusterIPs belong to Services in some configurations, the last pair never: it is an unused address of the range.
	clusterIPs  = addrs("10.96.0.1", "fd00:10:96::1", "10.96.0.2", "fd00:10:96::2", "10.96.0.3", "fd00:10:96::3", "10.96.0.9", "fd00:10:96::9")
	externalIPs = addrs("203.0.113.5", "2001:db8::5", "203.0.113.6", "2001:db8::6", "10.112.0.1", "fd00:10:99::1")
)

// The ports of the world. Something answers at every address on every port that packets are sent to, so that "nothing
// happened to the packet" is never taken for "it was dropped" or "refused".
var (
	servicePorts  = []uint16{80, 443, 30000}
	nodePorts     = []uint16{30000, 30001, 30002}
	endpointPorts = []uint16{8080, 8081}
)

// world is a node that is ours to program, and everything that can send to it or be reached through it.
type world struct {
	*netlab.Lab
	conn   *nft.Conn
	host   trace.Host
	places map[netip.Addr]*netlab.Namespace
	// patience is how long packets wait for an answer that is predicted.
	patience time.Duration
	// remembered is when a client was last sent to the endpoint that the node remembers for it.
	remembered map[graph.Key]time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		Lab:    netlab.Start(t, netlab.Options{Pods: podCount}),
		places: map[netip.Addr]*netlab.Namespace{}, patience: patience, remembered: map[graph.Key]time.Time{},
	}
	w.conn = open(t, w.Node)
	w.host.Local = []netip.Addr{netlab.NodeAddr4, netlab.NodeAddr6}
	for _, pod := range w.Pods {
		w.host.Local = append(w.host.Local, gateway(pod.Addr4), gateway(pod.Addr6))
		w.serve(t, pod, []netip.Addr{pod.Addr4, pod.Addr6}, endpointPorts)
	}
	w.serve(t, w.Node, slices.Concat(nodeAddrs, loopback), slices.Concat([]uint16{80, 443}, nodePorts, endpointPorts))
	w.settle(w.Client, clients)
	w.settle(w.attach(t, "far", farClient), farClient)
	elsewhere := slices.Concat(clusterIPs, externalIPs)
	w.serve(t, w.attach(t, "elsewhere", elsewhere), elsewhere, slices.Concat([]uint16{80, 443}, nodePorts))
	return w
}

// gateway is the node's address on the link to a pod: the source that the pod sees where it was translated.
func gateway(pod netip.Addr) netip.Addr { return pod.Prev() }

func (w *world) attach(t *testing.T, name string, own []netip.Addr) *netlab.Namespace {
	t.Helper()
	ns, err := w.Attach(t.Context(), netlab.Host{
		Name: name, Addrs: own, Gateways: []netip.Addr{netlab.NodeAddr4, netlab.NodeAddr6},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func (w *world) settle(ns *netlab.Namespace, own []netip.Addr) {
	for _, a := range own {
		w.places[a] = ns
	}
}

func (w *world) serve(t *testing.T, ns *netlab.Namespace, own []netip.Addr, ports []uint16) {
	t.Helper()
	w.settle(ns, own)
	for _, a := range own {
		for _, port := range ports {
			for _, p := range []netlab.Protocol{netlab.TCP, netlab.UDP, netlab.SCTP} {
				if err := ns.Serve(t.Context(), p, netip.AddrPortFrom(a, port)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// pods gives the pods' addresses of a family.
func (w *world) pods(f graph.Family) []netip.Addr {
	var out []netip.Addr
	for _, pod := range w.Pods {
		out = append(out, pod.Addr(f.Unspecified()))
	}
	return out
}

func open(t *testing.T, ns *netlab.Namespace) *nft.Conn {
	t.Helper()
	c, err := nft.Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// apply takes a kernel from whatever it has to a ruleset, and reads it back: nothing may be left to change.
func apply(t *testing.T, c *nft.Conn, rs *graph.Ruleset) error {
	t.Helper()
	before := readState(t, c)
	if err := c.Commit(t.Context(), plan.Diff(before.Ruleset, rs), before.Generation); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	after := readState(t, c)
	if len(after.Unknown) > 0 {
		return fmt.Errorf("read back and not understood: %v", after.Unknown)
	}
	if again := plan.Diff(after.Ruleset, rs); !again.Empty() {
		return fmt.Errorf("after the commit something still differs: %+v", again)
	}
	return nil
}

func readState(t *testing.T, c *nft.Conn) *nft.State {
	t.Helper()
	s, err := c.Read(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sameAsFresh compares what nft lists of the node, after all the changes it went through, with what it lists of a
// namespace that got the ruleset at once.
func (w *world) sameAsFresh(t *testing.T, fresh *netlab.Lab, rs *graph.Ruleset) error {
	t.Helper()
	c := open(t, fresh.Node)
	state := readState(t, c)
	if err := c.Commit(t.Context(), plan.DeleteAll(state.Ruleset), 0); err != nil {
		return fmt.Errorf("emptying the fresh namespace: %w", err)
	}
	if err := apply(t, c, rs); err != nil {
		return err
	}
	walked, want := w.list(t, w.Node), w.list(t, fresh.Node)
	if walked != want {
		return fmt.Errorf("the listing after many changes is\n%s\nand that of a fresh start is\n%s", walked, want)
	}
	return nil
}

var (
	blocks   = regexp.MustCompile(`(?ms)^\t(?:set|map|chain) .*?^\t}\n`)
	counters = regexp.MustCompile(`counter packets \d+ bytes \d+`)
	// A static set that has grown stays as large (plan.Diff): nothing depends on its room.
	sizes    = regexp.MustCompile(`(?m)^(\t\ttype(?:of)? .*\n)\t\tsize \d+\n(\t\t(?:elements|})|\t})`)
	elements = regexp.MustCompile(`elements = \{([^}]*)\}`)
)

// list gives what nft lists, without what packets have left there and without the order in which things were made.
func (w *world) list(t *testing.T, ns *netlab.Namespace) string {
	t.Helper()
	w.nft(t, ns, "flush map ip svcctl affinity\nflush map ip6 svcctl affinity\n")
	listing := counters.ReplaceAllString(w.nft(t, ns, "list ruleset\n"), "counter")
	listing = sizes.ReplaceAllString(listing, "$1$2")
	// nft gives the elements of concatenated intervals as the kernel has them, in the order in which they came.
	listing = elements.ReplaceAllStringFunc(listing, func(s string) string {
		all := strings.Split(elements.FindStringSubmatch(s)[1], ",")
		for i := range all {
			all[i] = strings.TrimSpace(all[i])
		}
		slices.Sort(all)
		return "elements = { " + strings.Join(all, ",\n\t\t\t     ") + " }"
	})
	found := blocks.FindAllString(listing, -1)
	slices.Sort(found)
	return blocks.ReplaceAllString(listing, "") + strings.Join(found, "")
}

func (w *world) nft(t *testing.T, ns *netlab.Namespace, script string) string {
	t.Helper()
	out, err := ns.Run(t.Context(), script, "nft", "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func addrs(text ...string) []netip.Addr {
	out := make([]netip.Addr, len(text))
	for i := range text {
		out[i] = netip.MustParseAddr(text[i])
	}
	return out
}

// of gives the addresses of a family.
func of(f graph.Family, all []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return !f.Of(a) })
}

// indent sets text off in a report.
func indent(text string) string {
	return "    " + strings.ReplaceAll(string(bytes.TrimSpace([]byte(text))), "\n", "\n    ")
}
