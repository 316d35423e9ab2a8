package nft

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
)

// openHostPrivate opens a connection to a new network namespace, as somebody without any privilege in it.
func openHostPrivate(t *testing.T, commands ...string) *Host {
	t.Helper()
	enterPrivateNetns(t)
	for _, c := range append([]string{"ip link set lo up"}, commands...) {
		if out, err := exec.CommandContext(t.Context(), "sh", "-ec", c).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
	}
	if err := dropNetAdmin(); err != nil {
		t.Skipf("dropping capabilities: %v", err)
	}
	h, err := OpenHost("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestListeners(t *testing.T) {
	h := openHostPrivate(t)
	config := net.ListenConfig{}
	config.SetMultipathTCP(false)
	listen := func(network, addr string) {
		l, err := config.Listen(t.Context(), network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	listen("tcp4", "127.0.0.1:11001")
	listen("tcp4", "0.0.0.0:11002")
	listen("tcp6", "[::]:11003")
	listen("tcp", "[::]:11004")
	packets, err := config.ListenPacket(t.Context(), "udp4", "0.0.0.0:11005")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	// A socket with a peer takes from nobody else, and an established connection is no listener.
	peer, err := (&net.Dialer{}).DialContext(t.Context(), "udp4", "127.0.0.1:11005")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp4", "127.0.0.1:11001")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	found, unread := h.Listeners(context.Background())
	want := []Listener{
		{Proto: graph.TCP, Addr: netip.MustParseAddrPort("127.0.0.1:11001")},
		{Proto: graph.TCP, Addr: netip.MustParseAddrPort("0.0.0.0:11002")},
		{Proto: graph.TCP, Addr: netip.MustParseAddrPort("[::]:11003")},
		{Proto: graph.TCP, Addr: netip.MustParseAddrPort("[::]:11004"), Both: true},
		{Proto: graph.UDP, Addr: netip.MustParseAddrPort("0.0.0.0:11005")},
	}
	for i := range found {
		found[i].UID = 0
	}
	slices.SortFunc(found, func(a, b Listener) int { return int(a.Addr.Port()) - int(b.Addr.Port()) })
	if !slices.Equal(found, want) {
		t.Errorf("got %v, want %v", found, want)
	}
	for p, err := range unread {
		if p != graph.SCTP { // its module may not be there
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestRoutesAndLinks(t *testing.T) {
	h := openHostPrivate(t,
		"ip link add br0 type bridge nf_call_iptables 1", "ip link add port0 type veth peer name peer0", "ip link set port0 master br0",
		"ip address add 10.1.0.1/24 dev br0", "ip link set br0 up", "ip link set peer0 up", "ip address add 10.2.0.1/24 dev peer0",
		"ip link set port0 up", "ip -6 address add fd00::1/64 dev peer0 nodad",
		"ip route add default nexthop via 10.1.0.9 dev br0 nexthop via 10.2.0.9 dev peer0",
		"ip route add unreachable 10.3.0.0/16", "ip route add blackhole 10.4.0.0/16", "ip route add prohibit 10.5.0.0/16",
		"ip rule add from 10.9.0.0/16 table 100")
	links, err := h.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	index := map[string]Link{}
	for _, l := range links {
		index[l.Name] = l
	}
	if br := index["br0"]; !br.Bridge || !br.Filter4 || br.Filter6 || !br.Up || br.Loopback {
		t.Errorf("br0: %+v", br)
	}
	if a := index["port0"]; a.Master != index["br0"].Index || a.Bridge {
		t.Errorf("port0: %+v", a)
	}
	if !index["lo"].Loopback {
		t.Errorf("lo: %+v", index["lo"])
	}
	addrs, err := h.Addrs(t.Context())
	if err != nil || addrs[netip.MustParseAddr("10.2.0.1")] != index["peer0"].Index || addrs[netip.MustParseAddr("fd00::1")] != index["peer0"].Index {
		t.Errorf("addresses %v, %v", addrs, err)
	}
	for to, want := range map[string]Route{
		"10.1.0.7": {Reached: true, Link: index["br0"].Index},
		"10.1.0.1": {Reached: true, Local: true, Link: index["lo"].Index},
		"fd00::7":  {Reached: true, Link: index["peer0"].Index},
		"fd00::1":  {Reached: true, Local: true, Link: index["lo"].Index},
	} {
		if got, err := h.RouteTo(t.Context(), netip.MustParseAddr(to)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", to, got, err, want)
		}
	}
	for _, to := range []string{"10.3.0.1", "10.4.0.1", "10.5.0.1", "fd01::1"} {
		if got, err := h.RouteTo(t.Context(), netip.MustParseAddr(to)); err != nil || got.Reached || got.Why == "" {
			t.Errorf("%s: %+v, %v, want no route, and why", to, got, err)
		}
	}
	if got, err := h.RouteTo(t.Context(), netip.MustParseAddr("192.0.2.1")); err != nil || !got.Reached || !got.Gateway {
		t.Errorf("beyond the default route: %+v, %v", got, err)
	}
	ways, err := h.RoutingOf(t.Context(), graph.IPv4)
	if err != nil || len(ways.Defaults) != 2 || ways.Rules != 1 {
		t.Errorf("ways out: %+v, %v", ways, err)
	}
	if ways, err := h.RoutingOf(t.Context(), graph.IPv6); err != nil || len(ways.Defaults) != 0 || ways.Rules != 0 {
		t.Errorf("ways out of IPv6: %+v, %v", ways, err)
	}
}
