package trace_test

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/compiler/trace"
)

var (
	port = netip.MustParseAddrPort
	host = trace.Host{Local: []netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("10.1.0.1")}}
)

func compile(t *testing.T, text string) *graph.Ruleset {
	t.Helper()
	bundle, found := manifest.Decode([]manifest.Source{{Name: "input.yaml", Data: []byte(text)}}, manifest.Options{})
	m, more := resolve.Resolve(bundle, resolve.Config{NodeName: "this-node"})
	if err := append(found, more...).Err(); err != nil {
		t.Fatal(err)
	}
	rs, err := compiler.Compile(m, compiler.Config{
		Table: "svcctl", AffinityMapSize: 65536,
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func golden(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../golden/cases/" + name + "/services.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// summary writes a result as one line: each outcome's fate, destination, and "masquerade".
func summary(r *trace.Result) string {
	var parts []string
	for _, o := range r.Outcomes {
		s := o.Fate.String()
		if o.Fate == trace.Translated {
			s = o.Dest.String()
		}
		if o.Masquerade {
			s += " masquerade"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

const (
	client = "192.168.0.2:40000"
	pod    = "10.1.1.2:40000"
	node   = "192.168.0.1:40000"
)

func TestWalk(t *testing.T) {
	cases := []struct{ manifest, from, to, want string }{
		// A ClusterIP: from outside masqueraded, from a pod not, from the pod itself masqueraded as a hairpin.
		{"masquerade-all", client, "10.96.0.11:80", "10.1.3.2:8080 masquerade"},
		{"masquerade-all", pod, "10.96.0.11:80", "10.1.3.2:8080"},
		{"masquerade-all", "10.1.3.2:40000", "10.96.0.11:80", "10.1.3.2:8080 masquerade"},
		{"masquerade-all", node, "10.96.0.11:80", "10.1.3.2:8080 masquerade"},
		{"masquerade-all", client, "10.96.0.11:81", "REJECT"},
		{"masquerade-all", client, "10.96.0.12:80", "DROP"},
		{"masquerade-all", client, "10.97.0.12:80", "untouched"},
		// Node ports: on the node's own addresses, not on loopback.
		{"node-port", client, "192.168.0.1:30000", "10.1.1.2:8080 masquerade, 10.1.2.2:8080 masquerade, 10.1.3.2:8080 masquerade"},
		{"node-port", node, "10.1.0.1:30000", "10.1.1.2:8080 masquerade, 10.1.2.2:8080 masquerade, 10.1.3.2:8080 masquerade"},
		{"node-port", node, "127.0.0.1:30000", "untouched"},
		{"node-port", client, "192.168.0.9:30000", "untouched"},
		// A ClusterIP whose port is somebody's node port keeps its own masquerade class.
		{"node-port", pod, "10.96.0.2:30000", "10.1.4.2:30000"},
		// No endpoints.
		{"no-endpoints", client, "10.96.0.1:80", "REJECT"},
		{"no-endpoints", client, "192.168.0.1:30001", "REJECT"},
		{"no-endpoints", node, "192.168.0.1:30001", "REJECT"},
		{"no-endpoints", node, "127.0.0.1:30001", "untouched"},
		{"no-endpoints", client, "10.96.0.3:80", "10.1.2.2:8080 masquerade"},
		// Traffic policy Local: from outside only the node's own endpoints and the source kept; from pods and the node all.
		{"local-policy", client, "203.0.113.5:80", "10.1.1.2:8080"},
		{"local-policy", client, "203.0.113.6:80", "untouched"},
		{"local-policy", "10.1.9.9:40000", "203.0.113.5:80", "10.1.1.2:8080, 10.1.2.2:8080, 10.1.3.2:8080"},
		{"local-policy", node, "203.0.113.5:80", "10.1.1.2:8080 masquerade, 10.1.2.2:8080 masquerade, 10.1.3.2:8080 masquerade"},
		{"local-policy", client, "192.168.0.1:30002", "DROP"},
		{"local-policy", pod, "192.168.0.1:30002", "10.1.2.2:8080"},
		{"local-policy", node, "192.168.0.1:30002", "10.1.2.2:8080 masquerade"},
		{"local-policy", client, "10.96.0.3:80", "10.1.1.2:8080 masquerade"},
		{"local-policy", pod, "10.96.0.4:80", "DROP"},
		// Source ranges.
		{"source-ranges", "198.51.100.7:40000", "203.0.113.5:80", "10.1.1.2:8080 masquerade"},
		{"source-ranges", "198.51.101.7:40000", "203.0.113.5:80", "DROP"},
		{"source-ranges", "192.0.2.7:40000", "203.0.113.5:80", "10.1.1.2:8080 masquerade"},
		{"source-ranges", client, "10.96.0.1:80", "10.1.1.2:8080 masquerade"},
		{"source-ranges", "[2001:db8:9::1]:40000", "[2001:db8::5]:80", "[fd00:10:1:1::2]:8080 masquerade"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%s-%s", c.manifest, c.from, c.to), func(t *testing.T) {
			r, err := trace.Walk(compile(t, golden(t, c.manifest)), host,
				trace.Packet{Source: port(c.from), Dest: port(c.to), Proto: graph.TCP})
			if err != nil {
				t.Fatal(err)
			}
			if got := summary(r); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			sum := 0.0
			for _, o := range r.Outcomes {
				sum += o.Probability
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Errorf("the probabilities add up to %v", sum)
			}
		})
	}
}

// The shares are even, but for the chance that every try misses, which is all slot 0's.
func TestShares(t *testing.T) {
	rs := compile(t, golden(t, "many-endpoints"))
	r, err := trace.Walk(rs, host, trace.Packet{Source: port(client), Dest: port("10.96.0.1:80"), Proto: graph.TCP})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Outcomes) != 17 {
		t.Fatalf("%d endpoints, want 17", len(r.Outcomes))
	}
	allMiss := math.Pow(15.0/32, 18)
	even, first := (1-allMiss)/17, 0
	for _, o := range r.Outcomes {
		switch {
		case math.Abs(o.Probability-even) < 1e-15:
		case math.Abs(o.Probability-even-allMiss) < 1e-15:
			first++
		default:
			t.Errorf("%s: probability %v, want %v, and %v more for one", o.Dest, o.Probability, even, allMiss)
		}
	}
	if first != 1 {
		t.Errorf("%d endpoints are in slot 0", first)
	}
}

// Everything that decided is in the steps, with the line behind it.
func TestSteps(t *testing.T) {
	rs := compile(t, golden(t, "masquerade-all"))
	r, err := trace.Walk(rs, host, trace.Packet{Source: port(client), Dest: port("10.96.0.11:80"), Proto: graph.TCP})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range r.Outcomes[0].Steps {
		line := fmt.Sprintf("%s %s", s.Hook, s.Chain.Name)
		if s.Found != nil {
			line += fmt.Sprintf(" @%s line %d", s.Set.Name, s.Found.Pos.Line)
		}
		got = append(got, line)
	}
	want := []string{
		"prerouting filter-prerouting",
		"prerouting nat-prerouting",
		"prerouting dispatch @services line 7",
		"prerouting random-1 @endpoints line 14",
		"forward filter-forward",
		"postrouting nat-postrouting",
		"postrouting translated",
		"postrouting translated @masquerade-services line 7",
		"postrouting masquerade-off-cluster",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
