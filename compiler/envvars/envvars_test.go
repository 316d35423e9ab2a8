package envvars

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// services resolves the Services of a manifest.
func services(t testing.TB, docs ...string) []*resolve.Service {
	t.Helper()
	text := strings.Join(docs, "\n---\n")
	b, found := manifest.Decode([]manifest.Source{{Name: "in.yaml", Data: []byte(text)}}, manifest.Options{})
	m, more := resolve.Resolve(b, resolve.Config{NodeName: "node-1"})
	if err := append(found, more...).Err(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m.Services
}

func svc(namespace, name, spec string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: " + spec + "\n"
}

func assignments(vars []Variable) []string {
	var out []string
	for _, v := range vars {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}

func same(t testing.TB, want string, got []string) {
	t.Helper()
	if d := cmp.Diff(strings.Fields(want), got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestOneService(t *testing.T) {
	in := services(t, svc("demo", "nginx-prod-svc-demo", "{clusterIP: 10.111.193.186, ports: [{name: http, port: 80}]}"))
	vars, collisions := Of(in, Options{Namespace: "demo", ServiceLinks: true})
	same(t, `
		NGINX_PROD_SVC_DEMO_SERVICE_HOST=10.111.193.186
		NGINX_PROD_SVC_DEMO_SERVICE_PORT=80
		NGINX_PROD_SVC_DEMO_SERVICE_PORT_HTTP=80
		NGINX_PROD_SVC_DEMO_PORT=tcp://10.111.193.186:80
		NGINX_PROD_SVC_DEMO_PORT_80_TCP=tcp://10.111.193.186:80
		NGINX_PROD_SVC_DEMO_PORT_80_TCP_PROTO=tcp
		NGINX_PROD_SVC_DEMO_PORT_80_TCP_PORT=80
		NGINX_PROD_SVC_DEMO_PORT_80_TCP_ADDR=10.111.193.186`, assignments(vars))
	if len(collisions) > 0 {
		t.Error(collisions)
	}
}

// TestPorts: the first port is the one of the short names, whatever its protocol, and only the first family is there.
func TestPorts(t *testing.T) {
	in := services(t, svc("demo", "dns", `{clusterIPs: ["fd00:10:96::a", 10.96.0.10], clusterIP: "fd00:10:96::a",
  ipFamilyPolicy: RequireDualStack, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}`))
	vars, _ := Of(in, Options{Namespace: "demo", ServiceLinks: true})
	same(t, `
		DNS_SERVICE_HOST=fd00:10:96::a
		DNS_SERVICE_PORT=53
		DNS_SERVICE_PORT_DNS=53
		DNS_SERVICE_PORT_DNS_TCP=53
		DNS_PORT=udp://[fd00:10:96::a]:53
		DNS_PORT_53_UDP=udp://[fd00:10:96::a]:53
		DNS_PORT_53_UDP_PROTO=udp
		DNS_PORT_53_UDP_PORT=53
		DNS_PORT_53_UDP_ADDR=fd00:10:96::a
		DNS_PORT_53_TCP=tcp://[fd00:10:96::a]:53
		DNS_PORT_53_TCP_PROTO=tcp
		DNS_PORT_53_TCP_PORT=53
		DNS_PORT_53_TCP_ADDR=fd00:10:96::a`, assignments(vars))
}

// hosts gives which Services there are variables of.
func hosts(in []*resolve.Service, opts Options) []string {
	vars, _ := Of(in, opts)
	var out []string
	for _, v := range vars {
		if strings.HasSuffix(v.Name, "_SERVICE_HOST") {
			out = append(out, v.Service.Namespace+"/"+v.Service.Name)
		}
	}
	return out
}

func TestWhichServices(t *testing.T) {
	in := services(t,
		svc("default", "kubernetes", "{clusterIP: 10.96.0.1, ports: [{port: 443}]}"),
		svc("default", "other", "{clusterIP: 10.96.0.2, ports: [{port: 80}]}"),
		svc("demo", "web", "{clusterIP: 10.96.0.3, ports: [{port: 80}]}"),
		svc("demo", "node-port", "{type: NodePort, clusterIP: 10.96.0.4, ports: [{port: 80, nodePort: 30080}]}"),
		svc("demo", "headless", "{clusterIP: None, ports: [{port: 80}]}"),
		svc("demo", "alias", "{type: ExternalName, externalName: example.com}"),
		svc("kube", "kubernetes", "{clusterIP: 10.96.0.5, ports: [{port: 443}]}"),
	)
	for _, c := range []struct {
		namespace string
		links     bool
		want      string
	}{
		{"demo", true, "default/kubernetes demo/node-port demo/web"},
		{"demo", false, "default/kubernetes"},
		{"default", true, "default/kubernetes default/other"},
		{"default", false, "default/kubernetes"},
		{"nobody", true, "default/kubernetes"},
		{"kube", true, "kube/kubernetes"}, // the own one hides the API server
		{"kube", false, "default/kubernetes"},
	} {
		same(t, c.want, hosts(in, Options{c.namespace, c.links}))
	}
}

// TestCollisions: both ways in which two Services come to one name. The later in the order of names has it, and it is
// there once.
func TestCollisions(t *testing.T) {
	in := services(t,
		svc("demo", "foo-service", "{clusterIP: 10.96.0.2, ports: [{port: 80}]}"),
		svc("demo", "foo", "{clusterIP: 10.96.0.1, ports: [{name: 80-tcp, port: 8080}]}"),
	)
	vars, collisions := Of(in, Options{Namespace: "demo", ServiceLinks: true})
	same(t, `
		FOO_SERVICE_HOST=10.96.0.1
		FOO_PORT=tcp://10.96.0.1:8080
		FOO_PORT_8080_TCP=tcp://10.96.0.1:8080
		FOO_PORT_8080_TCP_PROTO=tcp
		FOO_PORT_8080_TCP_PORT=8080
		FOO_PORT_8080_TCP_ADDR=10.96.0.1
		FOO_SERVICE_SERVICE_HOST=10.96.0.2
		FOO_SERVICE_SERVICE_PORT=80
		FOO_SERVICE_PORT=tcp://10.96.0.2:80
		FOO_SERVICE_PORT_80_TCP=tcp://10.96.0.2:80
		FOO_SERVICE_PORT_80_TCP_PROTO=tcp
		FOO_SERVICE_PORT_80_TCP_PORT=80
		FOO_SERVICE_PORT_80_TCP_ADDR=10.96.0.2`, assignments(vars))
	var said []string
	for _, c := range collisions {
		said = append(said, c.Name+":"+c.Loser.Name+":"+c.Winner.Name)
	}
	same(t, "FOO_SERVICE_PORT:foo:foo-service FOO_SERVICE_PORT_80_TCP:foo:foo-service", said)
}
