package netlab_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

var protocols = []netlab.Protocol{netlab.TCP, netlab.UDP, netlab.SCTP}

// Without any rules everybody reaches every endpoint, and is seen with his own address.
func TestRouting(t *testing.T) {
	lab := netlab.Start(t, netlab.Options{Pods: 2})
	for _, p := range protocols {
		for _, addr := range []netip.Addr{lab.Pods[1].Addr4, lab.Pods[1].Addr6} {
			to := netip.AddrPortFrom(addr, 8080)
			if err := lab.Pods[1].Serve(t.Context(), p, to); err != nil {
				t.Fatal(err)
			}
			for _, from := range []*netlab.Namespace{lab.Client, lab.Pods[0], lab.Pods[1]} {
				t.Run(fmt.Sprintf("%s/%s/%s", p, addr, from.Name), func(t *testing.T) {
					a := from.Ask(t.Context(), netlab.Request{Protocol: p, To: to})
					if a.Outcome != netlab.Answered || a.Endpoint != "pod-2" || a.Local != to ||
						a.Source.Addr() != from.Addr(addr) {
						t.Errorf("asking %s: %s", to, a)
					}
				})
			}
		}
	}
}

// The source address is the one asked for.
func TestSource(t *testing.T) {
	lab := netlab.Start(t, netlab.Options{Pods: 1})
	for _, p := range protocols {
		for _, from := range []netip.Addr{netlab.SecondClientAddr4, netlab.SecondClientAddr6} {
			to := netip.AddrPortFrom(lab.Pods[0].Addr(from), 8080)
			if err := lab.Pods[0].Serve(t.Context(), p, to); err != nil {
				t.Fatal(err)
			}
			a := lab.Client.Ask(t.Context(), netlab.Request{Protocol: p, To: to, From: from})
			if a.Outcome != netlab.Answered || a.Source.Addr() != from {
				t.Errorf("asking %s %s from %s: %s", p, to, from, a)
			}
		}
	}
}

// What is refused, dropped or unreachable is told apart, whoever decides so: rules of the node, or nobody at home.
func TestOutcomes(t *testing.T) {
	lab := netlab.Start(t, netlab.Options{Pods: 1})
	load(t, lab.Node, `
table inet outcomes {
	chain forward { type filter hook forward priority filter; policy accept; goto verdicts; }
	chain output { type filter hook output priority filter; policy accept; goto verdicts; }
	chain verdicts {
		th dport 1001 drop
		th dport 1002 meta l4proto tcp reject with tcp reset
		th dport 1002 reject with icmpx type port-unreachable
		th dport 1003 reject with icmpx type no-route
	}
}`)
	for _, p := range protocols {
		for _, addr := range []netip.Addr{lab.Pods[0].Addr4, lab.Pods[0].Addr6} {
			for _, from := range []*netlab.Namespace{lab.Client, lab.Node} {
				for port, want := range map[uint16]netlab.Outcome{
					1001: netlab.Silent, 1002: netlab.Refused, 1003: netlab.Unreachable,
				} {
					to := netip.AddrPortFrom(addr, port)
					t.Run(fmt.Sprintf("%s/%s/%s", p, to, from.Name), func(t *testing.T) {
						t.Parallel()
						r := netlab.Request{Protocol: p, To: to}
						if want == netlab.Silent {
							r.Patience = 300 * time.Millisecond
						}
						if a := from.Ask(t.Context(), r); a.Outcome != want {
							t.Errorf("asking %s %s: %s, want %s", p, to, a, want)
						}
					})
				}
			}
		}
	}
}

// The path leads another process to the namespace.
func TestPath(t *testing.T) {
	lab := netlab.Start(t, netlab.Options{})
	var inside string
	err := lab.Node.Do(func() (err error) {
		inside, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(lab.Node.Path()); err != nil || got != inside {
		t.Errorf("%s leads to %s (%v), want %s", filepath.Base(lab.Node.Path()), got, err, inside)
	}
	if outside, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || outside == inside {
		t.Errorf("the test itself is in the node's namespace %s (%v)", outside, err)
	}
	out, err := lab.Client.Run(t.Context(), "", "readlink", lab.Node.Path())
	if err != nil || strings.TrimSpace(out) != inside {
		t.Errorf("a child process sees %q (%v), want %s", out, err, inside)
	}
}

func load(t *testing.T, ns *netlab.Namespace, ruleset string) {
	t.Helper()
	if _, err := ns.Run(t.Context(), ruleset, "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}
