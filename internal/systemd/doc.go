// Package systemd is the suite that proves svcctl on a machine that systemd runs: a timer that undoes what nobody confirmed,
// and the units in deploy/systemd. Each test boots a machine of its own (internal/bootlab) as the node of a network
// (internal/netlab), and what is asserted is what systemd, the journal, the kernel and clients see.
//
// It is no phase of the compiler and has no code but its tests.
package systemd
