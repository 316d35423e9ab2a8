package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// foreignChain is the type of a base chain that svcctl could not have made. It equals no chain type in use.
const foreignChain graph.ChainType = 255

// hookNumbers are the kernel's numbers of the hooks (include/uapi/linux/netfilter.h), by [graph.HookPoint].
var hookNumbers = [...]uint32{
	graph.Prerouting:  unix.NF_INET_PRE_ROUTING,
	graph.Input:       unix.NF_INET_LOCAL_IN,
	graph.Forward:     unix.NF_INET_FORWARD,
	graph.Output:      unix.NF_INET_LOCAL_OUT,
	graph.Postrouting: unix.NF_INET_POST_ROUTING,
}

// appendChain adds the attributes of a new chain.
func appendChain(b []byte, table string, c *graph.Chain) []byte {
	b = appendString(b, unix.NFTA_CHAIN_TABLE, table)
	b = appendString(b, unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook == nil {
		return b
	}
	b = appendString(b, unix.NFTA_CHAIN_TYPE, c.Hook.Type.String())
	b = appendU32(b, unix.NFTA_CHAIN_POLICY, nfAccept)
	b, hook := openNested(b, unix.NFTA_CHAIN_HOOK)
	b = appendU32(b, unix.NFTA_HOOK_HOOKNUM, hookNumbers[c.Hook.Point])
	b = appendU32(b, unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
	closeNested(b, hook)
	return b
}

// chainInfo is what the kernel says about a chain.
type chainInfo struct {
	table   string
	chain   *graph.Chain
	unnamed bool   // it belongs to a rule and comes and goes with it
	foreign string // why svcctl could not have made it
}

func decodeChain(b []byte) chainInfo {
	var a [nftaChainFlags + 1][]byte
	parseAttrs(b, a[:])
	i := chainInfo{
		table:   str(a[unix.NFTA_CHAIN_TABLE]),
		chain:   &graph.Chain{Name: str(a[unix.NFTA_CHAIN_NAME])},
		unnamed: u32(a[nftaChainFlags])&nftChainBinding != 0,
	}
	if a[unix.NFTA_CHAIN_HOOK] == nil {
		return i
	}
	h, err := decodeHook(a[unix.NFTA_CHAIN_HOOK], str(a[unix.NFTA_CHAIN_TYPE]))
	if err == nil && u32(a[unix.NFTA_CHAIN_POLICY]) != nfAccept {
		err = fmt.Errorf("its chain policy is not accept")
	}
	if err != nil {
		h.Type = foreignChain
		i.foreign = err.Error()
	}
	i.chain.Hook = h
	return i
}

func decodeHook(b []byte, typ string) (*graph.Hook, error) {
	var a [unix.NFTA_HOOK_DEV + 1][]byte
	parseAttrs(b, a[:])
	h := &graph.Hook{Priority: int32(u32(a[unix.NFTA_HOOK_PRIORITY]))}
	switch typ {
	case graph.FilterChain.String():
		h.Type = graph.FilterChain
	case graph.NATChain.String():
		h.Type = graph.NATChain
	default:
		return h, fmt.Errorf("its chain type is %q", typ)
	}
	n := u32(a[unix.NFTA_HOOK_HOOKNUM])
	for point, number := range hookNumbers {
		if n == number {
			h.Point = graph.HookPoint(point)
			return h, nil
		}
	}
	return h, fmt.Errorf("its hook has the number %d", n)
}
