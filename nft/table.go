package nft

import (
	"golang.org/x/sys/unix"
)

// appendTable adds the attributes of a new table.
func appendTable(b []byte, name, comment string) []byte {
	b = appendString(b, unix.NFTA_TABLE_NAME, name)
	b = appendU32(b, unix.NFTA_TABLE_FLAGS, 0)
	if comment != "" {
		b = appendBytes(b, nftaTableUserdata, tableUserdata(comment))
	}
	return b
}

// tableInfo is what the kernel says about a table.
type tableInfo struct {
	comment string
	dormant bool // switched off: none of its base chains sees a packet
}

func decodeTable(b []byte) tableInfo {
	var a [nftaTableUserdata + 1][]byte
	parseAttrs(b, a[:])
	return tableInfo{
		comment: str(udataFirst(a[nftaTableUserdata], udataTableComment)),
		dormant: u32(a[unix.NFTA_TABLE_FLAGS])&unix.NFT_TABLE_F_DORMANT != 0,
	}
}
