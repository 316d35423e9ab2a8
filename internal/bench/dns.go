package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/peer"
	"github.com/svcctl/svcctl/internal/workload"
	"github.com/svcctl/svcctl/render"
)

// dnsBench measures names: making and writing zones, reading them, and answering from them, beside CoreDNS with the same
// zones.
type dnsBench struct {
	svcctl, dir                 string
	services, endpoints, rounds int

	manifest string
	files    []peer.ZoneFile
	queries  [][]byte // packed, of names that are there
	records  int
	size     int

	build, write, parse    samples // in this process
	startOurs, startTheirs samples // from the start of the process to the first answer
	oursUDP, theirsUDP     []float64
	oursSRV, theirsSRV     []float64
}

// dns measures names, and prints a table of its own.
func (b *bench) dns(ctx context.Context) error {
	d := dnsBench{svcctl: b.svcctl, dir: filepath.Join(b.dir, "dns"), services: b.services, endpoints: b.endpoints, rounds: b.rounds}
	if err := os.MkdirAll(filepath.Join(d.dir, "manifests"), 0o700); err != nil {
		return err
	}
	m, err := d.prepare()
	if err != nil {
		return err
	}
	for range d.rounds {
		if err := d.zones(m); err != nil {
			return err
		}
	}
	for range d.rounds {
		if err := d.servers(ctx); err != nil {
			return err
		}
	}
	d.report()
	return nil
}

// prepare writes manifests of which every other Service is headless.
func (d *dnsBench) prepare() (*resolve.Model, error) {
	var text bytes.Buffer
	if err := (workload.Workload{Services: d.services, Endpoints: d.endpoints}).WriteYAML(&text); err != nil {
		return nil, err
	}
	lines, n := strings.Split(text.String(), "\n"), 0
	for i, line := range lines {
		if strings.HasPrefix(line, "  clusterIP: ") {
			if n++; n%2 == 0 {
				lines[i] = "  clusterIP: None"
			}
		}
	}
	data := []byte(strings.Join(lines, "\n"))
	d.manifest = filepath.Join(d.dir, "manifests", "all.yaml")
	if err := os.WriteFile(d.manifest, data, 0o600); err != nil {
		return nil, err
	}
	bundle, found := manifest.Decode([]manifest.Source{{Name: d.manifest, Data: data}}, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolve.Config{})
	return m, append(found, more...).Err()
}

// zones measures the way from the model to files, and how long the parser that CoreDNS has takes to read them.
func (d *dnsBench) zones(m *resolve.Model) error {
	cfg := dns.Config{
		ClusterDomain: dns.DefaultClusterDomain, TTL: dns.DefaultTTL, NameServers: []dns.Name{dns.DefaultNameServer},
		ReverseCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")},
	}
	var zones *dns.Zones
	err := d.build.measure(func() error { zones, _ = dns.Build(m, cfg); return nil })
	if err != nil {
		return err
	}
	d.files, d.size, d.records = nil, 0, 0
	texts := make([]bytes.Buffer, len(zones.Zones))
	err = d.write.measure(func() error {
		for i, z := range zones.Zones {
			if err := render.Zone(&texts[i], z); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = d.parse.measure(func() error {
		for i := range texts {
			p := wire.NewZoneParser(bytes.NewReader(texts[i].Bytes()), "", "")
			for _, ok := p.Next(); ok; _, ok = p.Next() {
				d.records++
			}
			if err := p.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, z := range zones.Zones {
		path := filepath.Join(d.dir, string(z.Origin)+".zone")
		if err := os.WriteFile(path, texts[i].Bytes(), 0o600); err != nil {
			return err
		}
		d.files, d.size = append(d.files, peer.ZoneFile{Origin: string(z.Origin), Path: path}), d.size+texts[i].Len()
	}
	return d.makeQueries(zones)
}

// makeQueries packs questions for the addresses, and for the servers, of names that are there.
func (d *dnsBench) makeQueries(zones *dns.Zones) error {
	d.queries = nil
	for _, r := range zones.Zones[0].Records {
		typ := uint16(0)
		switch r.Data.(type) {
		case dns.A:
			typ = wire.TypeA
		case dns.SRV:
			typ = wire.TypeSRV
		}
		if typ == 0 {
			continue
		}
		m := new(wire.Msg)
		m.SetQuestion(string(r.Name)+".", typ)
		m.SetEdns0(1232, false)
		query, err := m.Pack()
		if err != nil {
			return err
		}
		d.queries = append(d.queries, query)
	}
	return nil
}

// ofType gives the queries of a type.
func (d *dnsBench) ofType(typ uint16) [][]byte {
	var out [][]byte
	for _, q := range d.queries {
		var m wire.Msg
		if m.Unpack(q) == nil && m.Question[0].Qtype == typ {
			out = append(out, q)
		}
	}
	return out
}

// servers starts both servers, one after the other, and asks them the same.
func (d *dnsBench) servers(ctx context.Context) error {
	addresses, servers := d.ofType(wire.TypeA), d.ofType(wire.TypeSRV)
	ask := func(addr string, byAddress, byServer *[]float64) error {
		a, err := rate(ctx, addr, addresses)
		if err != nil {
			return err
		}
		s, err := rate(ctx, addr, servers)
		*byAddress, *byServer = append(*byAddress, a), append(*byServer, s)
		return err
	}
	var core *peer.CoreDNS
	err := d.startTheirs.measure(func() (err error) {
		core, err = peer.StartCoreDNS(ctx, d.dir, d.files)
		return err
	})
	if err != nil {
		return err
	}
	if err := errors.Join(ask(core.Addr, &d.theirsUDP, &d.theirsSRV), core.Stop()); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	const addr = "127.0.0.1:15353"
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, d.svcctl, "dns", "serve", "-f", d.manifest, "--listen", addr,
		"--config", os.DevNull, "--state-dir", d.dir)
	cmd.Stderr = &stderr
	err = d.startOurs.measure(func() error {
		if err := cmd.Start(); err != nil {
			return err
		}
		return await(ctx, addr)
	})
	if err == nil {
		err = ask(addr, &d.oursUDP, &d.oursSRV)
	}
	stop()
	if waitErr := cmd.Wait(); err != nil {
		return fmt.Errorf("svcctl dns serve: %w, %w: %s", err, waitErr, stderr.String())
	}
	return nil
}

// await asks for the forward zone until there is an answer.
func await(ctx context.Context, addr string) error {
	m := new(wire.Msg)
	m.SetQuestion(dns.DefaultClusterDomain+".", wire.TypeSOA)
	client := wire.Client{Timeout: time.Second}
	end := time.Now().Add(time.Minute)
	for {
		r, _, err := client.ExchangeContext(ctx, m, addr)
		if err == nil && r.Rcode == wire.RcodeSuccess {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("no answer from %s: %w", addr, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// The clients that ask, and for how long.
const (
	askers  = 16
	askTime = 2 * time.Second
)

// rate gives how many queries per second are answered to clients that ask one question after the other.
func rate(ctx context.Context, addr string, queries [][]byte) (float64, error) {
	runtime.GC()
	var answered atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, askers)
	start := time.Now()
	end := start.Add(askTime)
	for i := range askers {
		wg.Go(func() {
			n, err := asker(ctx, addr, queries, rand.New(rand.NewPCG(uint64(i), 1)), end)
			answered.Add(int64(n))
			if err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(answered.Load()) / elapsed.Seconds(), nil
	}
}

func asker(ctx context.Context, addr string, queries [][]byte, r *rand.Rand, end time.Time) (answered int, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(end.Add(5 * time.Second)); err != nil {
		return 0, err
	}
	query, answer := make([]byte, 0, 512), make([]byte, 4096)
	for ; time.Now().Before(end); answered++ {
		query = append(query[:0], queries[r.IntN(len(queries))]...)
		binary.BigEndian.PutUint16(query, uint16(answered))
		if _, err := conn.Write(query); err != nil {
			return answered, err
		}
		n, err := conn.Read(answer)
		if err != nil {
			return answered, err
		}
		if n < 12 || !bytes.Equal(answer[:2], query[:2]) || answer[3]&0xf != wire.RcodeSuccess || binary.BigEndian.Uint16(answer[6:]) == 0 {
			return answered, fmt.Errorf("%s gave no answer to %x: %w", addr, query, io.ErrUnexpectedEOF)
		}
	}
	return answered, nil
}

func (d *dnsBench) report() {
	for _, s := range []*samples{&d.build, &d.write, &d.parse, &d.startOurs, &d.startTheirs} {
		s.sort()
	}
	fmt.Printf("\nNames of %d Services × %d endpoints, every other one headless: %d records, %d MiB of zone files; median of %d rounds\n\n",
		d.services, d.endpoints, d.records, d.size>>20, d.rounds)
	fmt.Println("| what | svcctl | the other | ratio |")
	fmt.Println("|---|---|---|---|")
	times := func(what string, ours, theirs *samples) {
		fmt.Printf("| %s | %s | %s | %.2f |\n", what, round(ours.median()), round(theirs.median()),
			float64(ours.median())/float64(theirs.median()))
	}
	times("records of the model; the other: parsing the zone files (the parser of CoreDNS)", &d.build, &d.parse)
	times("writing the zone files; the other: parsing them", &d.write, &d.parse)
	times("`dns serve -f` from its start to the first answer; the other: CoreDNS loading the zone files", &d.startOurs, &d.startTheirs)
	rates := func(what string, ours, theirs []float64) {
		o, t := middle(ours), middle(theirs)
		fmt.Printf("| %s | %.0f/s | %.0f/s | %.2f |\n", what, o, t, o/t)
	}
	rates(fmt.Sprintf("queries for addresses over UDP, %d clients; the other: CoreDNS with the same zones", askers), d.oursUDP, d.theirsUDP)
	rates("the same for servers (SRV)", d.oursSRV, d.theirsSRV)
}

// middle gives the median.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
