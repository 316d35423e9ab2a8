package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
	"github.com/svcctl/svcctl/nft"
)

// The budgets of the first packet of a connection: through many Services against one, and against the same Services
// written as one chain and one anonymous map each.
const (
	manyToOne       = 1.25
	programToChains = 1.05
)

const (
	packetEndpoints = 10
	// defaultSeries is how many connections are begun at a time. Connection tracking is emptied before each series, and
	// holds all of it.
	defaultSeries = 1 << 15
)

type packetOptions struct {
	services int // the largest number
	rounds   int
	series   int // connections begun at a time
}

// layout is a way of writing Services as rules. One with a chain for each Service takes minutes to load beyond some
// thousands: that is done once, for IPv4.
type layout struct {
	name string
	load func(context.Context, *netlab.Namespace, workload.Workload) error
	most func(workload.Stack) int
}

const fewServices = 1000

var layouts = []layout{
	{"svcctl", loadProgram, func(workload.Stack) int { return math.MaxInt }},
	{"a chain and a map each, in kube-proxy's frame", loadChains, func(s workload.Stack) int {
		if s == workload.IPv6 {
			return fewServices
		}
		return math.MaxInt
	}},
	{"a chain and a map each, in svcctl's frame", loadChainsInFrame, func(workload.Stack) int { return fewServices }},
}

// path is a node with Services between a sender and a sink.
type path struct {
	*crossing
	layout   string // its name, or what else it is
	services int
	shots    *shots
	times    samples // of a series
}

// perPacket gives the time of one first packet.
func (p *path) perPacket() time.Duration {
	return p.times.median() / time.Duration(len(p.shots.messages))
}

// firstPackets measures what the first packet of a connection costs.
func (b *bench) firstPackets(ctx context.Context) error {
	for _, stack := range []workload.Stack{workload.IPv4, workload.IPv6} {
		if err := b.firstPacketsOf(ctx, stack); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "%s new connections in a series, each of one UDP packet from another address, from one processor, "+
		"through the node's prerouting, forward and postrouting hooks, to one of %d endpoints of a Service drawn at random; "+
		"%d series in turn. Every packet was seen to arrive translated, and connection tracking to hold every connection.\n\n",
		thousands(b.packets.series), packetEndpoints, b.packets.rounds)
	return nil
}

func (b *bench) firstPacketsOf(ctx context.Context, stack workload.Stack) error {
	counts := slices.Compact([]int{1, min(fewServices, b.packets.services), b.packets.services})
	var paths []*path
	defer func() {
		for _, p := range paths {
			p.close()
		}
	}()
	for _, l := range layouts {
		for _, n := range counts {
			if n > l.most(stack) {
				continue
			}
			note("packets: %s, %d Services, %s", stack, n, l.name)
			p, err := b.newPath(ctx, stack, l, n)
			if err != nil {
				return fmt.Errorf("%s, %d Services: %w", l.name, n, err)
			}
			paths = append(paths, p)
		}
	}
	last := paths[len(counts)-1]
	straight := &path{
		crossing: last.crossing, layout: "svcctl's, but straight to the endpoints", services: last.services,
		shots: b.aim(stack, last.workload(), true),
	}
	all := append([]*path{straight}, paths...)
	if err := sendSeries(ctx, all, b.packets.rounds); err != nil {
		return err
	}
	b.firstPacketTable(stack, straight, paths)
	return nil
}

// sendSeries sends one series after the other through all paths in turn.
func sendSeries(ctx context.Context, paths []*path, rounds int) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for round := range rounds + 1 {
		for i := range paths {
			p := paths[(i+round)%len(paths)]
			if err := ctx.Err(); err != nil {
				return err
			}
			took, err := p.series(ctx, p.shots)
			if err != nil && round == 0 { // neighbours have to be found first, and not many packets wait for that
				took, err = p.series(ctx, p.shots)
			}
			if err != nil {
				return fmt.Errorf("%s, %d Services: %w", p.layout, p.services, err)
			}
			if round > 0 {
				p.times.add(took)
			}
		}
	}
	return nil
}

func (b *bench) newPath(ctx context.Context, stack workload.Stack, l layout, services int) (*path, error) {
	x, err := newCrossing(ctx, stack)
	if err != nil {
		return nil, err
	}
	p := &path{crossing: x, layout: l.name, services: services}
	p.shots = b.aim(stack, p.workload(), false)
	if err := l.load(ctx, x.Node, p.workload()); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *path) workload() workload.Workload {
	return workload.Workload{Services: p.services, Endpoints: packetEndpoints, Stack: p.stack, UDP: true}
}

// aim makes a series of packets to Services at random, or straight to endpoints of theirs.
func (b *bench) aim(stack workload.Stack, w workload.Workload, straight bool) *shots {
	r := rand.New(rand.NewPCG(1, uint64(w.Services)))
	s := newShots(stack, b.packets.series)
	for k := range b.packets.series {
		i := r.IntN(w.Services)
		if straight {
			s.add(k, w.Endpoint(stack, i, r.IntN(w.Endpoints)), endpointPort)
		} else {
			s.add(k, workload.ClusterIP(stack, i), servicePort)
		}
	}
	return s
}

// loadProgram loads what svcctl makes of the workload.
func loadProgram(ctx context.Context, ns *netlab.Namespace, w workload.Workload) error {
	rs, err := compileWorkload(w)
	if err != nil {
		return err
	}
	return withConn(ns, func(c *nft.Conn) error { return commitAll(ctx, c, rs) })
}

func (b *bench) firstPacketTable(stack workload.Stack, straight *path, paths []*path) {
	find := func(l, services int) *path {
		for _, p := range paths {
			if p.layout == layouts[l].name && p.services == services {
				return p
			}
		}
		return nil
	}
	family := [...]string{"IPv4", "IPv6"}[stack]
	t := table{head: []string{
		"rules (" + family + ")", "Services in use", "first packet", "connections per second", "to one Service", "≤ 1.25",
		"to kube-proxy's layout", "≤ 1.05", "to that layout in svcctl's frame",
	}}
	for _, p := range append([]*path{straight}, paths...) {
		per := p.perPacket()
		cells := []string{
			p.layout, thousands(p.services), strconv.FormatInt(per.Nanoseconds(), 10) + " ns",
			thousands(int(time.Second/per)/1000) + ",000", "–", "–", "–", "–", "–",
		}
		if p.layout == layouts[0].name {
			judged := p.services == b.packets.services // the budgets are for the largest number
			if one := find(0, 1); p != one {
				ratio := p.times.ratio(&one.times)
				cells[4] = ratioText(ratio)
				if judged {
					cells[5] = b.atMost(ratio, manyToOne)
				}
			}
			if other := find(1, p.services); other != nil {
				ratio := p.times.ratio(&other.times)
				cells[6] = ratioText(ratio)
				if judged {
					cells[7] = b.atMost(ratio, programToChains)
				}
			}
			if other := find(2, p.services); other != nil {
				cells[8] = ratioText(p.times.ratio(&other.times))
			}
		}
		t.add(cells...)
	}
	t.print(b.out)
}
