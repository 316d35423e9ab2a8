package main

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var flowProtocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// scriptFlow is the command "flow PROTOCOL FROM TO ENDPOINT": it has the kernel track a flow that was sent to an address
// and translated to another, or not where the two are the same.
func scriptFlow(ts *testscript.TestScript, neg bool, args []string) {
	proto, ok := flowProtocols[args[0]]
	if neg || len(args) != 4 || !ok {
		ts.Fatalf("usage: flow PROTOCOL FROM TO ENDPOINT")
	}
	var at [3]netip.AddrPort
	for i := range at {
		var err error
		at[i], err = netip.ParseAddrPort(args[i+1])
		ts.Check(err)
	}
	from, to, endpoint := at[0], at[1], at[2]
	family := uint8(unix.AF_INET)
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	f := &netlink.ConntrackFlow{FamilyType: family, TimeOut: 600}
	f.Forward = netlink.IPTuple{
		Protocol: proto, SrcIP: from.Addr().AsSlice(), SrcPort: from.Port(), DstIP: to.Addr().AsSlice(), DstPort: to.Port(),
	}
	f.Reverse = netlink.IPTuple{
		Protocol: proto, SrcIP: endpoint.Addr().AsSlice(), SrcPort: endpoint.Port(), DstIP: from.Addr().AsSlice(), DstPort: from.Port(),
	}
	if proto == unix.IPPROTO_TCP {
		f.ProtoInfo = &netlink.ProtoInfoTCP{State: 3}
	}
	ts.Check(netlink.ConntrackCreate(netlink.ConntrackTable, netlink.InetFamily(family), f))
}

// scriptFlows is the command "flows PORT…": the kernel must track the flows from these source ports and no others.
func scriptFlows(ts *testscript.TestScript, neg bool, want []string) {
	var got []string
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		ts.Check(err)
		for _, f := range flows {
			got = append(got, strconv.Itoa(int(f.Forward.SrcPort)))
		}
	}
	slices.Sort(got)
	if neg || !slices.Equal(got, want) {
		ts.Fatalf("flows from the ports %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
}
