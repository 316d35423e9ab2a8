// Package netlab builds small networks out of network namespaces, in one process and without the ip command: a node that
// routes, a client outside of it, and endpoints that are connected to the node, each in a namespace of its own. Packet
// tests and the demonstration send real packets through it.
//
// It is no phase of the compiler and knows nothing of Services. It takes nothing but [Options], and gives a [Lab] of
// [Namespace] values whose listeners and requests live where they were made. It may assume Linux; whatever else is
// missing (privilege, IPv6, raw sockets) is an error that names it.
//
// The namespace that the process was started in is never touched: [Main] runs everything in a fresh one, as root or, with
// user namespaces, as an ordinary user. All of it is gone when the process ends.
package netlab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"
)

// RequireEnv is the environment variable that, set to 1, makes a test that cannot have a lab fail instead of skip.
const RequireEnv = "SVCCTL_REQUIRE_NETNS"

// Options say what to build.
type Options struct {
	// Pods is how many endpoints to attach. Pod K, counted from 1, is named "pod-K" and has the addresses 10.1.K.2 and
	// fd00:10:1:K::2; the node's own addresses toward it are 10.1.K.1 and fd00:10:1:K::1.
	Pods int
}

// The addresses that every lab has.
var (
	NodeAddr4   = netip.MustParseAddr("192.168.0.1")
	NodeAddr6   = netip.MustParseAddr("fd00:c0::1")
	ClientAddr4 = netip.MustParseAddr("192.168.0.2")
	ClientAddr6 = netip.MustParseAddr("fd00:c0::2")
	// SecondClientAddr4 and SecondClientAddr6 are the client's too: for rules that tell sources apart.
	SecondClientAddr4 = netip.MustParseAddr("192.168.0.3")
	SecondClientAddr6 = netip.MustParseAddr("fd00:c0::3")
)

// Lab is a network: the node in the middle, everything else attached to it.
type Lab struct {
	Node   *Namespace
	Client *Namespace // outside; the node's default route leads here
	Pods   []*Namespace

	namespaces []*Namespace
}

// New builds a lab. The caller closes it.
func New(ctx context.Context, opts Options) (lab *Lab, err error) {
	if errUnavailable != nil {
		return nil, errUnavailable
	}
	lab = &Lab{}
	defer func() {
		if err != nil {
			lab.Close()
		}
	}()
	if lab.Node, err = lab.add("node"); err != nil {
		return nil, err
	}
	lab.Node.Addr4, lab.Node.Addr6 = NodeAddr4, NodeAddr6
	if err := lab.Node.sysctl(routerSysctls); err != nil {
		return nil, err
	}
	lab.Client, err = lab.Attach(ctx, Host{
		Name:     "client",
		Addrs:    []netip.Addr{ClientAddr4, SecondClientAddr4, ClientAddr6, SecondClientAddr6},
		Gateways: []netip.Addr{NodeAddr4, NodeAddr6},
	})
	if err != nil {
		return nil, err
	}
	// A packet for a service address has to find some route before netfilter sees it, the node's own packets included.
	if err := lab.Node.defaultRoutes("client", ClientAddr4, ClientAddr6); err != nil {
		return nil, err
	}
	for k := 1; k <= opts.Pods; k++ {
		pod, err := lab.Attach(ctx, podHost(k))
		if err != nil {
			return nil, err
		}
		lab.Pods = append(lab.Pods, pod)
	}
	return lab, nil
}

func podHost(k int) Host {
	return Host{
		Name: fmt.Sprintf("pod-%d", k),
		Addrs: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 1, byte(k), 2}),
			netip.MustParseAddr(fmt.Sprintf("fd00:10:1:%x::2", k)),
		},
		Gateways: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 1, byte(k), 1}),
			netip.MustParseAddr(fmt.Sprintf("fd00:10:1:%x::1", k)),
		},
	}
}

// Start builds a lab for a test and closes it when the test is over. Where no lab can be had the test is skipped with the
// reason, or fails where [RequireEnv] says so.
func Start(tb testing.TB, opts Options) *Lab {
	tb.Helper()
	if errUnavailable != nil {
		if os.Getenv(RequireEnv) == "1" {
			tb.Fatalf("%s=1 and no network namespaces: %v", RequireEnv, errUnavailable)
		}
		tb.Skipf("no network namespaces: %v", errUnavailable)
	}
	lab, err := New(tb.Context(), opts)
	if err != nil {
		tb.Fatalf("building the lab: %v", err)
	}
	tb.Cleanup(lab.Close)
	return lab
}

// Close ends all listeners and lets the namespaces go.
func (l *Lab) Close() {
	for _, ns := range l.namespaces {
		ns.close()
	}
	l.namespaces = nil
}

func (l *Lab) add(name string) (*Namespace, error) {
	ns, err := newNamespace(name)
	if err != nil {
		return nil, err
	}
	l.namespaces = append(l.namespaces, ns)
	return ns, ns.prepare()
}

// errPollTimeout says that what was waited for did not come.
var errPollTimeout = errors.New("it did not happen in time")

// Until waits for a condition, asking again every few milliseconds, and gives an error where it is not met in time.
func Until(ctx context.Context, patience time.Duration, met func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPollTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}
