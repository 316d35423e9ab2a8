package config

import (
	"strings"
	"unicode"
)

// setting is one key of the configuration.
type setting struct {
	key  string // in the file
	flag string // on the command line; empty: none
	def  any
	// set checks a value and stores it.
	set func(c *Config, v any) error
}

// settings are all settings, in the order of examples/config.yaml.
var settings = []setting{
	{"clusterCIDRs", "", []string{}, prefixes(func(c *Config) *prefixList { return &c.ClusterCIDRs })},
	{
		// The API server's customary default (kubeadm), and an IPv6 range of the same form.
		"serviceCIDRs", "",
		[]string{"10.96.0.0/12", "fd00:10:96::/112"},
		prefixes(func(c *Config) *prefixList { return &c.ServiceCIDRs }),
	},
	{"nodePortRange", "", "30000-32767", setNodePortRange},
	{"nodePortAddresses", "", []string{}, prefixes(func(c *Config) *prefixList { return &c.NodePortAddresses })},
	{"loadBalancerCIDRs", "", []string{}, prefixes(func(c *Config) *prefixList { return &c.LoadBalancerCIDRs })},
	{"nodeName", "", "", text(func(c *Config) *string { return &c.NodeName }, emptyOr(nodeName))},
	{"zone", "", "", text(func(c *Config) *string { return &c.Zone }, emptyOr(zone))},
	{"masqueradeAll", "", false, truth(func(c *Config) *bool { return &c.MasqueradeAll })},
	{"affinityMapSize", "", 65536, setAffinityMapSize},
	{"counters", "", false, truth(func(c *Config) *bool { return &c.Counters })},
	{"table", "table", "svcctl", text(func(c *Config) *string { return &c.Table }, tableName)},
	{"netns", "netns", "", text(func(c *Config) *string { return &c.Netns }, emptyOr(namespace))},
	{"stateDir", "state-dir", "/var/lib/svcctl", text(func(c *Config) *string { return &c.StateDir }, notEmpty)},
	{"lockWait", "lock-wait", "10s", setLockWait},
	{"logLevel", "log-level", "warn", text(func(c *Config) *string { return &c.LogLevel }, oneOf(LogLevels...))},
	{"logFormat", "log-format", "text", text(func(c *Config) *string { return &c.LogFormat }, oneOf(LogFormats...))},
	{"color", "color", "auto", text(func(c *Config) *string { return &c.Color }, oneOf(Colors...))},
	{"checkHost", "", true, truth(func(c *Config) *bool { return &c.CheckHost })},
}

// The words of the settings that take one of a few.
var (
	LogLevels  = []string{"debug", "info", "warn", "error"}
	LogFormats = []string{"text", "json"}
	Colors     = []string{"auto", "always", "never"}
)

// Default gives a setting's default as text, as a flag's help shows it.
func Default(key string) string {
	for _, s := range settings {
		if s.key == key {
			d, _ := s.def.(string)
			return d
		}
	}
	panic("config: no setting " + key)
}

// Variable gives the environment variable of a key: SVCCTL_CLUSTER_CIDRS for clusterCIDRs.
func Variable(key string) string {
	var b strings.Builder
	b.WriteString("SVCCTL_")
	lower := false
	for _, r := range strings.Replace(key, "CIDRs", "Cidrs", 1) {
		if unicode.IsUpper(r) && lower {
			b.WriteByte('_')
		}
		lower = unicode.IsLower(r)
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}
