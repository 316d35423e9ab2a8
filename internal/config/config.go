// Package config reads the configuration: the settings of the host that no manifest has.
//
// A setting comes from a command line flag, an environment variable, the configuration file or its default, in this
// order of precedence, which is viper's to keep. What comes out is typed and checked; every value that is not usable is
// an error that names the flag, variable or line it came from.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// DefaultFile is the configuration file that is read where no other is named. It need not exist.
const DefaultFile = "/etc/svcctl/config.yaml"

// Config is the whole configuration. examples/config.yaml says what each setting is for.
type Config struct {
	Table     string // name of the tables, one per address family
	Netns     string // network namespace by name or path; empty: the caller's own
	StateDir  string
	LockWait  time.Duration // for another svcctl to finish with the same table
	LogLevel  string        // "debug", "info", "warn" or "error"
	LogFormat string        // "text" or "json"
	Color     string        // "auto", "always" or "never"
	CheckHost bool          // apply warns of what keeps the host from serving

	ClusterCIDRs      []netip.Prefix
	ServiceCIDRs      []netip.Prefix
	NodePortRange     resolve.PortRange
	NodePortAddresses []netip.Prefix
	LoadBalancerCIDRs []netip.Prefix
	NodeName          string // empty: the host's name
	Zone              string
	MasqueradeAll     bool
	AffinityMapSize   uint32
	Counters          bool
}

// Digest gives a digest of the settings that shape the ruleset: where it is the same, the same manifests give the same
// ruleset.
func (c Config) Digest() string {
	// The others say where to apply and how to talk about it.
	c.Netns, c.StateDir, c.LockWait, c.LogLevel, c.LogFormat, c.Color, c.CheckHost = "", "", 0, "", "", "", false
	text, err := json.Marshal(c)
	if err != nil {
		panic("config: " + err.Error()) // text, numbers and prefixes always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
