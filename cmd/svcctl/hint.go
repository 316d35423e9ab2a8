package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/nft"
)

// An error says what to do next. Where the one who makes it knows, it is in its words; what it takes more to find out is
// here.

// didYouMean gives "; did you mean …?" where a known word is like one that is not known, or "".
func didYouMean(word string, known []string) string {
	if near := diag.Nearest(word, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// otherPlace says where to look for a Service that is not in a namespace, given the keys of those that there are: in
// another namespace, under a name that is like it, or in the list of all.
func otherPlace(namespace, name string, keys []string) string {
	var here []string
	for _, key := range slices.Sorted(slices.Values(keys)) {
		switch ns, known, _ := strings.Cut(key, "/"); {
		case ns == namespace:
			here = append(here, known)
		case known == name:
			return fmt.Sprintf("; there is one in the namespace %s: -n %s", ns, ns)
		}
	}
	if hint := didYouMean(name, here); hint != "" {
		return hint
	}
	return "; \"svcctl get services -A\" lists all there are"
}

// serviceKeys are the keys of all Services of a model.
func serviceKeys(m *resolve.Model) []string {
	keys := make([]string, len(m.Services))
	for i, s := range m.Services {
		keys[i] = serviceKey(s.Ref)
	}
	return keys
}

// recordError says what to do about a record that cannot be read, or cannot be used.
func recordError(err error, otherwise string) error {
	if errors.Is(err, fs.ErrPermission) {
		otherwise = "run svcctl as root, or as the user who applied it; " + otherwise
	}
	return systemError("%w; %s", err, otherwise)
}

// netnsError says what to do about a network namespace that cannot be entered.
func (c *cli) netnsError(err error) error {
	if c.config.Netns == "" || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return systemError("%w: --netns takes a name that \"ip netns list\" shows, or a path", err)
}

// remedy gives what can be done about an error of the kernel or the system, "" where nobody knows.
func remedy(err error) string {
	switch {
	case errors.Is(err, nft.ErrNoFlowList):
		return "load it with \"modprobe nf_conntrack_netlink\", and run the command again"
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		return "free memory, or raise the memory limit of the control group that svcctl runs in"
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return "the kernel lacks something of nf_tables: load its modules, or use one that has them"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return "raise the limit of open files"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "make room there, and run the command again"
	case errors.Is(err, unix.EROFS):
		return "it is read-only; --state-dir names a directory that is not"
	default:
		return ""
	}
}

// withRemedy adds to an error what can be done about it, if nothing is said yet.
func withRemedy(err error) error {
	if r := remedy(err); r != "" && !strings.Contains(err.Error(), r) {
		return fmt.Errorf("%w: %s", err, r)
	}
	return err
}

// keysOf are the keys of a record's Services.
func keysOf(services map[string]string) []string { return slices.Collect(maps.Keys(services)) }
