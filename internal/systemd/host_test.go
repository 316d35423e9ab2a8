package systemd

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svcctl/svcctl/internal/bootlab"
	"github.com/svcctl/svcctl/internal/netlab"
)

func TestMain(m *testing.M) {
	os.Exit(bootlab.Main(func() int { return netlab.Main(m.Run) }))
}

// patience is how long something may take that systemd does by itself.
const patience = 20 * time.Second

// build makes the program, once for all tests.
var build = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "svcctl-systemd-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "svcctl")
	cmd := exec.Command("go", "build", "-trimpath", "-o", file, "github.com/svcctl/svcctl/cmd/svcctl")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(file)
})

// host is a machine with svcctl on it, in the middle of a network with endpoints.
type host struct {
	*bootlab.Machine
	t   *testing.T
	lab *netlab.Lab
}

// newHost makes one that is not booted yet.
func newHost(t *testing.T) *host {
	t.Helper()
	if testing.Short() {
		t.Skip("boots systemd: not in short mode")
	}
	h := &host{Machine: bootlab.Start(t), t: t}
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	h.write("/usr/bin/svcctl", string(program))
	if err := os.Chmod(h.Path("/usr/bin/svcctl"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.write("/etc/svcctl/config.yaml", "nodeName: node-1\nclusterCIDRs: [10.1.0.0/16]\n")
	return h
}

// boot boots the machine, and as on any machine no rules are there before. The network stays what it is from one boot to the
// next.
func (h *host) boot() {
	h.t.Helper()
	if h.lab != nil {
		if _, err := h.lab.Node.Run(h.t.Context(), "", "nft", "flush", "ruleset"); err != nil {
			h.t.Fatal(err)
		}
		h.MustBoot(h.t, bootlab.Options{Network: h.lab.Node.Path()})
		return
	}
	h.lab = netlab.Start(h.t, netlab.Options{Pods: 2})
	for _, pod := range h.lab.Pods {
		if err := pod.Serve(h.t.Context(), netlab.TCP, netip.AddrPortFrom(pod.Addr4, 8080)); err != nil {
			h.t.Fatal(err)
		}
	}
	h.MustBoot(h.t, bootlab.Options{Network: h.lab.Node.Path()})
}

func (h *host) write(file, content string) {
	h.t.Helper()
	if err := h.WriteFile(file, content); err != nil {
		h.t.Fatal(err)
	}
}

// run runs a command that must succeed.
func (h *host) run(command ...string) string {
	h.t.Helper()
	out, err := h.Run(h.t.Context(), "", command[0], command[1:]...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// fails runs a command that must not succeed, and gives what it says.
func (h *host) fails(command ...string) string {
	h.t.Helper()
	out, err := h.Run(h.t.Context(), "", command[0], command[1:]...)
	if err == nil {
		h.t.Fatalf("%s succeeds: %s", strings.Join(command, " "), out)
	}
	return err.Error()
}

// journal gives the messages of a unit in this boot.
func (h *host) journal(unit string) string {
	h.t.Helper()
	out, err := h.Journal("--unit=" + unit)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// until waits for something that happens by itself.
func (h *host) until(what string, met func() bool) {
	h.t.Helper()
	// Asking takes processes, and the machine is to get on with its work.
	patiently := func() bool {
		ok := met()
		if !ok {
			time.Sleep(50 * time.Millisecond)
		}
		return ok
	}
	if err := netlab.Until(h.t.Context(), patience, patiently); err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
}

// service is the address of the one service of all tests.
var service = netip.MustParseAddrPort("10.96.0.1:80")

// asks gives the name of the endpoint that answers the client at an address, or what else comes of it.
func (h *host) asks(to netip.AddrPort) string {
	h.t.Helper()
	a := h.lab.Client.Ask(h.t.Context(), netlab.Request{Protocol: netlab.TCP, To: to, Patience: 2 * time.Second})
	if a.Outcome == netlab.Answered {
		return a.Endpoint
	}
	return a.Outcome.String()
}

// leads fails the test where the service does not lead to an endpoint.
func (h *host) leads(endpoint string) {
	h.t.Helper()
	if got := h.asks(service); got != endpoint {
		h.t.Errorf("the service leads to %s, want %s", got, endpoint)
	}
}

// manifests give the service one endpoint: pod-1 or pod-2.
func manifests(pod int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: %s
  ports: [{port: %d}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [10.1.%d.2]}]
`, service.Addr(), service.Port(), pod)
}
