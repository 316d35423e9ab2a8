package differential

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// nodeName is the node that everything is compiled for.
const nodeName = "node-1"

// scenario is an input of the compiler: a configuration and the objects of manifests.
type scenario struct {
	masqueradeAll, counters                       bool
	clusterCIDRs, serviceCIDRs, nodePortAddresses []string
	zone                                          string

	services  []*corev1.Service
	slices    []*discoveryv1.EndpointSlice
	endpoints []*corev1.Endpoints
	pods      []*corev1.Pod
	nodes     []*corev1.Node
}

// configuration gives the settings as a configuration file has them.
func (sc *scenario) configuration() string {
	var b strings.Builder
	list := func(key string, values []string) {
		fmt.Fprintf(&b, "%s: [\"%s\"]\n", key, strings.Join(values, `", "`))
	}
	fmt.Fprintf(&b, "nodeName: %s\nmasqueradeAll: %v\ncounters: %v\n", nodeName, sc.masqueradeAll, sc.counters)
	if sc.zone != "" {
		fmt.Fprintf(&b, "zone: %s\n", sc.zone)
	}
	list("clusterCIDRs", sc.clusterCIDRs)
	list("serviceCIDRs", sc.serviceCIDRs)
	list("nodePortAddresses", sc.nodePortAddresses)
	return strings.ReplaceAll(b.String(), `[""]`, "[]")
}

// manifests gives the objects as a file of many documents.
func (sc *scenario) manifests() string {
	var docs []string
	add := func(o any) {
		text, err := yaml.Marshal(o)
		if err != nil {
			panic(err)
		}
		docs = append(docs, string(text))
	}
	for _, o := range sc.services {
		add(o)
	}
	for _, o := range sc.slices {
		add(o)
	}
	for _, o := range sc.endpoints {
		add(o)
	}
	for _, o := range sc.pods {
		add(o)
	}
	for _, o := range sc.nodes {
		add(o)
	}
	return strings.Join(docs, "---\n")
}

func (sc *scenario) String() string {
	return "config.yaml:\n" + indent(sc.configuration()) + "\nservices.yaml:\n" + indent(sc.manifests())
}

// compile goes the whole way from text to the rule graph.
func (sc *scenario) compile() (*graph.Ruleset, error) { return sc.compileText(sc.manifests()) }

// compileText is the same for manifests that are text already, with the scenario's configuration.
func (sc *scenario) compileText(manifests string) (*graph.Ruleset, error) {
	source := manifest.Source{Name: "services.yaml", Data: []byte(manifests)}
	bundle, found := manifest.Decode([]manifest.Source{source}, manifest.Options{Strict: true})
	m, more := resolve.Resolve(bundle, resolve.Config{
		NodeName: nodeName, Zone: sc.zone, ServiceCIDRs: prefixes(sc.serviceCIDRs),
	})
	if err := append(found, more...).Err(); err != nil {
		return nil, err
	}
	return compiler.Compile(m, compiler.Config{
		Table: table, AffinityMapSize: 4096, MasqueradeAll: sc.masqueradeAll, Counters: sc.counters,
		ClusterCIDRs: prefixes(sc.clusterCIDRs), ServiceCIDRs: prefixes(sc.serviceCIDRs),
		NodePortAddresses: prefixes(sc.nodePortAddresses),
	})
}

// shortestAffinity gives the shortest time for which a Service remembers its clients, 0 where none does.
func (sc *scenario) shortestAffinity() time.Duration {
	shortest := time.Duration(0)
	for _, s := range sc.services {
		if s.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
			continue
		}
		timeout := time.Hour
		if c := s.Spec.SessionAffinityConfig; c != nil {
			timeout = time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
		}
		shortest = min(cmp.Or(shortest, timeout), timeout)
	}
	return shortest
}

func (sc *scenario) clone() *scenario {
	c := *sc
	c.services = deepCopies(sc.services)
	c.slices = deepCopies(sc.slices)
	c.endpoints = deepCopies(sc.endpoints)
	c.pods = deepCopies(sc.pods)
	c.nodes = deepCopies(sc.nodes)
	return &c
}

func deepCopies[T interface{ DeepCopy() T }](all []T) []T {
	out := make([]T, len(all))
	for i := range all {
		out[i] = all[i].DeepCopy()
	}
	return out
}

func prefixes(text []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range text {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
