package resolve

import (
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// FuzzNames compares the predicates with the API machinery's own functions.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"", "a", "A", "web-1", "-web", "web-", "a.b", "a..b", ".a", "a.", "a_b", "_a", "example.com/Name", "/a", "a/", "a/b/c",
		"80", "8080x", "a--b", "0123456789abcdef", "x/-a", "Ex.com/a", "a-b.c-d", "a.-b", "é", "a\n", "a\nb",
		"0123456789012345678901234567890123456789012345678901234567890123",
		"012345678901234567890123456789012345678901234567890123456789012",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, rule := range []struct {
			name string
			nameRule
		}{
			{"DNS label", dnsLabel},
			{"DNS subdomain", dnsSubdomain},
			{"label key", labelKey},
			{"label value", labelValue},
			{"port name", portName},
		} {
			if good, why := rule.good(s), rule.why(s); good != (len(why) == 0) {
				t.Errorf("%s %q: %v here, the API says %q", rule.name, s, good, why)
			}
		}
	})
}

// FuzzAddresses compares the strict parsers with the API machinery's own.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{
		"", "10.0.0.1", "010.0.0.1", "10.0.0.256", "::", "::1", "2001:DB8::1", "2001:db8:0::1", "::ffff:10.0.0.1", "fe80::1%eth0",
		"10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/33", "::/0", "::ffff:10.0.0.0/104", "10.0.0.0", "2001:db8::/32", " ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := ParseIP(s)
		if why := validation.IsValidIPForLegacyField(nil, s, true, nil); ok != (len(why) == 0) {
			t.Errorf("address %q: %v here, the API says %q", s, ok, why.ToAggregate())
		}
		if why := validation.IsValidIP(nil, s); (ok && isCanonical(a, s)) != (len(why) == 0) {
			t.Errorf("canonical address %q: %v %v here, the API says %q", s, ok, a, why.ToAggregate())
		}
		if why := validation.IsValidCIDRForLegacyField(nil, s, true, nil); isStrictPrefix(s) != (len(why) == 0) {
			t.Errorf("prefix %q: %v here, the API says %q", s, isStrictPrefix(s), why.ToAggregate())
		}
	})
}

func TestMerged(t *testing.T) {
	in := []string{"10.1.0.0/16", "192.0.2.0/24", "10.0.0.0/8", "10.0.0.0/8", "10.255.0.0/16", "192.0.2.128/25"}
	var prefixes []netip.Prefix
	for _, s := range in {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	got := merged(prefixes)
	if len(got) != 2 || got[0].String() != "10.0.0.0/8" || got[1].String() != "192.0.2.0/24" {
		t.Errorf("merged(%v) = %v", in, got)
	}
}
