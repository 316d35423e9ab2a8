// Package packages tests the deb and rpm packages of deploy/packages: what is in them, that the same commit gives the same
// bytes, and what installing, upgrading, removing and purging them does to a machine that carries traffic. The statements are
// those of docs/install.md.
package packages
