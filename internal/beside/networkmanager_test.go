package beside

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// NetworkManager makes and takes addresses and links as it likes: node ports follow. A network that it shares reaches
// services, and is reached by none: its rules refuse what comes from outside.
func TestNetworkManager(t *testing.T) {
	t.Parallel()
	h := newHost(t, "network-manager")
	h.write("/root/guest.yaml", strings.NewReplacer("box", "guest", "172.17.0.2", "10.42.0.7").Replace(boxManifest))
	h.boot()
	guest, err := h.lab.Attach(t.Context(), netlab.Host{
		Name: "guest", Addrs: []netip.Addr{netip.MustParseAddr("10.42.0.7")}, Gateways: []netip.Addr{netip.MustParseAddr("10.42.0.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.serve(guest, direct(guest))
	h.apply()
	h.run("systemctl", "start", "NetworkManager.service")
	h.works("started")
	conn := h.connect(web4)
	h.run("svcctl", "apply", "-f", "/root/services.yaml", "-f", "/root/guest.yaml")
	guested := netip.MustParseAddrPort("10.96.0.3:80")
	h.leads("not shared", h.lab.Client, map[netip.AddrPort]string{guested: "guest"})

	h.run("nmcli", "connection", "add", "type", "ethernet", "ifname", "guest", "con-name", "shared",
		"ipv4.method", "shared", "ipv4.addresses", "10.42.0.1/24", "ipv6.method", "disabled")
	h.run("nmcli", "connection", "up", "shared")
	h.works("shared")
	h.verifies("shared")
	h.leads("shared", guest, map[netip.AddrPort]string{web4: "pod-1", nodePort4: "pod-1", local4: "node", guested: "guest"})
	h.leads("shared", h.lab.Client, map[netip.AddrPort]string{guested: "refused", direct(guest): "refused"})
	h.leads("shared", h.lab.Node, map[netip.AddrPort]string{guested: "guest"})
	h.deletes()
	h.run("svcctl", "apply", "-f", "/root/services.yaml", "-f", "/root/guest.yaml")
	h.run("nmcli", "connection", "modify", "shared", "ipv4.method", "manual")
	h.run("nmcli", "connection", "up", "shared")
	h.leads("manual", h.lab.Client, map[netip.AddrPort]string{guested: "guest"})

	// An address comes and goes, and a link with it.
	h.run("nmcli", "connection", "add", "type", "bridge", "ifname", "bridge7", "con-name", "bridge7",
		"bridge.stp", "no", "ipv4.method", "manual", "ipv4.addresses", "192.168.7.1/24", "ipv6.method", "disabled")
	late := netip.MustParseAddrPort("192.168.7.1:30080")
	for range 2 {
		h.run("nmcli", "connection", "up", "bridge7")
		h.until("the new address is a node port's", func() bool {
			return h.asks(h.lab.Client, netip.Addr{}, late, "pod-1") == "pod-1"
		})
		h.run("nmcli", "connection", "down", "bridge7")
		h.until("the address is gone", func() bool {
			return h.asks(h.lab.Client, netip.Addr{}, late, "silent") != "pod-1"
		})
		h.works("a link comes and goes")
	}
	h.run("systemctl", "restart", "NetworkManager.service")
	h.works("restarted")
	h.verifies("restarted")
	conn.goesOn(t, "restarted")
}
