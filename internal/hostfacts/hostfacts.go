// Package hostfacts finds out about a host what package preflight judges: settings of the kernel, interfaces, routes,
// sockets and other programs' rules, in one network namespace.
//
// It takes the question, as [preflight.Ask], and gives [preflight.Facts]. It changes nothing. What is said over netlink it
// has from package nft, and the rest it reads below /proc/sys/net. It may assume Linux, and no privilege: what cannot be
// found out is said in the facts.
package hostfacts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/foreign"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/preflight"
	"github.com/svcctl/svcctl/nft"
)

// Options say where to look, and how closely.
type Options struct {
	Netns string // as for nft.Open
	Table string // the name of svcctl's own tables
	// Quick leaves out what costs more than a few milliseconds on some hosts: it is what apply can afford.
	Quick bool
}

// quickChains is how many chains other programs may have for their rules to be read by a quick look.
const quickChains = 500

// Gather finds out about the host, but for the features of its kernel. Only where the network namespace cannot be entered is there an error.
func Gather(ctx context.Context, o Options, ask *preflight.Ask) (*preflight.Facts, error) {
	f := &preflight.Facts{}
	h, err := nft.OpenHost(o.Netns)
	if err != nil {
		return nil, err
	}
	defer func() { _ = h.Close() }() // nothing depends on how it ends
	if err := nft.InNamespace(o.Netns, func() error {
		settingFacts(f, o.Quick)
		return nil
	}); err != nil {
		return nil, err
	}
	hostFacts(ctx, h, f, ask)
	f.Others = preflight.Know(others(ctx, o))
	return f, ctx.Err()
}

// Program asks the kernel whether it would take a ruleset, but for the elements.
func Program(ctx context.Context, netns string, rs *graph.Ruleset) preflight.Reading[string] {
	switch answer, why := nft.ProbeRuleset(ctx, netns, rs); answer {
	case nft.Yes:
		return preflight.Know("", nil)
	case nft.No:
		return preflight.Know(why, nil)
	default:
		return preflight.Know("", errors.New(why))
	}
}

// Features tries what svcctl needs of the kernel, as [nft.Features] does.
func Features(ctx context.Context, netns string) []preflight.Feature {
	answers := [...]preflight.Answer{nft.CannotTell: preflight.CannotTell, nft.Yes: preflight.Yes, nft.No: preflight.No}
	var out []preflight.Feature
	for _, p := range nft.Features(ctx, netns) {
		out = append(out, preflight.Feature{
			Name: string(p.Feature), Family: p.Family, Answer: answers[p.Answer], Why: p.Why,
		})
	}
	return out
}

// others reads other programs' rules.
func others(ctx context.Context, o Options) (*foreign.Ruleset, error) {
	conn, err := nft.Open(o.Netns)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	most := 0
	if o.Quick {
		most = quickChains
	}
	return conn.Foreign(ctx, o.Table, most)
}

// hostFacts asks for routes, interfaces and sockets.
func hostFacts(ctx context.Context, h *nft.Host, f *preflight.Facts, ask *preflight.Ask) {
	links, err := h.Links(ctx)
	name := map[int]string{}
	for _, l := range links {
		name[l.Index] = l.Name
	}
	f.Links = preflight.Know(linkFacts(links), err)
	addrs, err := h.Addrs(ctx)
	named := make(map[netip.Addr]string, len(addrs))
	for a, link := range addrs {
		named[a] = name[link]
	}
	f.Addrs = preflight.Know(named, err)
	for _, family := range graph.Families {
		r, err := h.RoutingOf(ctx, family)
		ways := preflight.Routing{Rules: r.Rules}
		for _, link := range r.Defaults {
			ways.Defaults = append(ways.Defaults, name[link])
		}
		slices.Sort(ways.Defaults)
		f.Routing[family] = preflight.Know(ways, err)
	}
	f.Routes = map[netip.Addr]preflight.Reading[preflight.Route]{}
	for _, to := range ask.Destinations() {
		r, err := h.RouteTo(ctx, to)
		f.Routes[to] = preflight.Know(preflight.Route{
			Reached: r.Reached, Why: r.Why, Local: r.Local, Link: name[r.Link], Gateway: r.Gateway,
		}, err)
	}
	found, unread := h.Listeners(ctx)
	listeners := make([]preflight.Listener, 0, len(found))
	for _, l := range found {
		listeners = append(listeners, preflight.Listener{Proto: l.Proto, Addr: l.Addr, Both: l.Both})
	}
	f.Listeners = preflight.Know(listeners, nil)
	f.Unlistened = map[graph.Proto]string{}
	for p, err := range unread {
		f.Unlistened[p] = err.Error()
	}
}

func linkFacts(links []nft.Link) []preflight.Link {
	out := make([]preflight.Link, 0, len(links))
	for _, l := range links {
		out = append(out, preflight.Link{
			Name: l.Name, Up: l.Up, Loopback: l.Loopback, Part: l.Master != 0, Bridge: l.Bridge,
			Rules: [2]bool{graph.IPv4: l.Filter4, graph.IPv6: l.Filter6},
		})
	}
	return out
}

// settings is where the kernel shows those of the network namespace of the thread that opens the file.
const settings = "/proc/sys/net"

// settingFacts reads settings. It runs on a thread that is in the network namespace.
func settingFacts(f *preflight.Facts, quick bool) {
	f.Forwarding[graph.IPv4] = preflight.Know(forwarding4())
	f.Forwarding[graph.IPv6] = preflight.Know(forwarding6())
	f.ReversePath = preflight.Know(strictLinks())
	for family, name := range [...]string{graph.IPv4: "iptables", graph.IPv6: "ip6tables"} {
		f.BridgeRules[family] = preflight.Know(bridgeRules(name))
	}
	f.Conntrack = preflight.Know(conntrackUse())
	f.LocalPorts = preflight.Know(localPorts())
	f.Reserved = preflight.Know(reservedPorts())
	if !quick {
		f.Legacy = preflight.Know(legacyTables())
	}
}

func readSetting(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(settings, name))
	return strings.TrimSpace(string(b)), err
}

func readNumber(name string) (int, error) {
	text, err := readSetting(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(settings, name), err)
	}
	return n, nil
}

// eachLink reads a setting of every interface but the loopback, in order of their names.
func eachLink(family, setting string, fn func(link string, value int)) error {
	dir := filepath.Join(settings, family, "conf")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "all", "default", "lo":
			continue
		}
		n, err := readNumber(filepath.Join(family, "conf", e.Name(), setting))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the interface is gone, or the kernel has no such setting
		}
		if err != nil {
			return err
		}
		fn(e.Name(), n)
	}
	return nil
}

// forwarding4 follows the kernel, which asks the interface by which a packet comes (net/ipv4/route.c).
func forwarding4() (f preflight.Forwarding, err error) {
	all, err := readNumber("ipv4/ip_forward")
	if err != nil {
		return f, err
	}
	f.All = all != 0
	err = eachLink("ipv4", "forwarding", func(link string, n int) {
		switch {
		case n == 0 && f.All:
			f.Off = append(f.Off, link)
		case n != 0 && !f.All:
			f.On = append(f.On, link)
		}
	})
	return f, err
}

// forwarding6 follows the kernel, which asks the setting for all, and since Linux 6.17 that of the interface by which a packet
// comes for an exception (net/ipv6/ip6_output.c, ip6_forward).
func forwarding6() (f preflight.Forwarding, err error) {
	all, err := readNumber("ipv6/conf/all/forwarding")
	if err != nil {
		return f, err
	}
	f.All = all != 0
	if f.All {
		return f, nil
	}
	err = eachLink("ipv6", "force_forwarding", func(link string, n int) {
		if n != 0 {
			f.On = append(f.On, link)
		}
	})
	return f, err
}

// strictLinks gives the interfaces with the strict check of sources. The larger of their setting and that of all counts.
func strictLinks() ([]string, error) {
	all, err := readNumber("ipv4/conf/all/rp_filter")
	if err != nil {
		return nil, err
	}
	var out []string
	err = eachLink("ipv4", "rp_filter", func(link string, n int) {
		if max(n, all) == 1 {
			out = append(out, link)
		}
	})
	return out, err
}

func bridgeRules(name string) (bool, error) {
	n, err := readNumber("bridge/bridge-nf-call-" + name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, there := os.Stat(filepath.Join(settings, "ipv4")); there == nil {
			return false, nil // the module that has it is not loaded
		}
	}
	return n != 0, err
}

func conntrackUse() (u preflight.Conntrack, err error) {
	if u.Max, err = readNumber("netfilter/nf_conntrack_max"); err != nil {
		return u, err
	}
	u.Count, err = readNumber("netfilter/nf_conntrack_count")
	return u, err
}

func localPorts() (r resolve.PortRange, err error) {
	text, err := readSetting("ipv4/ip_local_port_range")
	if err != nil {
		return r, err
	}
	if _, err := fmt.Sscan(text, &r.First, &r.Last); err != nil {
		return r, fmt.Errorf("%s/ipv4/ip_local_port_range: %w", settings, err)
	}
	return r, nil
}

// reservedPorts reads a list like "8080,30000-32767".
func reservedPorts() ([]resolve.PortRange, error) {
	text, err := readSetting("ipv4/ip_local_reserved_ports")
	if err != nil || text == "" {
		return nil, err
	}
	var out []resolve.PortRange
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if err := errors.Join(errA, errB); err != nil {
			return nil, fmt.Errorf("%s/ipv4/ip_local_reserved_ports: %w", settings, err)
		}
		out = append(out, resolve.PortRange{First: uint16(a), Last: uint16(b)})
	}
	return out, nil
}

// legacyTables gives the tables of the older iptables, "ip nat". They are there as soon as somebody has looked at them, rules
// or none.
func legacyTables() ([]string, error) {
	var out []string
	for _, f := range [...]struct{ file, family string }{{"ip_tables_names", "ip"}, {"ip6_tables_names", "ip6"}} {
		b, err := os.ReadFile("/proc/thread-self/net/" + f.file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // the module is not loaded
		case err != nil:
			return nil, err
		}
		for name := range strings.FieldsSeq(string(b)) {
			out = append(out, f.family+" "+name)
		}
	}
	slices.Sort(out)
	return out, nil
}
