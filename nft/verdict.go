package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// verdictCodes are the kernel's numbers (enum nft_verdicts and include/uapi/linux/netfilter.h), by [graph.VerdictOp].
var verdictCodes = [...]int32{
	graph.Accept: nfAccept,
	graph.Drop:   nfDrop,
	graph.Return: unix.NFT_RETURN,
	graph.Jump:   unix.NFT_JUMP,
	graph.Goto:   unix.NFT_GOTO,
}

// appendVerdict adds a verdict as data.
func appendVerdict(b []byte, v graph.Verdict) []byte {
	if v.Op < graph.Accept || int(v.Op) >= len(verdictCodes) {
		panic(fmt.Sprintf("nft: verdict %d", v.Op))
	}
	b, verdict := openNested(b, unix.NFTA_DATA_VERDICT)
	b = appendU32(b, unix.NFTA_VERDICT_CODE, uint32(verdictCodes[v.Op]))
	if v.Chain != "" {
		b = appendString(b, unix.NFTA_VERDICT_CHAIN, v.Chain)
	}
	closeNested(b, verdict)
	return b
}

// decodeVerdict reads a verdict from the value of an NFTA_DATA_VERDICT attribute.
func decodeVerdict(b []byte) (v graph.Verdict, ok bool) {
	var a [unix.NFTA_VERDICT_CHAIN + 1][]byte
	parseAttrs(b, a[:])
	if len(a[unix.NFTA_VERDICT_CODE]) != 4 {
		return v, false
	}
	code := int32(u32(a[unix.NFTA_VERDICT_CODE]))
	for op := graph.Accept; int(op) < len(verdictCodes); op++ {
		if verdictCodes[op] == code {
			v.Op = op
		}
	}
	if v.Op == graph.Jump || v.Op == graph.Goto {
		v.Chain = str(a[unix.NFTA_VERDICT_CHAIN])
	}
	return v, v.Op != 0
}
