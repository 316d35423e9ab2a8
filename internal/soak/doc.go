// Package soak is a test without a package: months of changes in minutes. svcctl runs as processes, thousands of applies one
// after the other, in a network namespace of its own, while things go wrong: it is killed, others flush its tables or meddle
// with them, its state directory is lost or damaged, another build takes its turn. After each step the kernel must have
// exactly what was wanted; at the end nothing may have grown: neither the state directory, nor what is in the kernel, nor the
// memory and open files of the commands that ran all along.
//
// SOAK says how many applies, 200 by default; SOAK_SEED replays a walk. `make soak` takes 20,000 and prints the figures of
// docs/soak.md.
package soak
