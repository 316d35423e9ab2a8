package beside

import (
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/internal/netlab"
)

// letThrough is the remedy of docs/beside.md.
const letThrough = `[Service]
ExecStartPost=/bin/sh -c 'iptables -w -C DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT 2>/dev/null || iptables -w -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT'
`

// manifest of a service that leads to a container.
const boxManifest = `apiVersion: v1
kind: Service
metadata: {name: box}
spec:
  clusterIP: 10.96.0.3
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: box-4, labels: {kubernetes.io/service-name: box}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [172.17.0.2]}]
`

// docker has the forward chain drop where it finds forwarding switched off as it starts, and no service that leads off the
// node works from outside. What DOCKER-USER accepts works, before and after docker restarts.
func TestDocker(t *testing.T) {
	t.Parallel()
	h := newHost(t, "docker")
	h.write("/etc/docker/daemon.json", `{"storage-driver": "vfs"}`)
	h.write("/root/box.yaml", boxManifest)
	h.boot()
	h.apply()
	h.works("before")
	// A machine of internal/bootlab can't change the kernel's settings, and docker has to.
	h.run("sh", "-c", "mkdir /run/proc && mount -t proc proc /run/proc && mount --bind /run/proc/sys/net /proc/sys/net")

	conn := h.connect(local4)
	// Forwarding is on, and docker leaves the forward chain as it is.
	h.run("systemctl", "start", "docker.service")
	h.works("forwarding was on")
	h.verifies("forwarding was on")

	// Something that is connected as a container is.
	gateway, inside := netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("172.17.0.2")
	box, err := h.lab.Attach(t.Context(), netlab.Host{Name: "box", Addrs: []netip.Addr{inside}, Gateways: []netip.Addr{gateway}})
	if err != nil {
		t.Fatal(err)
	}
	h.run("ip", "address", "flush", "dev", "box", "scope", "global")
	h.run("ip", "link", "set", "box", "master", "docker0")
	h.serve(box, direct(box))
	h.run("svcctl", "apply", "-f", "/root/services.yaml", "-f", "/root/box.yaml")
	boxed := netip.MustParseAddrPort("10.96.0.3:80")
	h.leads("in a container", box, map[netip.AddrPort]string{web4: "pod-1", nodePort4: "pod-1", local4: "node"})
	// Through its own service back to itself a packet has to leave the bridge by the port that it came in by.
	h.leads("no hairpin", box, map[netip.AddrPort]string{boxed: "silent"})
	h.run("bridge", "link", "set", "dev", "box", "hairpin", "on")
	h.leads("hairpin", box, map[netip.AddrPort]string{boxed: "box"})
	h.leads("forwarding was on", h.lab.Client, map[netip.AddrPort]string{boxed: "box"})

	// As after a boot without it.
	h.run("systemctl", "stop", "docker.service", "docker.socket")
	h.run("sysctl", "--write", "net.ipv4.ip_forward=0")
	h.run("systemctl", "start", "docker.service")
	conn.goesOn(t, "docker switched forwarding on")
	h.leads("docker switched forwarding on", h.lab.Client, map[netip.AddrPort]string{
		web4: "silent", nodePort4: "silent", boxed: "silent", web6: "pod-1", local4: "node",
	})
	h.leads("docker switched forwarding on", h.lab.Node, map[netip.AddrPort]string{web4: "pod-1", nodePort4: "pod-1", boxed: "box"})
	h.leads("docker switched forwarding on", box, map[netip.AddrPort]string{web4: "pod-1", nodePort4: "pod-1"})
	h.verifies("docker switched forwarding on")

	h.write("/etc/systemd/system/docker.service.d/svcctl.conf", letThrough)
	h.run("systemctl", "daemon-reload")
	h.run("systemctl", "restart", "docker.service")
	forwarded := h.connect(web4)
	for _, when := range []string{"let through", "let through, restarted"} {
		h.run("systemctl", "restart", "docker.service")
		h.works(when)
		conn.goesOn(t, when)
		forwarded.goesOn(t, when)
		h.verifies(when)
		h.leads(when, h.lab.Client, map[netip.AddrPort]string{
			boxed: "box", direct(h.lab.Pods[0]): "silent", direct(box): "silent",
		})
		h.leads(when, box, map[netip.AddrPort]string{web4: "pod-1", nodePort4: "pod-1", boxed: "box", direct(h.lab.Pods[0]): "pod-1"})
	}

	// A published port, as docker has it, of the number of a node port.
	h.run("iptables", "-t", "nat", "-A", "DOCKER", "!", "-i", "docker0", "-p", "tcp", "--dport", "30080",
		"-j", "DNAT", "--to-destination", "172.17.0.2:8080")
	h.leads("published, docker's chains are newer", h.lab.Client, map[netip.AddrPort]string{nodePort4: "box", web4: "pod-1"})
	h.deletes()
	h.apply()
	h.leads("published, svcctl's chains are newer", h.lab.Client, map[netip.AddrPort]string{nodePort4: "pod-1", web4: "pod-1"})
}
