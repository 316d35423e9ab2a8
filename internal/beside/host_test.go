package beside

import (
	"errors"
	"fmt"
	"io/fs"
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

const (
	// archives is where .ci/neighbours puts them.
	archives = "../../.cache/neighbours"
	// patience is how long something may take that others do by themselves.
	patience = 20 * time.Second
	// silence is how long to wait before a packet that should be dropped counts as dropped.
	silence = 400 * time.Millisecond
)

// build makes the program, once for all tests.
var build = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "svcctl-beside-")
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

// host is a machine with svcctl and one of the others on it, in the middle of a network with two pods.
type host struct {
	*bootlab.Machine
	t   *testing.T
	lab *netlab.Lab
}

// newHost makes one that is not booted yet. The name is that of an archive; "" for none.
func newHost(t *testing.T, neighbour string) *host {
	t.Helper()
	if testing.Short() {
		t.Skip("boots systemd: not in short mode")
	}
	h := &host{Machine: bootlab.Start(t), t: t}
	if neighbour != "" {
		h.unpack(neighbour)
	}
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	h.write("/usr/bin/svcctl", string(program))
	if err := os.Chmod(h.Path("/usr/bin/svcctl"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.write("/etc/svcctl/config.yaml", "nodeName: node-1\nclusterCIDRs: [10.1.0.0/16, 'fd00:10:1::/48']\n")
	h.write("/root/services.yaml", manifests)
	h.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 machine\n::1 machine\n") // nobody is to wait for DNS
	return h
}

// settings are directories whose content the machine that runs the tests may have of its own.
var settings = []string{
	"/etc/docker", "/etc/fail2ban", "/etc/firewalld", "/etc/NetworkManager", "/etc/ufw", "/etc/default/docker", "/etc/default/ufw",
	"/etc/nftables.conf", "/var/lib/docker", "/var/lib/containerd", "/var/lib/fail2ban", "/var/lib/NetworkManager",
}

// unpack puts a program into the machine, as its packages bring it and before anybody configured it.
func (h *host) unpack(name string) {
	h.t.Helper()
	archive := filepath.Join(archives, name+".tar")
	if why, err := os.ReadFile(filepath.Join(archives, name+".missing")); err == nil {
		h.t.Skipf("%s", why)
	}
	if _, err := os.Stat(archive); errors.Is(err, fs.ErrNotExist) {
		if os.Getenv(netlab.RequireEnv) == "1" {
			h.t.Fatalf("%v: .ci/neighbours, which `make deps` calls as root, makes it", err)
		}
		h.t.Skipf("%s is not there to be tested: `make deps` as root, on Debian, gets it: %v", name, err)
	}
	for _, file := range settings {
		if err := os.RemoveAll(h.Path(file)); err != nil {
			h.t.Fatal(err)
		}
	}
	// Debian's directories of the root are links into /usr by now.
	cmd := exec.Command("tar", "-C", h.Path("/"), "--keep-directory-symlink", "-xf", archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("unpacking %s: %v: %s", archive, err, out)
	}
	// What the scripts of packages do.
	for _, command := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		h.link("xtables-nft-multi", "/usr/sbin/"+command)
	}
	h.account("messagebus", 990)
	h.account("docker", 991)
	// internal/bootlab leaves it out, for it takes time.
	for _, unit := range []string{"dbus.service", "dbus.socket"} {
		if err := os.Remove(h.Path("/etc/systemd/system/" + unit)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) link(to, file string) {
	h.t.Helper()
	if err := os.RemoveAll(h.Path(file)); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Symlink(to, h.Path(file)); err != nil {
		h.t.Fatal(err)
	}
}

// account makes a user and a group where there are none.
func (h *host) account(name string, id int) {
	h.t.Helper()
	for file, line := range map[string]string{
		"/etc/passwd": fmt.Sprintf("%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", name, id, id),
		"/etc/group":  fmt.Sprintf("%s:x:%d:\n", name, id),
	} {
		data, err := os.ReadFile(h.Path(file))
		if err != nil {
			h.t.Fatal(err)
		}
		if !strings.Contains("\n"+string(data), "\n"+name+":") {
			h.write(file, string(data)+line)
		}
	}
}

// boot builds the network and boots the machine in it. What is called an endpoint listens on port 8080: each pod, and the
// node itself.
func (h *host) boot() {
	h.t.Helper()
	h.lab = netlab.Start(h.t, netlab.Options{Pods: 2})
	for _, ns := range append([]*netlab.Namespace{h.lab.Node}, h.lab.Pods...) {
		h.serve(ns, direct(ns))
		h.serve(ns, direct6(ns))
	}
	h.MustBoot(h.t, bootlab.Options{Network: h.lab.Node.Path()})
}

func (h *host) serve(ns *netlab.Namespace, at netip.AddrPort) {
	h.t.Helper()
	if err := ns.Serve(h.t.Context(), netlab.TCP, at); err != nil {
		h.t.Fatal(err)
	}
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
	return h.feed("", command...)
}

// feed is run with a standard input.
func (h *host) feed(stdin string, command ...string) string {
	h.t.Helper()
	out, err := h.Run(h.t.Context(), stdin, command[0], command[1:]...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// until waits for something that happens by itself.
func (h *host) until(what string, met func() bool) {
	h.t.Helper()
	patiently := func() bool {
		ok := met()
		if !ok {
			time.Sleep(50 * time.Millisecond) // asking takes processes, and the machine is to get on with its work
		}
		return ok
	}
	if err := netlab.Until(h.t.Context(), patience, patiently); err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
}

// apply applies the services of all tests.
func (h *host) apply() {
	h.t.Helper()
	h.run("svcctl", "apply", "-f", "/root/services.yaml")
}

// Where the services of all tests are.
var (
	web4      = netip.MustParseAddrPort("10.96.0.1:80") // leads to pod-1
	web6      = netip.MustParseAddrPort("[fd00:10:96::1]:80")
	local4    = netip.MustParseAddrPort("10.96.0.2:80") // leads to the node itself
	local6    = netip.MustParseAddrPort("[fd00:10:96::2]:80")
	nodePort4 = netip.AddrPortFrom(netlab.NodeAddr4, 30080) // leads to pod-1
	nodePort6 = netip.AddrPortFrom(netlab.NodeAddr6, 30080)
)

// manifests are the services of all tests.
const manifests = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1, 'fd00:10:96::1']
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  ports: [{port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [10.1.1.2]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: "", port: 8080}]
endpoints: [{addresses: ['fd00:10:1:1::2']}]
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec:
  clusterIP: 10.96.0.2
  clusterIPs: [10.96.0.2, 'fd00:10:96::2']
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: local-4, labels: {kubernetes.io/service-name: local}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [192.168.0.1]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: local-6, labels: {kubernetes.io/service-name: local}}
addressType: IPv6
ports: [{name: "", port: 8080}]
endpoints: [{addresses: ['fd00:c0::1']}]
`

// asks gives the name of the endpoint that answers, or what else comes of it. What is expected is not waited for where it is
// silence.
func (h *host) asks(from *netlab.Namespace, source netip.Addr, to netip.AddrPort, expected string) string {
	h.t.Helper()
	r := netlab.Request{Protocol: netlab.TCP, To: to, From: source}
	if expected == netlab.Silent.String() {
		r.Patience = silence
	}
	a := from.Ask(h.t.Context(), r)
	if a.Outcome == netlab.Answered {
		return a.Endpoint
	}
	return a.Outcome.String()
}

// works fails the test where a service does not lead every client to its endpoint: the client outside, a pod, and the node.
func (h *host) works(when string) {
	h.t.Helper()
	for _, from := range []*netlab.Namespace{h.lab.Client, h.lab.Pods[1], h.lab.Node} {
		h.leads(when, from, map[netip.AddrPort]string{
			web4: "pod-1", web6: "pod-1", nodePort4: "pod-1", nodePort6: "pod-1", local4: "node", local6: "node",
		})
	}
}

// leads fails the test where an address does not lead to what answers there, or to what else should come of it.
func (h *host) leads(when string, from *netlab.Namespace, want map[netip.AddrPort]string) {
	h.t.Helper()
	h.leadsAs(when, from, netip.Addr{}, want)
}

// leadsAs is leads from one of the source addresses that a client has.
func (h *host) leadsAs(when string, from *netlab.Namespace, source netip.Addr, want map[netip.AddrPort]string) {
	h.t.Helper()
	who := from.Name
	if source.IsValid() {
		who += " as " + source.String()
	}
	var wait sync.WaitGroup
	for to, endpoint := range want {
		wait.Go(func() {
			if got := h.asks(from, source, to, endpoint); got != endpoint {
				h.t.Errorf("%s: %s leads %s to %s, want %s", when, to, who, got, endpoint)
			}
		})
	}
	wait.Wait()
}

// direct is where an endpoint listens: what is sent there is no business of svcctl's.
func direct(ns *netlab.Namespace) netip.AddrPort { return netip.AddrPortFrom(ns.Addr4, 8080) }

// direct6 is the same for IPv6.
func direct6(ns *netlab.Namespace) netip.AddrPort { return netip.AddrPortFrom(ns.Addr6, 8080) }

// verifies fails the test where svcctl finds its rules changed by others.
func (h *host) verifies(when string) {
	h.t.Helper()
	if out, err := h.Run(h.t.Context(), "", "svcctl", "verify"); err != nil {
		h.t.Errorf("%s: %v\n%s", when, err, out)
	}
}

// blocks has rules of our own drop a source before anything is translated: the one place where the address that was asked for
// is still to be seen, and which other programs' rules leave alone.
func (h *host) blocks(source netip.Addr) {
	h.t.Helper()
	h.feed("table inet guard { chain prerouting { type filter hook prerouting priority mangle; ip saddr "+source.String()+" drop; }; }",
		"nft", "-f", "-")
}

// others gives the rules that are not svcctl's, without what counters counted.
func (h *host) others() string {
	h.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(h.run("nft", "list", "tables")) {
		if table := strings.Fields(line); !strings.HasPrefix(table[2], "svcctl") {
			b.WriteString(h.run("nft", "-s", "list", "table", table[1], table[2]))
		}
	}
	if b.Len() == 0 {
		h.t.Fatal("nobody else has rules, so that nothing can be said of them")
	}
	return b.String()
}

// deletes has svcctl take everything away, and fails the test where that changes the rules of others, or leaves any of its own.
func (h *host) deletes() {
	h.t.Helper()
	before := h.others()
	h.run("svcctl", "delete", "--all")
	if after := h.others(); after != before {
		h.t.Errorf("with svcctl's rules, those of others were\n%s\nand without\n%s", before, after)
	}
	if got := h.run("nft", "list", "tables"); strings.Contains(got, "svcctl") {
		h.t.Errorf("deleted, and there is\n%s", got)
	}
}
