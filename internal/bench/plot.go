package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
	"github.com/svcctl/svcctl/nft"
)

// plotEndpoints is how many endpoints each Service of the picture has.
const plotEndpoints = 10

// plotNFT is the largest number of Services that nft -f is asked to load: at ten times as many it takes a minute and more
// than ten gigabytes.
const plotNFT = 30_000

// plot measures how cost grows with the number of Services and writes that as a picture.
func (b *bench) plot(ctx context.Context, path string) error {
	curves := []*curve{
		{name: "nft -f of the text", dashed: true},
		{name: "decode"},
		{name: "resolve"},
		{name: "compile"},
		{name: "commit of everything"},
		{name: "one endpoint: plan, commit"},
		{name: "of which the commit"},
	}
	t := table{head: []string{"Services"}}
	for _, c := range curves {
		t.head = append(t.head, c.name)
	}
	for _, n := range []int{1000, 3000, 10_000, 30_000, 100_000} {
		note("plot: %d", n)
		times, err := b.plotPoint(ctx, n)
		if err != nil {
			return fmt.Errorf("%d Services: %w", n, err)
		}
		cells := []string{thousands(n)}
		for i, c := range curves {
			if times[i] == 0 {
				cells = append(cells, "–")
				continue
			}
			c.points = append(c.points, point{float64(n), times[i].Seconds()})
			cells = append(cells, short(times[i]))
		}
		t.add(cells...)
	}
	t.print(b.out)
	picture := chart{
		title:  fmt.Sprintf("Cost by number of Services, %d endpoints each", plotEndpoints),
		x:      axis{"Services", 1e3, 1e5, func(v float64) string { return thousands(int(v)) }},
		y:      axis{"", 1e-5, 1e2, secondsText},
		curves: curves,
	}
	return os.WriteFile(path, []byte(picture.svg()), 0o644)
}

// plotPoint gives the times at a number of Services, in the order of the curves; 0 for what was not measured.
func (b *bench) plotPoint(ctx context.Context, n int) ([7]time.Duration, error) {
	var out [7]time.Duration
	s := size{n, plotEndpoints, workload.IPv4}
	g := &growth{workload: s.workload()}
	var nftTimes, commit samples
	forth, back := &updateTimes{what: "removed"}, &updateTimes{what: "added"}
	changed, err := compileWorkload(s.less())
	if err != nil {
		return out, err
	}
	for range b.roundsFor(s) {
		rs, err := g.round()
		if err != nil {
			return out, err
		}
		if n <= plotNFT {
			text, err := b.rendered(rs)
			if err != nil {
				return out, err
			}
			if err := inLab(ctx, func(ns *netlab.Namespace) error { return nftTimes.process(ctx, ns, "nft", "-f", text) }); err != nil {
				return out, err
			}
		}
		if err := inLab(ctx, func(ns *netlab.Namespace) error {
			return withConn(ns, func(c *nft.Conn) error {
				if err := commit.measure(func() error { return commitAll(ctx, c, rs) }); err != nil {
					return err
				}
				return toAndFro(ctx, ns, c, s, rs, changed, forth, back)
			})
		}); err != nil {
			return out, err
		}
	}
	forth.join(back)
	if n <= plotNFT {
		out[0] = nftTimes.median()
	}
	for i, m := range []*samples{&g.decode, &g.resolve, &g.compile, &commit, &forth.both, &forth.commit} {
		out[i+1] = m.median()
	}
	return out, nil
}

// secondsText labels a power of ten of seconds.
func secondsText(v float64) string {
	switch {
	case v < 0.9e-3:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case v < 0.9:
		return fmt.Sprintf("%.0f ms", v*1e3)
	default:
		return fmt.Sprintf("%.0f s", v)
	}
}
