package nft

import (
	"fmt"
	"net"
	"net/netip"
)

// LocalAddrs gives the addresses of all interfaces of a network namespace, as in [Open]: those that rules take for the
// node's own.
func LocalAddrs(netns string) ([]netip.Addr, error) {
	var out []netip.Addr
	list := func() error {
		found, err := net.InterfaceAddrs()
		if err != nil {
			return fmt.Errorf("listing the addresses of the interfaces: %w", err)
		}
		for _, a := range found {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p.Addr())
			}
		}
		return nil
	}
	var err error
	if netns == "" {
		err = list()
	} else {
		err = inNetns(netnsPath(netns), list)
	}
	return out, err
}
