package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Data types of nft (include/datatype.h, enum datatypes). The kernel stores the number for nft's listing; the type of a
// concatenation is that of its fields, six bits each.
const (
	typeInteger     = 4
	typeIPv4Addr    = 7
	typeIPv6Addr    = 8
	typeInetProto   = 12
	typeInetService = 13

	typeBits = 6
)

// fieldType gives nft's data type and the size in bytes of a field of a key or of data.
func fieldType(f graph.Family, field graph.Field) (typ uint32, size int) {
	switch field {
	case graph.AddrField:
		if f == graph.IPv6 {
			return typeIPv6Addr, 16
		}
		return typeIPv4Addr, 4
	case graph.ProtoField:
		return typeInetProto, 1
	case graph.PortField:
		return typeInetService, 2
	case graph.SlotField:
		return typeInteger, 4
	case graph.VerdictField:
		return unix.NFT_DATA_VERDICT, 0
	default:
		panic(fmt.Sprintf("nft: field %d", field))
	}
}

// concatType gives the type of a concatenation and its size, in which each field is padded to a register of four bytes.
// A single field is not padded.
func concatType(f graph.Family, fields []graph.Field) (typ uint32, size int) {
	if len(fields) == 1 {
		return fieldType(f, fields[0])
	}
	for _, field := range fields {
		t, n := fieldType(f, field)
		typ = typ<<typeBits | t
		size += align4(n)
	}
	return typ, size
}

// concatFields is the inverse of concatType; ok is false where a type is none of svcctl's.
func concatFields(f graph.Family, typ uint32, size int) (fields []graph.Field, ok bool) {
	if typ == unix.NFT_DATA_VERDICT {
		return []graph.Field{graph.VerdictField}, true
	}
	for t := typ; t != 0; t >>= typeBits {
		i := slices.IndexFunc(keyFields, func(field graph.Field) bool {
			n, _ := fieldType(f, field)
			return n == t&(1<<typeBits-1)
		})
		if i < 0 {
			return nil, false
		}
		fields = append(fields, keyFields[i])
	}
	slices.Reverse(fields)
	if len(fields) == 0 {
		return nil, false
	}
	_, want := concatType(f, fields)
	return fields, size == want
}

// holdsKey reports whether a [graph.Key] has a place for each field.
func holdsKey(fields []graph.Field) bool {
	var count [graph.VerdictField + 1]int
	for _, field := range fields {
		count[field]++
	}
	return count[graph.AddrField] <= 2 && count[graph.ProtoField] <= 1 && count[graph.PortField] <= 2 &&
		count[graph.SlotField] <= 1 && count[graph.VerdictField] == 0
}

// holdsData reports whether the fields are a verdict or an address and a port, which is what [graph.Data] holds.
func holdsData(fields []graph.Field) bool {
	return slices.Equal(fields, []graph.Field{graph.VerdictField}) ||
		slices.Equal(fields, []graph.Field{graph.AddrField, graph.PortField})
}

// keyFields are the fields that a key can have.
var keyFields = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.SlotField}

// setFlags gives the kernel's flags of a set.
func setFlags(s *graph.Set) uint32 {
	var flags uint32
	if s.IsMap() {
		flags |= unix.NFT_SET_MAP
	}
	if s.Interval {
		flags |= unix.NFT_SET_INTERVAL
		if len(s.Key) > 1 {
			flags |= nftSetConcat
		}
	}
	if s.Dynamic {
		flags |= unix.NFT_SET_EVAL
	}
	if s.Timeout {
		flags |= unix.NFT_SET_TIMEOUT
	}
	return flags
}

// appendSet adds the attributes of a new set. The id is unique in the transaction.
func appendSet(b []byte, f graph.Family, table string, s *graph.Set, id uint32) []byte {
	b = appendString(b, unix.NFTA_SET_TABLE, table)
	b = appendString(b, unix.NFTA_SET_NAME, s.Name)
	b = appendU32(b, unix.NFTA_SET_FLAGS, setFlags(s))
	typ, size := concatType(f, s.Key)
	b = appendU32(b, unix.NFTA_SET_KEY_TYPE, typ)
	b = appendU32(b, unix.NFTA_SET_KEY_LEN, uint32(size))
	if s.IsMap() {
		typ, size = concatType(f, s.Data)
		b = appendU32(b, unix.NFTA_SET_DATA_TYPE, typ)
		b = appendU32(b, unix.NFTA_SET_DATA_LEN, uint32(size))
	}
	b = appendU32(b, unix.NFTA_SET_ID, id)
	b = appendSetDescription(b, f, s)
	if s.Counter {
		b = appendCounter(b, nftaSetExpr)
	}
	if u := setUserdata(f, s); u != nil {
		b = appendBytes(b, unix.NFTA_SET_USERDATA, u)
	}
	return b
}

// appendSetDescription adds the size, and for a concatenation with a range the size of each field, which the kernel's
// matching of several ranges at once (nft_set_pipapo) needs.
func appendSetDescription(b []byte, f graph.Family, s *graph.Set) []byte {
	concat := s.Interval && len(s.Key) > 1
	if s.Size == 0 && !concat {
		return b
	}
	b, desc := openNested(b, unix.NFTA_SET_DESC)
	if s.Size != 0 {
		b = appendU32(b, unix.NFTA_SET_DESC_SIZE, s.Size)
	}
	if concat {
		var fields int
		b, fields = openNested(b, nftaSetDescConcat)
		for _, field := range s.Key {
			_, n := fieldType(f, field)
			var elem int
			b, elem = openNested(b, unix.NFTA_LIST_ELEM)
			b = appendU32(b, nftaSetFieldLen, uint32(n))
			closeNested(b, elem)
		}
		closeNested(b, fields)
	}
	closeNested(b, desc)
	return b
}

// setInfo is what the kernel says about a set.
type setInfo struct {
	table   string
	set     *graph.Set // without Key where it is foreign
	unnamed bool       // it belongs to a rule and comes and goes with it
	count   int        // elements, -1 where the kernel does not say
	foreign string     // why svcctl could not have made it
}

func decodeSet(f graph.Family, b []byte) setInfo {
	var a [nftaSetCount + 1][]byte
	parseAttrs(b, a[:])
	i := setInfo{
		table:   str(a[unix.NFTA_SET_TABLE]),
		set:     &graph.Set{Name: str(a[unix.NFTA_SET_NAME])},
		unnamed: u32(a[unix.NFTA_SET_FLAGS])&unix.NFT_SET_ANONYMOUS != 0,
		count:   -1,
	}
	if a[nftaSetCount] != nil {
		i.count = int(u32(a[nftaSetCount]))
	}
	s := *i.set
	if err := decodeSetShape(f, a[:], &s); err != nil {
		i.foreign = err.Error()
		return i
	}
	*i.set = s
	return i
}

// decodeSetShape reads everything of a set but its name.
func decodeSetShape(f graph.Family, a [][]byte, s *graph.Set) error {
	for _, t := range [...]int{
		unix.NFTA_SET_TIMEOUT, unix.NFTA_SET_GC_INTERVAL, unix.NFTA_SET_POLICY, unix.NFTA_SET_OBJ_TYPE,
		nftaSetExpressions,
	} {
		if a[t] != nil {
			return fmt.Errorf("it has an attribute (%d) that svcctl does not use", t)
		}
	}
	flags := u32(a[unix.NFTA_SET_FLAGS])
	var ok bool
	s.Key, ok = concatFields(f, u32(a[unix.NFTA_SET_KEY_TYPE]), int(u32(a[unix.NFTA_SET_KEY_LEN])))
	if !ok || !holdsKey(s.Key) {
		return errors.New("its key type is none that svcctl uses")
	}
	if flags&unix.NFT_SET_MAP != 0 {
		s.Data, ok = concatFields(f, u32(a[unix.NFTA_SET_DATA_TYPE]), int(u32(a[unix.NFTA_SET_DATA_LEN])))
		if !ok || !holdsData(s.Data) {
			return errors.New("its data type is none that svcctl uses")
		}
	}
	s.Interval = flags&unix.NFT_SET_INTERVAL != 0
	s.Dynamic = flags&unix.NFT_SET_EVAL != 0
	s.Timeout = flags&unix.NFT_SET_TIMEOUT != 0
	if expr := a[nftaSetExpr]; expr != nil {
		if s.Counter = isCounter(expr); !s.Counter {
			return errors.New("its elements do something that svcctl does not use")
		}
	}
	s.Size = u32(firstAttr(a[unix.NFTA_SET_DESC], unix.NFTA_SET_DESC_SIZE))
	if flags != setFlags(s) {
		return fmt.Errorf("it has flags (%#x) that svcctl does not use", flags)
	}
	return nil
}
