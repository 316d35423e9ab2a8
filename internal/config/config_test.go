package config

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/svcctl/svcctl/compiler/resolve"
)

var sameConfig = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

// noEnvironment takes away what the caller's environment may say.
func noEnvironment(t *testing.T) {
	t.Helper()
	for _, s := range settings {
		t.Setenv(Variable(s.key), "")
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func load(t *testing.T, content string, flags *pflag.FlagSet) Config {
	t.Helper()
	c, err := Load(Source{File: write(t, content), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	noEnvironment(t)
	want := Config{
		Table: "svcctl", StateDir: "/var/lib/svcctl", LockWait: 10 * time.Second, LogLevel: "warn", LogFormat: "text", Color: "auto",
		CheckHost:         true,
		ClusterCIDRs:      []netip.Prefix{},
		ServiceCIDRs:      []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")},
		NodePortRange:     resolve.DefaultNodePortRange,
		NodePortAddresses: []netip.Prefix{},
		LoadBalancerCIDRs: []netip.Prefix{},
		AffinityMapSize:   65536,
	}
	for name, content := range map[string]string{
		"empty file": "", "only comments": "# nothing\n", "null": "---\nnull\n", "null value": "zone:\n",
	} {
		if diff := cmp.Diff(want, load(t, content, nil), sameConfig); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestExampleHasEveryKeyAtItsDefault(t *testing.T) {
	noEnvironment(t)
	data, err := os.ReadFile("../../examples/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(load(t, "", nil), load(t, string(data), nil), sameConfig); diff != "" {
		t.Errorf("examples/config.yaml is not the defaults (-defaults +example):\n%s", diff)
	}
	var keys map[string]any
	if err := yaml.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if _, ok := keys[s.key]; !ok {
			t.Errorf("examples/config.yaml does not have the key %s", s.key)
		}
		delete(keys, s.key)
	}
	for k := range keys {
		t.Errorf("examples/config.yaml has the key %s, which is none", k)
	}
}

func TestPrecedence(t *testing.T) {
	noEnvironment(t)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("table", "svcctl", "")
	const content = "table: file\nzone: file\nserviceCIDRs: [10.0.0.0/8]\n"
	if c := load(t, content, flags); c.Table != "file" || c.Zone != "file" || len(c.ServiceCIDRs) != 1 {
		t.Errorf("the file does not come before the defaults: %+v", c)
	}
	t.Setenv("SVCCTL_TABLE", "env")
	t.Setenv("SVCCTL_SERVICE_CIDRS", "10.1.0.0/16, fd00::/64")
	t.Setenv("SVCCTL_MASQUERADE_ALL", "true")
	t.Setenv("SVCCTL_AFFINITY_MAP_SIZE", "7")
	c := load(t, content, flags)
	if c.Table != "env" || c.Zone != "file" || len(c.ServiceCIDRs) != 2 || !c.MasqueradeAll || c.AffinityMapSize != 7 {
		t.Errorf("the environment does not come before the file: %+v", c)
	}
	if err := flags.Parse([]string{"--table", "flag"}); err != nil {
		t.Fatal(err)
	}
	if c := load(t, content, flags); c.Table != "flag" {
		t.Errorf("a flag does not come before the environment: %+v", c)
	}
}

func TestVariable(t *testing.T) {
	for key, want := range map[string]string{
		"clusterCIDRs": "SVCCTL_CLUSTER_CIDRS", "nodePortAddresses": "SVCCTL_NODE_PORT_ADDRESSES",
		"loadBalancerCIDRs": "SVCCTL_LOAD_BALANCER_CIDRS", "zone": "SVCCTL_ZONE",
		"stateDir": "SVCCTL_STATE_DIR",
	} {
		if got := Variable(key); got != want {
			t.Errorf("Variable(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(Source{File: filepath.Join(t.TempDir(), "none.yaml")})
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("got %v; want an error that names the file", err)
	}
}

// Every value that is not usable is named with its place and a reason, all of them at once.
func TestRefused(t *testing.T) {
	noEnvironment(t)
	for _, tc := range []struct {
		name, content string
		want          []string // one per error
	}{
		{"unknown key", "nodename: a\nClusterCIDR: []\n", []string{
			`:1: unknown key "nodename"; did you mean "nodeName"?`,
			`:2: unknown key "ClusterCIDR"; did you mean "clusterCIDRs"?`,
		}},
		{"key twice", "zone: a\nzone: b\n", []string{`:2: the key "zone" is there twice, first on line 1`}},
		{"not a mapping", "- zone\n", []string{":1: the configuration is a mapping"}},
		{"not YAML", "zone: [\n", []string{"line 1"}},
		{"everything wrong", `
clusterCIDRs: 10.1.0.0
serviceCIDRs: [10.96.0.1/12]
nodePortRange: 30000
nodePortAddresses: [1]
nodeName: under_score
zone: "-a"
masqueradeAll: 1
affinityMapSize: 0
counters: 2
table: "a b"
netns: ..
stateDir: ""
lockWait: 10
logLevel: loud
logFormat: xml
color: red
`, []string{
			`:2: clusterCIDRs: "10.1.0.0" is no address range`,
			`:3: serviceCIDRs: "10.96.0.1/12" has bits set beyond the prefix length: 10.96.0.0/12`,
			`:4: nodePortRange: "30000" is no range of ports`,
			`:5: nodePortAddresses: must be a list of address ranges, and 1 is none`,
			`:6: nodeName: "under_score" is no node name`,
			`:7: zone: "-a" is no zone`,
			`:8: masqueradeAll: must be true or false, not "1"`,
			`:9: affinityMapSize: must be a number`,
			`:10: counters: must be true or false, not "2"`,
			`:11: table: "a b" is no table name`,
			`:12: netns: ".." is neither`,
			`:13: stateDir: must not be empty`,
			`:14: lockWait: must be a time from 0s to 1h, such as 10s, not "10"`,
			`:15: logLevel: "loud" is none of debug, info, warn, error`,
			`:16: logFormat: "xml" is none of text, json`,
			`:17: color: "red" is none of auto, always, never`,
		}},
		{"numbers as names", "nodeName: 010\n", []string{`:1: nodeName: must be text, not 8; put it in quotes`}},
		{"a mapping as a list", "clusterCIDRs: {a: b}\n", []string{`:1: clusterCIDRs: must be a list`}},
		{"IPv4 in IPv6", `clusterCIDRs: ["::ffff:10.0.0.0/104"]`, []string{`write it as IPv4`}},
		{"ports backwards", "nodePortRange: 40-30\n", []string{`"40-30" is no range`}},
		{"port 0", "nodePortRange: 0-30\n", []string{`"0-30" is no range`}},
		{"too many clients", "affinityMapSize: 4294967296\n", []string{`from 1 to 4294967295`}},
		{"a word of nft", "table: masquerade\n", []string{`it is a word of nft's own`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := write(t, tc.content)
			_, err := Load(Source{File: name})
			if err == nil {
				t.Fatal("it was accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tc.want) {
				t.Errorf("got %d errors, want %d:\n%v", len(lines), len(tc.want), err)
			}
			for i, want := range tc.want {
				if i < len(lines) && (!strings.Contains(lines[i], want) || !strings.HasPrefix(lines[i], name)) {
					t.Errorf("error %d is %q; want the file's name and %q", i, lines[i], want)
				}
			}
		})
	}
}

func TestRefusedNamesItsOrigin(t *testing.T) {
	noEnvironment(t)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("table", "svcctl", "")
	t.Setenv("SVCCTL_COLOR", "red")
	if err := flags.Parse([]string{"--table", "9"}); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Source{File: write(t, ""), Flags: flags})
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{"--table: ", "SVCCTL_COLOR: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
}

// nft itself is the judge of which names it takes: it must take all that are accepted here, of those that it may know.
func TestTableNamesThatNftTakes(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs nft: ", err)
	}
	if out, err := exec.Command("unshare", "-rn", nft, "-c", "add table ip svcctl").CombinedOutput(); err != nil {
		t.Skipf("needs a network namespace of its own: %v: %s", err, out)
	}
	for _, name := range []string{
		"svcctl", "a", "Table", "a-b_c-9", "services", "endpoints", "table1", "ipv4", "tcp-services",
		"jump", "masquerade", "fwd", "ip6", "typeof", strings.Repeat("x", 63),
	} {
		accepted := tableName(name) == nil
		out, err := exec.Command("unshare", "-rn", nft, "-c", "add table ip "+name).CombinedOutput()
		if accepted != (err == nil) {
			t.Errorf("%q: accepted here: %v; nft says %v %s", name, accepted, err, out)
		}
	}
	if !slices.IsSorted(nftWords) {
		t.Error("nftWords are not sorted")
	}
}

func TestDigest(t *testing.T) {
	noEnvironment(t)
	base := load(t, "", nil)
	for content, same := range map[string]bool{
		"logLevel: debug\ncolor: never\nlogFormat: json\nstateDir: /x\nnetns: a\n": true,
		"table: other\n":                    false,
		"clusterCIDRs: [10.1.0.0/16]\n":     false,
		"serviceCIDRs: []\n":                false,
		"nodePortRange: 1-2\n":              false,
		"nodePortAddresses: [10.0.0.0/8]\n": false,
		"loadBalancerCIDRs: [10.0.0.0/8]\n": false,
		"nodeName: a\n":                     false,
		"zone: a\n":                         false,
		"masqueradeAll: true\n":             false,
		"affinityMapSize: 1\n":              false,
		"counters: true\n":                  false,
	} {
		if got := load(t, content, nil).Digest() == base.Digest(); got != same {
			t.Errorf("%q: same digest as the defaults: %v, want %v", content, got, same)
		}
	}
}
