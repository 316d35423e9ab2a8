package config

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svcctl/svcctl/compiler/resolve"
)

type prefixList = []netip.Prefix

// text makes the setter of a setting that is one word.
func text(field func(*Config) *string, check func(string) error) func(*Config, any) error {
	return func(c *Config, v any) error {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("must be text, not %v; put it in quotes", v)
		}
		if err := check(s); err != nil {
			return err
		}
		*field(c) = s
		return nil
	}
}

func emptyOr(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func notEmpty(s string) error {
	if s == "" {
		return fmt.Errorf("must not be empty")
	}
	return nil
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

// tableNameForm is what nft takes as a name unquoted (src/scanner.l of nftables), less the characters that mean
// something in a path, for the name is also that of a directory.
var tableNameForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

func tableName(s string) error {
	if !tableNameForm.MatchString(s) {
		return fmt.Errorf("%q is no table name: a letter, then up to 62 letters, digits, - and _", s)
	}
	if slices.Contains(nftWords, s) {
		return fmt.Errorf("%q is no table name: it is a word of nft's own", s)
	}
	return nil
}

func namespace(s string) error {
	if s == "." || s == ".." || strings.ContainsRune(s, 0) {
		return fmt.Errorf("%q is neither the name of a network namespace nor a path", s)
	}
	return nil
}

// The forms of a Node's name (a DNS subdomain) and of a label's value, which a zone is.
var (
	nodeNameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	zoneForm     = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
)

func nodeName(s string) error {
	if len(s) > 253 || !nodeNameForm.MatchString(strings.ToLower(s)) {
		return fmt.Errorf("%q is no node name: lower-case letters, digits, - and ., at most 253 characters", s)
	}
	return nil
}

func zone(s string) error {
	if len(s) > 63 || !zoneForm.MatchString(s) {
		return fmt.Errorf("%q is no zone: letters, digits, -, _ and ., at most 63 characters", s)
	}
	return nil
}

// prefixes makes the setter of a list of address ranges. An environment variable has them separated by commas.
func prefixes(field func(*Config) *prefixList) func(*Config, any) error {
	return func(c *Config, v any) error {
		words, err := list(v)
		if err != nil {
			return err
		}
		out := prefixList{}
		for _, w := range words {
			p, err := prefix(w)
			if err != nil {
				return err
			}
			out = append(out, p)
		}
		*field(c) = out
		return nil
	}
}

func list(v any) ([]string, error) {
	switch v := v.(type) {
	case []string:
		return v, nil
	case string:
		var words []string
		for w := range strings.SplitSeq(v, ",") {
			words = append(words, strings.TrimSpace(w))
		}
		return words, nil
	case []any:
		var words []string
		for _, w := range v {
			s, ok := w.(string)
			if !ok {
				return nil, fmt.Errorf("must be a list of address ranges, and %v is none", w)
			}
			words = append(words, s)
		}
		return words, nil
	default:
		return nil, fmt.Errorf("must be a list of address ranges, not %v", v)
	}
}

func prefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is no address range such as 10.1.0.0/16 or fd00:1::/64", s)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q is an IPv4 range in IPv6 form: write it as IPv4", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits set beyond the prefix length: %s is the range", s, p.Masked())
	}
	return p, nil
}

func setNodePortRange(c *Config, v any) error {
	s, _ := v.(string)
	first, last, ok := strings.Cut(s, "-")
	a, errA := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if !ok || errA != nil || errB != nil || a == 0 || b < a {
		return fmt.Errorf("%q is no range of ports such as 30000-32767, within 1-65535", fmt.Sprint(v))
	}
	c.NodePortRange = resolve.PortRange{First: uint16(a), Last: uint16(b)}
	return nil
}

// truth makes the setter of a setting that is on or off.
func truth(field func(*Config) *bool) func(*Config, any) error {
	return func(c *Config, v any) error {
		switch v := v.(type) {
		case bool:
			*field(c) = v
			return nil
		case string: // from the environment
			if b, err := strconv.ParseBool(v); err == nil {
				*field(c) = b
				return nil
			}
		}
		return fmt.Errorf("must be true or false, not %q", fmt.Sprint(v))
	}
}

// maxLockWait is how long a command may wait for another one: whatever takes longer has got stuck.
const maxLockWait = time.Hour

func setLockWait(c *Config, v any) error {
	s := fmt.Sprint(v)
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxLockWait {
		return fmt.Errorf("must be a time from 0s to 1h, such as 10s, not %q", s)
	}
	c.LockWait = d
	return nil
}

func setAffinityMapSize(c *Config, v any) error {
	n, err := strconv.ParseUint(fmt.Sprint(v), 10, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("must be a number from 1 to %d, not %q", uint32(math.MaxUint32), fmt.Sprint(v))
	}
	c.AffinityMapSize = uint32(n)
	return nil
}
