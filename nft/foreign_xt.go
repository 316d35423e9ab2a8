package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/foreign"
)

// iptables-nft puts matches and targets that it has no expressions for into the rule as they are: a name and the C
// structure of the extension (net/netfilter/nft_compat.c). The few that the usual programs use are read here.

// xtMatch translates a match of iptables.
func (m *foreignMachine) xtMatch(name string, revision uint32, info []byte) {
	switch {
	case name == "comment":
	case (name == "tcp" || name == "udp") && len(info) >= 8:
		m.xtPorts(name, info)
	case name == "conntrack" && revision >= 2 && len(info) >= 154:
		m.xtConntrack(info)
	case name == "addrtype" && revision == 1 && len(info) >= 8:
		m.xtAddrType(info)
	default:
		m.emit(foreign.Unknown{})
	}
}

// xtPorts reads struct xt_tcp or xt_udp: source ports, destination ports, and what differs between the two.
func (m *foreignMachine) xtPorts(name string, info []byte) {
	port := func(at int) uint32 { return uint32(binary.NativeEndian.Uint16(info[at:])) }
	inverse := info[8:]
	if name == "tcp" {
		inverse = info[min(11, len(info)):] // after option, flag_mask and flag_cmp
	}
	plain := port(0) == 0 && port(2) == 0xffff && (name == "udp" || info[8] == 0 && len(info) > 10 && info[9] == 0 && info[10] == 0)
	if !plain || len(inverse) == 0 || inverse[0]&^2 != 0 {
		m.emit(foreign.Unknown{})
	}
	if len(inverse) == 0 {
		return
	}
	const inverseDestination = 2 // XT_TCP_INV_DSTPT, XT_UDP_INV_DSTPT
	m.emit(foreign.Match{
		Field: foreign.DestinationPort, Not: inverse[0]&inverseDestination != 0,
		In: []foreign.Range{{First: foreign.Number(port(4)), Last: foreign.Number(port(6))}},
	})
}

// xtConntrack reads struct xt_conntrack_mtinfo2 or mtinfo3, as far as states are asked for and nothing else.
func (m *foreignMachine) xtConntrack(info []byte) {
	const (
		flagsAt, inverseAt, statesAt = 146, 148, 150
		stateFlag                    = 1 // XT_CONNTRACK_STATE
		stateDNAT                    = 1 << 7
	)
	flags, inverse := binary.NativeEndian.Uint16(info[flagsAt:]), binary.NativeEndian.Uint16(info[inverseAt:])
	states := uint32(binary.NativeEndian.Uint16(info[statesAt:]))
	if flags != stateFlag {
		m.emit(foreign.Unknown{})
		return
	}
	if states == stateDNAT {
		m.emit(foreign.MatchBits{Field: foreign.Status, Not: inverse&stateFlag != 0, Bits: foreign.StatusDNAT})
		return
	}
	if states&stateDNAT != 0 {
		m.emit(foreign.Unknown{}) // a state or a translation
		return
	}
	// The lower bits are those of nft.
	m.emit(foreign.MatchBits{Field: foreign.State, Not: inverse&stateFlag != 0, Bits: states & 0xf})
}

// xtAddrType reads struct xt_addrtype_info_v1: types of the source, types of the destination, flags.
func (m *foreignMachine) xtAddrType(info []byte) {
	source, dest := binary.NativeEndian.Uint16(info), binary.NativeEndian.Uint16(info[2:])
	flags := binary.NativeEndian.Uint32(info[4:])
	const inverseDestination = 2 // XT_ADDRTYPE_INVERT_DEST
	if source != 0 || flags&^inverseDestination != 0 {
		m.emit(foreign.Unknown{})
	}
	if dest == 0 {
		return
	}
	match := foreign.Match{Field: foreign.DestinationType, Not: flags&inverseDestination != 0}
	for n := range uint32(unix.RTN_XRESOLVE + 1) {
		if dest>>n&1 != 0 {
			match.In = append(match.In, foreign.Range{First: foreign.Number(n), Last: foreign.Number(n)})
		}
	}
	m.emit(match)
}

// xtTarget translates a target of iptables.
func (m *foreignMachine) xtTarget(name string, _ uint32, info []byte) {
	switch name {
	case "DNAT", "REDIRECT", "TPROXY":
		m.emit(foreign.Verdict{Op: foreign.Translate})
	case "REJECT":
		m.emit(foreign.Verdict{Op: foreign.Reject})
	case "MASQUERADE", "SNAT":
		m.emit(foreign.Verdict{Op: foreign.Accept})
	case "NFQUEUE":
		m.emit(foreign.Verdict{Op: foreign.Queue})
	case "NOTRACK":
		m.emit(foreign.Verdict{Op: foreign.NoTrack})
	case "CT": // struct xt_ct_target_info begins with flags, of which the first is XT_CT_NOTRACK
		if len(info) >= 2 && binary.NativeEndian.Uint16(info)&1 != 0 {
			m.emit(foreign.Verdict{Op: foreign.NoTrack})
		}
	case "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CHECKSUM", "CLASSIFY", "DSCP", "TOS", "TTL", "HL":
	default:
		m.emit(foreign.Unknown{})
	}
}
