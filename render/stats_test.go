package render

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/svcctl/svcctl/compiler/graph"
)

func someStats() *Stats {
	s := &Stats{
		Table: "svcctl", Time: time.Unix(1000, 0), Counters: true, State: 3, Applied: time.Unix(900, 5e8), Drifted: true,
		Addresses: []AddressStats{
			{Address: netip.MustParseAddrPort("10.96.0.9:53"), Proto: graph.UDP, Refused: 4, Clients: 1},
			{
				Namespace: "demo", Service: "web", Port: "http", Kind: "NodePort", Proto: graph.TCP,
				Address: netip.MustParseAddrPort("[::]:30000"), Dropped: 2,
			},
			{
				Namespace: "demo", Service: "web", Port: "http", Kind: "ClusterIP", Proto: graph.TCP,
				Address: netip.MustParseAddrPort("10.96.0.1:80"), Connections: 17, Clients: 2,
				Endpoints: []EndpointStats{
					{netip.MustParseAddrPort("10.1.2.2:8080"), 9}, {netip.MustParseAddrPort("10.1.1.2:8080"), 7},
				},
			},
		},
		Unserved: []UnservedStats{{graph.IPv6, 0, 0, 0}, {graph.IPv4, 3, 2, 1}},
	}
	s.Sort()
	return s
}

func TestStatsTable(t *testing.T) {
	before := someStats()
	before.Time = before.Time.Add(-2 * time.Second)
	before.Addresses[0].Connections = 12
	before.Addresses[0].Endpoints[0].Connections = 8 // it has begun anew
	uncounted := someStats()
	uncounted.Counters = false
	for _, tc := range []struct {
		name string
		s    *Stats
		opts StatsOptions
		want string
	}{
		{"plain", someStats(), StatsOptions{}, `
NAMESPACE   SERVICE     PORT      ADDRESS            CONNECTIONS   REFUSED   DROPPED   CLIENTS
demo        web         http      10.96.0.1:80/tcp   17            0         0         2
demo        web         http      [*]:30000/tcp      0             0         2         0
<unknown>   <unknown>   <unset>   10.96.0.9:53/udp   0             4         0         1
`},
		{"wide, with rates", someStats(), StatsOptions{Endpoints: true, Before: before}, `
NAMESPACE   SERVICE     PORT      ADDRESS            ENDPOINT        CONNECTIONS   PER SECOND   REFUSED   DROPPED   CLIENTS
demo        web         http      10.96.0.1:80/tcp   <all>           17            2.5          0         0         2
demo        web         http      10.96.0.1:80/tcp   10.1.1.2:8080   7             <unknown>                        
demo        web         http      10.96.0.1:80/tcp   10.1.2.2:8080   9             0.0                              
demo        web         http      [*]:30000/tcp      <all>           0             0.0          0         2         0
<unknown>   <unknown>   <unset>   10.96.0.9:53/udp   <all>           0             0.0          4         0         1
`},
		{"not counted", uncounted, StatsOptions{}, `
NAMESPACE   SERVICE     PORT      ADDRESS            CLIENTS
demo        web         http      10.96.0.1:80/tcp   2
demo        web         http      [*]:30000/tcp      0
<unknown>   <unknown>   <unset>   10.96.0.9:53/udp   1
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := StatsTable(&b, tc.s, tc.opts); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStatsPrometheus(t *testing.T) {
	const head = `# HELP svcctl_affinity_clients Clients that are remembered for session affinity, by service address.
# TYPE svcctl_affinity_clients gauge
svcctl_affinity_clients{address="10.96.0.1:80",namespace="demo",port="http",protocol="tcp",service="web"} 2
svcctl_affinity_clients{address="[::]:30000",namespace="demo",port="http",protocol="tcp",service="web"} 0
svcctl_affinity_clients{address="10.96.0.9:53",namespace="",port="",protocol="udp",service=""} 1
# HELP svcctl_applied_states_total States that were applied and recorded.
# TYPE svcctl_applied_states_total counter
svcctl_applied_states_total 3
`
	const timestamp = "svcctl_last_applied_timestamp_seconds 900.5\n"
	text := prometheusText(t, someStats())
	for _, want := range []string{
		head, timestamp, "svcctl_counting 1\n", "svcctl_drifted 1\n",
		`svcctl_endpoint_connections_total{address="10.96.0.1:80",endpoint="10.1.2.2:8080",namespace="demo",port="http",` +
			`protocol="tcp",service="web"} 9` + "\n",
		`svcctl_service_refused_packets_total{address="10.96.0.9:53",namespace="",port="",protocol="udp",service=""} 4` + "\n",
		`svcctl_unserved_packets_total{family="ip",reason="unused-port"} 3` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}

	// Nothing counted, nothing recorded: nothing said about it.
	text = prometheusText(t, &Stats{})
	if strings.Contains(text, "clients") || strings.Contains(text, "connections_total") || strings.Contains(text, "timestamp") {
		t.Errorf("there is something about nothing:\n%s", text)
	}
}

// prometheusText renders, and insists that Prometheus' own parser and linter have nothing against the text.
func prometheusText(t *testing.T, s *Stats) string {
	t.Helper()
	var b bytes.Buffer
	if err := StatsPrometheus(&b, s); err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(b.Bytes())).Lint()
	if err != nil {
		t.Fatalf("promlint: %v\n%s", err, b.Bytes())
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	return b.String()
}

func TestStatsJSON(t *testing.T) {
	var b bytes.Buffer
	if err := StatsJSON(&b, someStats()); err != nil {
		t.Fatal(err)
	}
	var doc statsDoc
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Addresses) != 3 || *doc.Addresses[0].Connections != 17 || doc.Addresses[0].Endpoints[1].Connections != 9 ||
		doc.Applied.State != 3 || !doc.Drifted || doc.Unserved[0].UnusedPorts != 3 {
		t.Errorf("got %s", b.Bytes())
	}
	b.Reset()
	if err := StatsJSON(&b, &Stats{Table: "svcctl", Addresses: someStats().Addresses}); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Contains(text, `"connections"`) || !strings.Contains(text, `"applied": null`) {
		t.Errorf("what is not counted is there: %s", text)
	}
}

// Whatever a name holds, the text is one that Prometheus reads, every label comes back as it was, and no name makes a line of
// its own. Tables keep to their lines too.
func FuzzStats(f *testing.F) {
	f.Add("demo", "web", "http", uint64(3))
	f.Add(`"} 1`+"\n"+`svcctl_drifted 5`, `a\nb\`, "# TYPE x counter", uint64(math.MaxUint64))
	f.Add("\x1b[2J", "\r\x00", "\xff\u2028", uint64(1<<53))
	f.Fuzz(func(t *testing.T, namespace, service, port string, n uint64) {
		s := someStats()
		for i := range s.Addresses {
			s.Addresses[i].Namespace, s.Addresses[i].Service, s.Addresses[i].Port = namespace, service, port
			s.Addresses[i].Connections = n
		}
		text := prometheusText(t, s)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want := map[string]string{
			"namespace": strings.ToValidUTF8(namespace, "\uFFFD"), "service": strings.ToValidUTF8(service, "\uFFFD"),
			"port": strings.ToValidUTF8(port, "\uFFFD"),
		}
		counted := families["svcctl_service_connections_total"].GetMetric()
		if len(counted) != len(s.Addresses) || len(families) != 10 {
			t.Fatalf("%d samples in %d families\n%s", len(counted), len(families), text)
		}
		for _, m := range counted {
			if got := m.GetCounter().GetValue(); got != float64(n) {
				t.Errorf("%v, want %d", got, n)
			}
			for _, l := range m.GetLabel() {
				if w, named := want[l.GetName()]; named && l.GetValue() != w {
					t.Errorf("%s is %q, want %q", l.GetName(), l.GetValue(), w)
				}
			}
		}

		var b bytes.Buffer
		if err := StatsTable(&b, s, StatsOptions{}); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(b.String(), "\n"); lines != 4 || !utf8.Valid(b.Bytes()) || strings.ContainsAny(b.String(), "\x1b\r\x00") {
			t.Errorf("%d lines: %q", lines, b.String())
		}
		b.Reset()
		if err := StatsJSON(&b, s); err != nil || !json.Valid(b.Bytes()) {
			t.Errorf("JSON: %v", err)
		}
	})
}
