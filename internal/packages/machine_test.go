package packages

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svcctl/svcctl/internal/bootlab"
	"github.com/svcctl/svcctl/internal/netlab"
)

const (
	manifestFile = "/etc/svcctl/services/web.yaml"
	configFile   = "/etc/svcctl/config.yaml"
	// edited is what the operator makes of the configuration.
	edited = "nodeName: node-1\nclusterCIDRs: [10.1.0.0/16]\n"
)

// service is the address of the one service.
var service = netip.MustParseAddrPort("10.96.0.1:80")

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

// machine is a booted one, in a network with endpoints, to which packages are copied and not yet installed.
type machine struct {
	*bootlab.Machine
	t   *testing.T
	lab *netlab.Lab
}

func bootMachine(t *testing.T) *machine {
	t.Helper()
	older, newer := built(t, older), built(t, newer)
	m := &machine{bootlab.Start(t), t, netlab.Start(t, netlab.Options{Pods: 2})}
	for _, dir := range []string{older, newer} {
		file := debOf(t, dir)
		if err := m.CopyFile(file, "/root/"+filepath.Base(filepath.Dir(dir))+".deb"); err != nil {
			t.Fatal(err)
		}
	}
	for _, pod := range m.lab.Pods {
		if err := pod.Serve(t.Context(), netlab.TCP, netip.AddrPortFrom(pod.Addr4, 8080)); err != nil {
			t.Fatal(err)
		}
	}
	m.MustBoot(t, bootlab.Options{Network: m.lab.Node.Path()})
	// Images of containers have one that forbids packages to start anything, and this machine would be such a copy.
	m.run("rm", "--force", "/usr/sbin/policy-rc.d")
	return m
}

// run runs a command that must succeed, and gives all that it says.
func (m *machine) run(command ...string) string {
	m.t.Helper()
	out, err := m.Run(m.t.Context(), "", "sh", append([]string{"-c", `exec "$@" 2>&1`, "sh"}, command...)...)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// dpkg installs, removes or purges. Nobody is there to answer a question, and the index of manual pages is not made anew.
func (m *machine) dpkg(args ...string) string {
	m.t.Helper()
	out := m.run(append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--no-triggers"}, args...)...)
	m.t.Logf("dpkg %s:\n%s", strings.Join(args, " "), out)
	if got := m.run("systemctl", "list-units", "--failed", "--plain", "--no-legend"); got != "" {
		m.t.Errorf("after dpkg %s failed units: %s", strings.Join(args, " "), got)
	}
	return out
}

func (m *machine) write(file, content string) {
	m.t.Helper()
	if err := m.WriteFile(file, content); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) exists(file string) bool {
	m.t.Helper()
	_, err := m.Run(m.t.Context(), "", "test", "-e", file)
	return err == nil
}

// state gives what systemctl says of a unit: "active", "inactive"; "enabled", "disabled".
func (m *machine) state(question, unit string) string {
	m.t.Helper()
	out, _ := m.Run(m.t.Context(), "", "systemctl", question, unit) // the exit code says it once more
	return strings.TrimSpace(out)
}

func (m *machine) wantState(question, unit, want string) {
	m.t.Helper()
	if got := m.state(question, unit); got != want {
		m.t.Errorf("systemctl %s %s: %q, want %q", question, unit, got, want)
	}
}

// leads gives the endpoint that the service leads a new connection to, or what else comes of it.
func (m *machine) leads(ctx context.Context) string {
	a := m.lab.Client.Ask(ctx, netlab.Request{Protocol: netlab.TCP, To: service})
	if a.Outcome == netlab.Answered {
		return a.Endpoint
	}
	return a.Outcome.String()
}

// becomes waits until the service leads to an endpoint, by itself.
func (m *machine) becomes(endpoint string) {
	m.t.Helper()
	err := netlab.Until(m.t.Context(), 30*time.Second, func() bool {
		ok := m.leads(m.t.Context()) == endpoint
		if !ok {
			time.Sleep(50 * time.Millisecond)
		}
		return ok
	})
	if err != nil {
		m.t.Fatalf("the service does not come to lead to %s: %v", endpoint, err)
	}
	m.settled()
}

// settled waits until nothing is under way that changed files have set off.
func (m *machine) settled() {
	m.t.Helper()
	err := netlab.Until(m.t.Context(), 30*time.Second, func() bool {
		return m.run("systemctl", "list-jobs", "--no-legend", "svcctl*") == "" &&
			m.state("is-active", "svcctl-changed.service") != "activating" && m.state("is-active", "svcctl-reload.service") != "activating"
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// tables gives the tables of svcctl.
func (m *machine) tables() string {
	m.t.Helper()
	return m.run("sh", "-c", "nft list tables | grep svcctl || true")
}

// withTraffic does something while a connection through the service is open and others are made: the open one goes on
// afterwards, and every new one is answered by the endpoint.
func (m *machine) withTraffic(endpoint string, do func()) {
	m.t.Helper()
	conn, err := m.lab.Client.DialContext(m.t.Context(), "tcp", service.String())
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	if _, err := answers.ReadString('\n'); err != nil {
		m.t.Fatalf("the greeting: %v", err)
	}
	echo(m.t, conn, answers, "before")

	ctx, cancel := context.WithCancel(m.t.Context())
	counts := map[string]int{}
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			counts[m.leads(m.t.Context())]++
			time.Sleep(2 * time.Millisecond)
		}
	})
	do()
	cancel()
	asking.Wait()
	if counts[endpoint] < 10 || len(counts) != 1 {
		m.t.Errorf("meanwhile new connections went to %v, and not all to %s", counts, endpoint)
	}
	echo(m.t, conn, answers, "after")
}

func echo(t *testing.T, conn net.Conn, answers *bufio.Reader, word string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(conn, word); err != nil {
		t.Fatalf("the open connection: %v", err)
	}
	if got, err := answers.ReadString('\n'); err != nil || got != word+"\n" {
		t.Fatalf("the open connection answers %q, %v", got, err)
	}
}
