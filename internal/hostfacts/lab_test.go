package hostfacts

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/preflight"
	"github.com/svcctl/svcctl/nft"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// silence is how long to wait before a packet that should be dropped counts as dropped. The links are virtual: an answer
// takes well under a millisecond.
const silence = 300 * time.Millisecond

const (
	nodePort     = 30080
	endpointPort = 8080
)

var (
	clusterIP = netip.MustParseAddr("10.96.0.1")
	service   = netip.AddrPortFrom(clusterIP, 80)
	atNode    = netip.AddrPortFrom(netlab.NodeAddr4, nodePort)
)

// host is a lab whose node is held against manifests.
type host struct {
	*netlab.Lab
	t     *testing.T
	model *resolve.Model
	ask   preflight.Ask
}

// start builds a lab with two pods, each listening, and a Service "demo/web" that has the first.
func start(t *testing.T, spec ...string) *host {
	t.Helper()
	t.Parallel()
	h := &host{Lab: netlab.Start(t, netlab.Options{Pods: 2}), t: t}
	for _, pod := range h.Pods {
		if err := pod.Serve(t.Context(), netlab.TCP, netip.AddrPortFrom(pod.Addr4, endpointPort)); err != nil {
			t.Fatal(err)
		}
	}
	h.want(h.Pods[0].Addr4.String(), spec...)
	return h
}

// want says what the Service is: its endpoint, and further lines of its spec.
func (h *host) want(endpoint string, spec ...string) {
	h.t.Helper()
	text := fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  type: NodePort
  clusterIP: %s
  ports: [{port: 80, nodePort: %d}]
  %s
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: demo, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: %d}]
endpoints: [{addresses: [%s]}]
`, clusterIP, nodePort, strings.Join(spec, "\n  "), endpointPort, endpoint)
	h.ask = preflight.Ask{
		Given:         true,
		ServiceCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		ClusterCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		NodePortRange: resolve.DefaultNodePortRange,
	}
	bundle, found := manifest.Decode([]manifest.Source{{Name: "web.yaml", Data: []byte(text)}}, manifest.Options{Strict: true})
	if err := found.Err(); err != nil {
		h.t.Fatal(err)
	}
	h.model, found = resolve.Resolve(bundle, resolve.Config{NodeName: "node", ServiceCIDRs: h.ask.ServiceCIDRs})
	if err := found.Err(); err != nil {
		h.t.Fatal(err)
	}
	h.ask.Ports = h.model.ServicePorts
}

// apply puts the Service into the node's kernel.
func (h *host) apply() {
	h.t.Helper()
	desired, err := compiler.Compile(h.model, compiler.Config{
		Table: "svcctl", ServiceCIDRs: h.ask.ServiceCIDRs, ClusterCIDRs: h.ask.ClusterCIDRs, AffinityMapSize: 64,
		MasqueradeAll: h.ask.MasqueradeAll,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	conn, err := nft.Open(h.Node.Path())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	st, err := conn.Read(h.t.Context(), "svcctl")
	if err != nil {
		h.t.Fatal(err)
	}
	if err := conn.Commit(h.t.Context(), plan.Diff(st.Ruleset, desired), st.Generation); err != nil {
		h.t.Fatal(err)
	}
	answer := Program(h.t.Context(), h.Node.Path(), desired)
	if !answer.Known || answer.Value != "" {
		h.t.Errorf("the kernel has taken the ruleset, and is said to refuse it: %+v", answer)
	}
}

// run runs a command of a shell in the node.
func (h *host) run(command string) {
	h.t.Helper()
	if _, err := h.Node.Run(h.t.Context(), "", "sh", "-ec", command); err != nil {
		h.t.Fatal(err)
	}
}

// sysctl changes a setting of the node, "ipv4/ip_forward".
func (h *host) sysctl(name, value string) {
	h.t.Helper()
	if err := h.Node.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) }); err != nil {
		h.t.Fatal(err)
	}
}

// ask sends a request and insists on what becomes of it: who answers, or how it fails.
func (h *host) expect(from *netlab.Namespace, to netip.AddrPort, want string) {
	h.t.Helper()
	a := from.Ask(h.t.Context(), netlab.Request{Protocol: netlab.TCP, To: to, Patience: silence})
	got := a.Outcome.String()
	if a.Outcome == netlab.Answered {
		got = a.Endpoint
	}
	if got != want {
		h.t.Errorf("%s asks %s: %s (%v), want %s", from.Name, to, got, a, want)
	}
}

func (h *host) judge(quick bool) []preflight.Finding {
	h.t.Helper()
	facts, err := Gather(h.t.Context(), Options{Netns: h.Node.Path(), Table: "svcctl", Quick: quick}, &h.ask)
	if err != nil {
		h.t.Fatal(err)
	}
	return preflight.Judge(facts, &h.ask)
}

// finding insists on one finding of a check that is not well, at a level and for the Service, and gives it. Nothing else
// may be a problem.
func (h *host) finding(check preflight.Check, level preflight.Level) preflight.Finding {
	h.t.Helper()
	var found []preflight.Finding
	for _, f := range h.judge(false) {
		if f.Check == check && f.Level != preflight.OK {
			found = append(found, f)
		} else if f.Level == preflight.Problem {
			h.t.Errorf("a problem besides: %+v", f)
		}
	}
	if len(found) != 1 || found[0].Level != level {
		h.t.Fatalf("%s: got %+v, want one %s", check, found, level)
	}
	if got := found[0].Services; !slices.Equal(got, []string{"demo/web"}) {
		h.t.Errorf("%s: for %v, want demo/web", check, got)
	}
	if level == preflight.Problem {
		quick := slices.ContainsFunc(h.judge(true), func(f preflight.Finding) bool { return f.Check == check && f.Level == level })
		if !quick {
			h.t.Errorf("%s: apply does not tell of it", check)
		}
	}
	return found[0]
}

// well insists that a check has looked and found nothing, and that there is no problem at all.
func (h *host) well(check preflight.Check) {
	h.t.Helper()
	looked := false
	for _, f := range h.judge(false) {
		looked = looked || f.Check == check
		if f.Level == preflight.Problem || f.Check == check && f.Answer != preflight.Yes {
			h.t.Errorf("got %+v", f)
		}
	}
	if !looked {
		h.t.Errorf("%s did not look", check)
	}
}
