package netlab

import "fmt"

// Protocol is a transport protocol.
type Protocol uint8

// The protocols.
const (
	TCP Protocol = iota
	UDP
	SCTP
)

// String gives the name as Kubernetes writes it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	default:
		panic(fmt.Sprintf("netlab: unknown protocol %d", uint8(p)))
	}
}
