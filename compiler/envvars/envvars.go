// Package envvars takes the Services of a [resolve.Model] and gives the environment variables by which the kubelet tells
// a container of them. It may assume what resolve promises: Services are valid, and sorted by namespace and name. It is
// pure, and the same Services give the same variables in the same order.
//
// What each variable is called and holds is the kubelet's (pkg/kubelet/envvars). Its order, and which of two Services has
// a variable that both define, are random there; here the Services are in the order of their names, and the later has it.
package envvars

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Variable is an environment variable.
type Variable struct {
	Name, Value string
	Service     diag.Object // that defines it
}

// Collision is a variable that a Service defines and another has. With three of them there are two collisions.
type Collision struct {
	Name          string
	Loser, Winner diag.Object
}

// Options say whose environment it is.
type Options struct {
	Namespace string // of the Pod
	// ServiceLinks is the Pod's enableServiceLinks: with the Services of its namespace. Without them there is only the
	// API server's.
	ServiceLinks bool
}

// apiServer is the Service that every container is told of: "kubernetes" in the namespace default, unless the Pod's own
// namespace has one of that name.
const apiServer = "kubernetes"

// Of gives the variables that containers of a Pod get for the Services, and which of them are defined twice.
func Of(services []*resolve.Service, opts Options) ([]Variable, []Collision) {
	var all []Variable
	for _, s := range visible(services, opts) {
		all = append(all, variables(s)...)
	}
	last := make(map[string]int, len(all))
	var collisions []Collision
	for i := range all {
		v := &all[i]
		if before, ok := last[v.Name]; ok {
			collisions = append(collisions, Collision{Name: v.Name, Loser: all[before].Service})
		}
		last[v.Name] = i
	}
	for i := range collisions {
		collisions[i].Winner = all[last[collisions[i].Name]].Service
	}
	out := all[:0]
	for i, v := range all {
		if last[v.Name] == i {
			out = append(out, v)
		}
	}
	return out, collisions
}

// visible gives the Services that a Pod is told of, by name. One without a cluster IP, as headless and ExternalName ones,
// has nothing to tell.
func visible(services []*resolve.Service, opts Options) []*resolve.Service {
	var out []*resolve.Service
	own := func(s *resolve.Service) bool { return opts.ServiceLinks && s.Ref.Namespace == opts.Namespace }
	master := func(s *resolve.Service) bool {
		return s.Ref.Namespace == metav1.NamespaceDefault && s.Ref.Name == apiServer
	}
	hasAddress := func(s *resolve.Service) bool {
		return s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone && len(s.Spec.Ports) > 0
	}
	for _, s := range services {
		if hasAddress(s) && (own(s) || master(s)) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b *resolve.Service) int { return strings.Compare(a.Ref.Name, b.Ref.Name) })
	// Where both are there, the own one counts; in the namespace default there is only one.
	return slices.DeleteFunc(out, func(s *resolve.Service) bool {
		return master(s) && slices.ContainsFunc(out, func(o *resolve.Service) bool {
			return o != s && o.Ref.Name == apiServer
		})
	})
}

// variables gives those of one Service: the address and the ports by number and name, and then what Docker's links once
// made for the same. What is not said of a port is said of the first.
func variables(s *resolve.Service) []Variable {
	var out []Variable
	prefix, host := fold(s.Ref.Name), s.Spec.ClusterIP
	add := func(name, value string) { out = append(out, Variable{prefix + name, value, s.Ref}) }
	ports := s.Spec.Ports
	add("_SERVICE_HOST", host)
	add("_SERVICE_PORT", number(&ports[0]))
	for i := range ports {
		if p := &ports[i]; p.Name != "" {
			add("_SERVICE_PORT_"+fold(p.Name), number(p))
		}
	}
	for i := range ports {
		p := &ports[i]
		protocol := string(cmp.Or(p.Protocol, corev1.ProtocolTCP))
		url := strings.ToLower(protocol) + "://" + bracketed(host) + ":" + number(p)
		if i == 0 {
			add("_PORT", url)
		}
		name := "_PORT_" + number(p) + "_" + protocol
		add(name, url)
		add(name+"_PROTO", strings.ToLower(protocol))
		add(name+"_PORT", number(p))
		add(name+"_ADDR", host)
	}
	return out
}

// bracketed gives an address as it is in URLs.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func number(p *corev1.ServicePort) string { return strconv.Itoa(int(p.Port)) }

// fold makes a name into a part of a variable's.
func fold(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
