// Package beside is the suite that proves svcctl on hosts where others write rules, too: Debian's firewalld, ufw, fail2ban,
// docker and NetworkManager, a hand-written nftables.conf, and what kube-proxy writes. Each test boots a machine of its own
// (internal/bootlab) as the node of a network (internal/netlab), puts the other program into it from the archive that
// .ci/neighbours made of Debian's packages, and asserts what clients see while both go about their work. docs/beside.md tells
// operators what follows from it.
//
// It is no phase of the compiler and has no code but its tests.
package beside
