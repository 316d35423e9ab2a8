package main

import (
	"bytes"
	"cmp"
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

// dns measures names: making zones, writing and reading them, and answering from them, beside CoreDNS with the same zones.
func (b *bench) dns(ctx context.Context) error {
	d := dnsBench{svcctl: b.svcctl, dir: filepath.Join(b.dir, "dns"), out: b.out, rounds: b.rounds}
	return d.run(ctx)
}

// The size of what is named.
const (
	dnsServices  = 10_000
	dnsEndpoints = 10
)

type dnsBench struct {
	svcctl, dir string
	out         io.Writer
	rounds      int

	manifest           string
	files              []peer.ZoneFile
	addresses, servers [][]byte // packed queries, of names that are there
	records, size      int

	build, write, parse        samples // in this process
	startOurs, startTheirs     samples // from the start of the process to the first answer
	oursAddress, theirsAddress []float64
	oursServer, theirsServer   []float64
}

func (d *dnsBench) run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(d.dir, "manifests"), 0o700); err != nil {
		return err
	}
	m, err := d.prepare()
	if err != nil {
		return err
	}
	for range d.rounds {
		if err := errors.Join(d.zones(m), d.ask(ctx)); err != nil {
			return err
		}
	}
	d.report()
	return nil
}

// prepare writes manifests of which every other Service is headless.
func (d *dnsBench) prepare() (*resolve.Model, error) {
	var text bytes.Buffer
	if err := (workload.Workload{Services: dnsServices, Endpoints: dnsEndpoints}).WriteYAML(&text); err != nil {
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
	d.addresses, d.servers = nil, nil
	for _, r := range zones.Zones[0].Records {
		var typ uint16
		var to *[][]byte
		switch r.Data.(type) {
		case dns.A:
			typ, to = wire.TypeA, &d.addresses
		case dns.SRV:
			typ, to = wire.TypeSRV, &d.servers
		default:
			continue
		}
		m := new(wire.Msg)
		m.SetQuestion(string(r.Name)+".", typ)
		m.SetEdns0(1232, false)
		query, err := m.Pack()
		if err != nil {
			return err
		}
		*to = append(*to, query)
	}
	return nil
}

// ask starts both servers, one after the other, and asks them the same.
func (d *dnsBench) ask(ctx context.Context) error {
	var core *peer.CoreDNS
	err := d.startTheirs.measure(func() (err error) {
		core, err = peer.StartCoreDNS(ctx, d.dir, d.files)
		return err
	})
	if err != nil {
		return err
	}
	err = errors.Join(d.rates(ctx, core.Addr, &d.theirsAddress, &d.theirsServer), core.Stop())
	if err != nil {
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
		err = d.rates(ctx, addr, &d.oursAddress, &d.oursServer)
	}
	stop()
	if waitErr := cmd.Wait(); err != nil {
		return fmt.Errorf("svcctl dns serve: %w, %w: %s", err, waitErr, stderr.String())
	}
	return nil
}

func (d *dnsBench) rates(ctx context.Context, addr string, address, server *[]float64) error {
	a, err := rate(ctx, addr, d.addresses)
	if err != nil {
		return err
	}
	s, err := rate(ctx, addr, d.servers)
	*address, *server = append(*address, a), append(*server, s)
	return err
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
	fmt.Fprintf(d.out, "\n%d Services × %d endpoints, every other one headless: %d records, %d MiB of zone files; median of %d rounds\n\n",
		dnsServices, dnsEndpoints, d.records, d.size>>20, d.rounds)
	fmt.Fprintf(d.out, "| what | svcctl | beside it | ratio |\n|---|---|---|---|\n")
	times := func(what string, ours, theirs *samples) {
		o, t := middle(ours.times), middle(theirs.times)
		fmt.Fprintf(d.out, "| %s | %s | %s | %.2f |\n", what, o.Round(time.Millisecond), t.Round(time.Millisecond), float64(o)/float64(t))
	}
	times("records from the model; beside it the parser of CoreDNS, reading the zone files", &d.build, &d.parse)
	times("writing the zone files; beside it reading them", &d.write, &d.parse)
	times("`dns serve -f`, start to first answer; beside it CoreDNS with the zone files", &d.startOurs, &d.startTheirs)
	rates := func(what string, ours, theirs []float64) {
		o, t := middle(ours), middle(theirs)
		fmt.Fprintf(d.out, "| %s | %.0f/s | %.0f/s | %.2f |\n", what, o, t, o/t)
	}
	rates(fmt.Sprintf("answers for addresses, UDP, %d clients; beside it CoreDNS", askers), d.oursAddress, d.theirsAddress)
	rates("answers for servers (SRV), the same", d.oursServer, d.theirsServer)
}

// middle gives the median.
func middle[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
