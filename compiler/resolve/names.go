package resolve

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// The API server's rules for names, as predicates. They agree with the functions of k8s.io/apimachinery of the same
// purpose, which a fuzz test proves, and are some thirty times faster than those regular expressions; those are asked only
// for the wording where a name is refused.

func isLowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isAlnum(c byte) bool { return isLowerAlnum(c) || 'A' <= c && c <= 'Z' }

// isDNSLabel is validation.IsDNS1123Label.
func isDNSLabel(s string) bool {
	return len(s) <= validation.DNS1123LabelMaxLength && isDNSLabelText(s)
}

// isDNSLabelText is the label without its length, which a subdomain does not limit.
func isDNSLabelText(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLowerAlnum(c) && c != '-' {
			return false
		}
	}
	return true
}

// isDNSSubdomain is validation.IsDNS1123Subdomain.
func isDNSSubdomain(s string) bool {
	if len(s) > validation.DNS1123SubdomainMaxLength {
		return false
	}
	for more := true; more; {
		var label string
		label, s, more = strings.Cut(s, ".")
		if !isDNSLabelText(label) {
			return false
		}
	}
	return true
}

// isLabelKey is validation.IsQualifiedName.
func isLabelKey(s string) bool {
	if prefix, name, ok := strings.Cut(s, "/"); ok {
		if !isDNSSubdomain(prefix) {
			return false
		}
		s = name
	}
	return s != "" && isLabelValue(s)
}

// isLabelValue is validation.IsValidLabelValue.
func isLabelValue(s string) bool {
	if s == "" {
		return true
	}
	if len(s) > validation.LabelValueMaxLength || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// isPortName is validation.IsValidPortName: the name of a container port, and a targetPort that is a name.
func isPortName(s string) bool {
	if s == "" || len(s) > 15 || s[0] == '-' || s[len(s)-1] == '-' || strings.Contains(s, "--") {
		return false
	}
	letter := false
	for i := range len(s) {
		c := s[i]
		if !isLowerAlnum(c) && c != '-' {
			return false
		}
		letter = letter || 'a' <= c && c <= 'z'
	}
	return letter
}

func isPortNumber(n int32) bool { return 1 <= n && n <= 65535 }
