package dnsserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"

	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/peer"
	"github.com/svcctl/svcctl/render"
)

// TestCoreDNSAnswersTheSame: a real CoreDNS loads the zone files, and everything that can be asked gets the same answer
// from it and from the server here, which never saw the files. So the text of the zones and the answers prove each other.
func TestCoreDNSAnswersTheSame(t *testing.T) {
	inputs := map[string][]manifest.Source{
		"random":       {{Name: "random.yaml", Data: []byte(randomServices(rand.New(rand.NewPCG(1, 2))))}},
		"examples/dns": readAll(t, "../../examples/dns"),
	}
	if _, err := peer.Find("coredns"); errors.Is(err, peer.ErrMissing) && os.Getenv(netlab.RequireEnv) != "1" {
		t.Skip(err)
	}
	cases, err := os.ReadDir("../../golden/cases")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		inputs[c.Name()] = readAll(t, filepath.Join("../../golden/cases", c.Name()))
	}
	compared := 0
	for name, sources := range inputs {
		t.Run(name, func(t *testing.T) {
			if zones := zonesOf(t, sources); zones != nil {
				compared += compare(t, zones)
			}
		})
	}
	t.Logf("%d answers compared", compared)
	if compared < 5_000 && !t.Failed() {
		t.Errorf("only %d answers were compared", compared)
	}
}

func readAll(t *testing.T, dir string) []manifest.Source {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	var sources []manifest.Source
	for _, f := range files {
		if base := filepath.Base(f); base == "config.yaml" || base == "flows.yaml" {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, manifest.Source{Name: f, Data: data})
	}
	return sources
}

// zonesOf gives the zones of manifests, nil where they are refused.
func zonesOf(t *testing.T, sources []manifest.Source) *dns.Zones {
	t.Helper()
	b, found := manifest.Decode(sources, manifest.Options{})
	if found.HasErrors() {
		return nil
	}
	ranges := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")}
	allocated, found := allocate.Allocate(b, allocate.Config{ServiceCIDRs: ranges}, nil)
	if found.HasErrors() {
		return nil
	}
	m, found := resolve.Resolve(allocated.Bundle, resolve.Config{ServiceCIDRs: ranges})
	if found.HasErrors() {
		return nil
	}
	cfg := dns.Config{
		ClusterDomain: dns.DefaultClusterDomain, TTL: dns.DefaultTTL, NameServers: []dns.Name{"ns1.example.com", "ns2.example.com"},
		ReverseCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/15"), ranges[1]},
	}
	zones, _ := dns.Build(m, cfg)
	return zones
}

// compare asks both servers everything, and gives how many answers it compared.
func compare(t *testing.T, zones *dns.Zones) int {
	t.Helper()
	dir := t.TempDir()
	var files []peer.ZoneFile
	empty := map[string]bool{}
	for _, z := range zones.Zones {
		empty[string(z.Origin)+"."] = z.Empty()
		path := filepath.Join(dir, string(z.Origin)+".zone")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(render.Zone(f, z), f.Close()); err != nil {
			t.Fatal(err)
		}
		files = append(files, peer.ZoneFile{Origin: string(z.Origin), Path: path})
	}
	core, err := peer.StartCoreDNS(t.Context(), dir, files)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Stop()
	_, ours := serve(t, zones)
	n := 0
	names, there := namesIn(zones)
	for _, name := range names {
		for _, typ := range []uint16{
			wire.TypeA, wire.TypeAAAA, wire.TypeSRV, wire.TypePTR, wire.TypeCNAME, wire.TypeTXT, wire.TypeNS, wire.TypeSOA, wire.TypeMX,
		} {
			if !there[name] && typ != wire.TypeA && typ != wire.TypePTR {
				continue
			}
			m := question(name, typ)
			if typ == wire.TypeSRV || typ == wire.TypeA { // with EDNS and without
				m.SetEdns0(maxUDP, false)
			}
			if empty[name] && typ != wire.TypeSOA && typ != wire.TypeNS {
				// CoreDNS denies the existence of the origin itself, where there is nothing below it. It is there: it has the
				// start of authority.
				if r := ask(t, "udp", ours.String(), m); r.Rcode != wire.RcodeSuccess || len(r.Answer) > 0 {
					t.Errorf("%s %s: %s", name, wire.TypeToString[typ], shown(r))
				}
				continue
			}
			n++
			theirs, mine := ask(t, "udp", core.Addr, m), ask(t, "udp", ours.String(), m)
			if theirs.Truncated || mine.Truncated {
				// Who cuts where differs: the whole of it is there over TCP.
				if theirs.Rcode != mine.Rcode || theirs.Authoritative != mine.Authoritative {
					t.Errorf("%s %s: CoreDNS %v, here %v", name, wire.TypeToString[typ], theirs.MsgHdr, mine.MsgHdr)
				}
			} else if d := cmp.Diff(essence(theirs), essence(mine)); d != "" {
				t.Errorf("%s %s over UDP (-CoreDNS +here):\n%s", name, wire.TypeToString[typ], d)
			}
			if n%8 != 0 && !theirs.Truncated && !mine.Truncated {
				continue // a connection for every question would take minutes
			}
			theirs, mine = ask(t, "tcp", core.Addr, m), ask(t, "tcp", ours.String(), m)
			if d := cmp.Diff(essence(theirs), essence(mine)); d != "" {
				t.Errorf("%s %s over TCP (-CoreDNS +here):\n%s", name, wire.TypeToString[typ], d)
			}
		}
	}
	return n
}

// namesIn gives every name of the zones, those between them and the origin, and for each some that are not there, and some
// of nobody; and which of them are there.
func namesIn(zones *dns.Zones) (names []string, there map[string]bool) {
	there = map[string]bool{}
	seen := map[string]bool{"example.com.": true, ".": true, "local.": true, "in-addr.arpa.": true, "xcluster.local.": true}
	for _, z := range zones.Zones {
		origin := string(z.Origin) + "."
		seen[origin], there[origin] = true, true
		seen["nobody."+origin] = true
		for _, r := range z.Records {
			for name := string(r.Name) + "."; name != origin; {
				seen[name], there[name] = true, true
				_, above, _ := strings.Cut(name, ".")
				seen["nobody."+name] = true
				seen["_a._b."+name] = true
				seen["x"+name] = true
				seen["NoBody."+above] = true
				name = above
			}
		}
	}
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, there
}

// essence is what of an answer must be the same: the response code, AA, the answers, the start of authority where there is
// no data, and the addresses that come along. (CoreDNS adds the name servers to every answer, which nobody needs; and it
// leaves out the start of authority where an alias leads to a name without such data, against RFC 2308, section 2.2.)
func essence(m *wire.Msg) []string {
	lines := []string{fmt.Sprint(wire.RcodeToString[m.Rcode], " aa ", m.Authoritative, " tc ", m.Truncated, " ra ", m.RecursionAvailable)}
	section := func(name string, records []wire.RR, take func(uint16) bool) {
		var texts []string
		for _, rr := range records {
			if take(rr.Header().Rrtype) {
				texts = append(texts, name+" "+strings.ToLower(rr.String()))
			}
		}
		slices.Sort(texts)
		lines = append(lines, texts...)
	}
	section("answer", m.Answer, func(uint16) bool { return true })
	if len(m.Answer) == 0 || m.Rcode == wire.RcodeNameError {
		section("authority", m.Ns, func(typ uint16) bool { return typ == wire.TypeSOA })
	}
	section("additional", m.Extra, func(typ uint16) bool { return typ != wire.TypeOPT })
	return lines
}

// randomServices gives manifests with all kinds of names.
func randomServices(r *rand.Rand) string {
	var b strings.Builder
	v6 := func(i int) string { return fmt.Sprintf("fd00:10:1::%x", i+1) }
	for i := range 60 {
		name, namespace := fmt.Sprintf("s%d", i), fmt.Sprintf("n%d", r.IntN(4))
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec:\n", name, namespace)
		ports := "  ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]\n"
		switch r.IntN(6) {
		case 0: // an alias: of a Service, of nobody, of itself by a detour, of a name elsewhere
			target := []string{
				fmt.Sprintf("s%d.n%d.svc.cluster.local", r.IntN(60), r.IntN(4)), "nobody.svc.cluster.local", "cluster.local",
				"n1.svc.cluster.local", "example.com", "96.10.in-addr.arpa",
			}[r.IntN(6)]
			fmt.Fprintf(&b, "  type: ExternalName\n  externalName: %s\n", target)
			continue
		case 1:
			fmt.Fprintf(&b, "  clusterIP: 10.96.1.%d\n%s", i, ports)
			continue
		case 2:
			fmt.Fprintf(&b, "  clusterIP: 10.96.1.%d\n  clusterIPs: [10.96.1.%[1]d, \"fd00:10:96::%[1]x\"]\n  ipFamilyPolicy: PreferDualStack\n%s", i+1, ports)
			continue
		}
		b.WriteString("  clusterIP: None\n" + ports)
		for k, family := range []string{"IPv4", "IPv6"} {
			fmt.Fprintf(&b, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s-%d, namespace: %s, "+
				"labels: {kubernetes.io/service-name: %[1]s}}\naddressType: %[4]s\nports: [{name: http, port: 8080}]\nendpoints:\n", name, k, namespace, family)
			n := r.IntN(5)
			if i == 7 {
				n = 300 // more than a datagram can hold
			}
			for j := range n {
				addr := fmt.Sprintf("10.1.%d.%d", r.IntN(3), r.IntN(250)+1)
				if i == 7 {
					addr = fmt.Sprintf("10.1.%d.%d", 10+j/250, j%250+1)
				}
				if k == 1 {
					addr = v6(r.IntN(4000))
				}
				fmt.Fprintf(&b, "- {addresses: [\"%s\"]", addr)
				if r.IntN(2) == 0 {
					fmt.Fprintf(&b, ", hostname: h%d", r.IntN(3))
				}
				fmt.Fprintf(&b, ", conditions: {ready: %t}}\n", r.IntN(4) > 0)
			}
			if n == 0 {
				b.WriteString("  []\n")
			}
		}
	}
	return b.String()
}

// TestNamesOfTheExample has names that people ask for, and what they must get, written down by hand.
func TestNamesOfTheExample(t *testing.T) {
	_, at := serve(t, zonesOf(t, readAll(t, "../../examples/dns")))
	for _, q := range []struct {
		name string
		typ  uint16
		want []string
	}{
		{"nginx-prod-svc-demo.demo.svc.cluster.local.", wire.TypeA, []string{"10.111.193.186"}},
		{"nginx-prod-demo-headless-svc.demo.svc.cluster.local.", wire.TypeA, []string{"10.1.0.32", "10.1.0.33", "10.1.0.34"}},
		{"10-1-0-32.nginx-prod-demo-headless-svc.demo.svc.cluster.local.", wire.TypeA, []string{"10.1.0.32"}},
		{"10-1-0-34.nginx-prod-demo-headless-svc.demo.svc.cluster.local.", wire.TypeA, []string{"10.1.0.34"}},
		{"db-1.db.demo.svc.cluster.local.", wire.TypeA, []string{"10.1.0.51"}}, // published before it is ready
		{"mail.demo.svc.cluster.local.", wire.TypeA, []string{"mail.example.com."}},
		{"_http._tcp.nginx-prod-svc-demo.demo.svc.cluster.local.", wire.TypeSRV, []string{"0 100 80 nginx-prod-svc-demo.demo.svc.cluster.local."}},
		{"186.193.111.10.in-addr.arpa.", wire.TypePTR, []string{"nginx-prod-svc-demo.demo.svc.cluster.local."}},
		{"50.0.1.10.in-addr.arpa.", wire.TypePTR, []string{"db-0.db.demo.svc.cluster.local."}},
		{"dns-version.cluster.local.", wire.TypeTXT, []string{`"1.1.0"`}},
	} {
		var got []string
		for _, rr := range ask(t, "udp", at.String(), question(q.name, q.typ)).Answer {
			got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		slices.Sort(got)
		if d := cmp.Diff(q.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", q.name, d)
		}
	}
}
