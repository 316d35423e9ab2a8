package resolve

import (
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/svcctl/svcctl/compiler/diag"
)

// claims remembers who has what, so that the second to want it can be told of the first. In kube-proxy the winner is
// random, and may change at any time.
type claims struct {
	found      *diag.List
	clusterIPs map[netip.Addr]*resolved
	nodePorts  map[uint16]*resolved
	addresses  map[claim]owner
}

// claim is what a packet is looked up by.
type claim struct {
	addr     netip.Addr
	protocol corev1.Protocol
	port     uint16
}

type owner struct {
	*resolved
	kind AddressKind
}

// checkClaims refuses what two Services claim. The first is the one whose namespace and name come first.
func checkClaims(services []resolved, found *diag.List) {
	c := &claims{
		found:      found,
		clusterIPs: make(map[netip.Addr]*resolved, len(services)),
		nodePorts:  map[uint16]*resolved{},
		addresses:  make(map[claim]owner, len(services)),
	}
	for i := range services {
		svc := &services[i]
		for _, a := range svc.addrs.cluster {
			c.clusterIP(svc, a)
		}
		for _, sp := range svc.ports {
			for i := range sp.Addresses {
				if at := &sp.Addresses[i]; at.Kind == NodePort {
					c.nodePort(svc, at.Port)
				} else {
					c.address(svc, sp, at)
				}
			}
		}
	}
}

// clusterIP claims an address whole: no two Services share a ClusterIP, whatever their ports.
func (c *claims) clusterIP(svc *resolved, a netip.Addr) {
	first, taken := c.clusterIPs[a]
	if !taken {
		c.clusterIPs[a] = svc
		return
	}
	place := svc.addressPath(ClusterIP, a)
	e := field.Invalid(specPath.Child("clusterIPs"), svc.Spec.ClusterIPs,
		"failed to allocate IP "+a.String()+": provided IP is already allocated")
	reportOn(c.found, svc.Object).hinted(place, e, first.by(first.addressPath(ClusterIP, a)))
}

// nodePort claims a node port for all protocols, as the API server's allocator does. The ports of one Service share it.
func (c *claims) nodePort(svc *resolved, port uint16) {
	first, taken := c.nodePorts[port]
	if !taken {
		c.nodePorts[port] = svc
		return
	}
	if first == svc {
		return
	}
	path := portPath(svc.nodePortIndex(port), "nodePort")
	reportOn(c.found, svc.Object).hinted(path.String(), field.Invalid(path, int32(port), "provided port is already allocated"),
		first.by(portPath(first.nodePortIndex(port), "nodePort").String()))
}

func (c *claims) address(svc *resolved, sp *ServicePort, at *Address) {
	k := claim{at.Addr, sp.Protocol, at.Port}
	first, taken := c.addresses[k]
	if !taken {
		c.addresses[k] = owner{svc, at.Kind}
		return
	}
	if first.kind == at.Kind && (first.resolved == svc || at.Kind == ClusterIP) {
		return // one port twice, or one ClusterIP twice: there is an error already
	}
	path := svc.addressPath(at.Kind, at.Addr)
	what := netip.AddrPortFrom(at.Addr, at.Port).String() + "/" + string(sp.Protocol)
	e := field.Invalid(field.NewPath(path), at.Addr.String(),
		what+" is already "+article(first.kind)+" of "+first.Ref.String())
	reportOn(c.found, svc.Object).conflict(e, first.at(first.addressPath(first.kind, at.Addr)))
}

func article(k AddressKind) string {
	if k == ExternalIP {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// at says where a field of the Service is, for hints: "at a.yaml:5:14".
func (svc *resolved) at(path string) string {
	if pos := svc.Object.At(path); !pos.IsZero() {
		return "at " + pos.String()
	}
	return ""
}

// by says whose a field is, for hints: "by service demo/a at a.yaml:5:14".
func (svc *resolved) by(path string) string {
	return strings.TrimSpace("by " + svc.Ref.String() + " " + svc.at(path))
}

// addressPath finds the field that gives an address.
func (svc *resolved) addressPath(kind AddressKind, a netip.Addr) string {
	if kind == ClusterIP {
		for i, s := range svc.Spec.ClusterIPs {
			if b, ok := ParseIP(s); ok && a == b {
				return clusterIPPlace(&svc.Spec, i)
			}
		}
	}
	for i := range svc.addrs.external {
		if e := &svc.addrs.external[i]; e.addr == a {
			return e.path()
		}
	}
	return "spec"
}

// nodePortIndex finds the first port with a node port.
func (svc *resolved) nodePortIndex(port uint16) int {
	for i := range svc.Spec.Ports {
		if svc.Spec.Ports[i].NodePort == int32(port) {
			return i
		}
	}
	panic("resolve: node port " + strconv.Itoa(int(port)) + " of " + svc.Ref.String() + " is in no port")
}
