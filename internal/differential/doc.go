// Package differential holds the tests that make the model of package trace and the kernel each other's judge: random
// manifests and random packets, for which the one has to predict what the other does; many flows, whose spread over the
// endpoints has to be the shares that the model computes; and thousands of clients of a source hash, each of which has to
// end up where the model says.
//
// It takes the whole way from YAML to the kernel, and real packets between network namespaces. It may assume what
// internal/netlab promises. Where the two disagree the kernel is right, and the model or the compiler is wrong.
package differential
