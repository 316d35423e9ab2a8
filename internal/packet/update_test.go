package packet

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
)

// load is requests that go on and on until they are stopped, in several streams.
type load struct {
	protocol netlab.Protocol
	stopped  <-chan struct{}
	stop     context.CancelFunc
	wait     sync.WaitGroup

	mu       sync.Mutex
	answered int
	lost     []string
}

func newLoad(t *testing.T, p netlab.Protocol) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{protocol: p, stopped: ctx.Done(), stop: stop}
	t.Cleanup(func() {
		stop()
		l.wait.Wait()
	})
	return l
}

func (l *load) over() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// add has one request after the other made of every address. What is under way when the load stops is waited for.
func (l *load) add(t *testing.T, from *netlab.Namespace, to ...netip.AddrPort) {
	t.Helper()
	for _, addr := range to {
		l.wait.Go(func() {
			for !l.over() {
				a := from.Ask(t.Context(), netlab.Request{Protocol: l.protocol, To: addr})
				l.count(1, btoi(a.Outcome == netlab.Answered), "%s %s: %s", l.protocol, addr, a)
			}
		})
	}
}

// addBursts has as many requests as possible made of every address in turn, over SCTP: what a race of some microseconds
// takes to be seen.
func (l *load) addBursts(t *testing.T, from *netlab.Namespace, to ...netip.AddrPort) {
	t.Helper()
	const burst = 64
	l.wait.Go(func() {
		for i := 0; !l.over(); i++ {
			addr := to[i%len(to)]
			answered, err := from.Burst(t.Context(), burst, addr)
			l.count(burst, answered, "%d of a burst to %s: %v", burst-answered, addr, err)
		}
	})
}

func (l *load) count(asked, answered int, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered += answered
	if answered < asked {
		l.lost = append(l.lost, fmt.Sprintf(format, args...))
	}
}

// goesOn waits until more requests have been answered than now.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	soFar := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.answered
	}
	before := soFar()
	until(t, netlab.DefaultPatience, "requests go on", func() bool { return soFar() > before })
}

// finish stops the load and fails the test where a request was lost.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stop()
	l.wait.Wait()
	for _, lost := range l.lost {
		t.Errorf("lost: %s", lost)
	}
	t.Logf("%d %s requests answered", l.answered, l.protocol)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Nothing is lost while endpoints come and go, whether the number of slots stays (3, 2, 3) or changes (5, 2), as long as
// one endpoint is there throughout: an endpoint that left still answers those who chose it before.
func TestUpdateUnderLoad(t *testing.T) {
	t.Parallel()
	// As many rounds as fit into the time, so that a busy machine makes the test weaker and not longer.
	rounds, patience := 200, 8*time.Second
	if testing.Short() {
		rounds, patience = 10, time.Second
	}
	n := start(t, 5)
	s := service{name: "web", number: 1, nodePort: 30001}
	scale := func(k int) { n.apply(t, s.String(), endpoints("web", n.Pods[:k]...)) }
	scale(3)
	var loads []*load
	everywhere := []netip.AddrPort{
		s.at(ipv4), s.at(ipv6), netip.AddrPortFrom(n.Node.Addr4, s.nodePort), netip.AddrPortFrom(n.Node.Addr6, s.nodePort),
	}
	for _, p := range []netlab.Protocol{netlab.TCP, netlab.UDP} {
		l := newLoad(t, p)
		l.add(t, n.Client, everywhere...)
		loads = append(loads, l)
	}
	bursts := newLoad(t, netlab.SCTP)
	bursts.addBursts(t, n.Client, everywhere...)
	loads = append(loads, bursts)
	enough, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	updates := 0
	for updates < 5*rounds && enough.Err() == nil {
		for _, k := range []int{2, 3, 5, 2, 3} {
			scale(k)
			updates++
		}
		for _, l := range loads { // or the updates would prove nothing
			l.goesOn(t)
		}
	}
	t.Logf("%d updates", updates)
	for _, l := range loads {
		l.finish(t)
	}
	for _, p := range protocols {
		scale(2)
		for _, f := range families {
			// Not from the client: its bursts may have used up all source ports, and a port that conntrack still knows keeps
			// its endpoint.
			if counts := count(t, 40, n.Pods[4], p, s.at(f)); len(counts) != 2 || counts["pod-1"]+counts["pod-2"] != 40 {
				t.Errorf("%s %s: after the last update %v, want pod-1 and pod-2", p, f, counts)
			}
		}
	}
}

// Clients with affinity are learnt while endpoints go: in the end nobody is left with one that is gone.
func TestAffinityUnderLoad(t *testing.T) {
	t.Parallel()
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	n := start(t, 3)
	apply := func(pods ...*netlab.Namespace) func(family) []netip.AddrPort {
		manifests, at := manyPorts(16, 3*time.Hour, pods...)
		n.apply(t, manifests)
		return at
	}
	at := apply(n.Pods...)
	l := newLoad(t, netlab.TCP)
	l.add(t, n.Client, append(at(ipv4)[:4], at(ipv6)[:4]...)...)
	for i := range rounds {
		gone := i % len(n.Pods)
		var rest []*netlab.Namespace
		for k, pod := range n.Pods {
			if k != gone {
				rest = append(rest, pod)
			}
		}
		apply(rest...)
		for _, f := range families {
			for _, to := range at(f)[:4] {
				if a := mustAsk(t, n.Client, netlab.TCP, to); a.Endpoint == n.Pods[gone].Name {
					t.Fatalf("round %d: %s still leads to %s", i, to, a.Endpoint)
				}
			}
		}
		apply(n.Pods...)
		l.goesOn(t)
	}
	l.finish(t)
}

// A connection stays with its endpoint after that has left the Service.
func TestEstablishedConnection(t *testing.T) {
	t.Parallel()
	n := start(t, 2)
	s := service{name: "web", number: 1}
	for _, f := range families {
		n.apply(t, s.String(), endpoints("web", n.Pods[0]))
		conn, err := n.Client.DialContext(t.Context(), "tcp", s.at(f).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		n.apply(t, s.String(), endpoints("web", n.Pods[1]))
		expect(t, n.Client, netlab.TCP, s.at(f), answered("pod-2", netip.Addr{}))
		// The endpoint greets, and echoes after that.
		if _, err := io.WriteString(conn, "still there\n"); err != nil {
			t.Fatal(err)
		}
		stop := context.AfterFunc(t.Context(), func() { conn.Close() })
		defer stop()
		timer := time.AfterFunc(netlab.DefaultPatience, func() { conn.Close() })
		defer timer.Stop()
		buf := make([]byte, 0, 256)
		for strings.Count(string(buf), "\n") < 2 {
			k, err := conn.Read(buf[len(buf):cap(buf)])
			if err != nil {
				t.Fatalf("over %s: after %q: %v", f, buf, err)
			}
			buf = buf[:len(buf)+k]
		}
		if got := string(buf); !strings.HasPrefix(got, "pod-1 ") || !strings.HasSuffix(got, "\nstill there\n") {
			t.Errorf("over %s: %q", f, got)
		}
	}
}

// Whatever was there before is there afterwards, to the last handle, and nothing else is.
func TestDeleteLeavesNoTrace(t *testing.T) {
	t.Parallel()
	n := start(t, 3)
	const foreign = `
table inet firewall {
	set allowed { type ipv4_addr; flags interval; elements = { 192.168.0.0/24, 10.0.0.0/8 } }
	map marks { type inet_service : mark; elements = { 80 : 1, 443 : 2 } }
	chain forward { type filter hook forward priority 10; policy accept; ip saddr @allowed accept; }
}
table ip svcctl-of-somebody-else {
	chain prerouting { type nat hook prerouting priority -99; policy accept; tcp dport 9999 redirect to :8080; }
}
`
	if _, err := n.Node.Run(t.Context(), foreign, "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	before := n.list(t)
	s := service{name: "web", number: 1, nodePort: 30001, spec: []string{"sessionAffinity: ClientIP"}}
	n.apply(t, s.String(), endpoints("web", n.Pods...))
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			expect(t, n.Client, tr.protocol, s.at(tr.family), answered("", netip.Addr{}))
		})
	}
	if during := n.list(t); during == before || !strings.Contains(during, "table ip svcctl ") {
		t.Fatalf("applied, and nft shows\n%s", during)
	}
	n.deleteAll(t)
	if after := n.list(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	for _, tr := range transports {
		t.Run(tr.String(), func(t *testing.T) {
			expect(t, n.Client, tr.protocol, s.at(tr.family), dropped)
		})
	}
}
