// Package packet is the suite that proves the compiled rules with real packets: a client, a node and every endpoint live
// in network namespaces of their own (internal/netlab), the manifests go the whole way from YAML to the node's kernel,
// and what is asserted is what clients and endpoints see, over TCP, UDP and SCTP, IPv4 and IPv6.
//
// It is no phase of the compiler and has no code but its tests.
package packet
