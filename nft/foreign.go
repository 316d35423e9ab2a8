package nft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/foreign"
	"github.com/svcctl/svcctl/compiler/graph"
)

// What is read of other programs' tables has bounds: they may be anybody's, and dumping a big map is quadratic.
const (
	// maxForeignElements is how many elements of a set are read to know what a rule that looks them up matches.
	maxForeignElements = 1 << 10
	// maxForeignBranches is how many verdicts of a map are followed where it is not known which is found.
	maxForeignBranches = 64
	// maxForeignServices is how many elements of a map of service addresses are read.
	maxForeignServices = 20_000
)

// Foreign reads the tables of the namespace that are not svcctl's: those of the families ip, ip6 and inet, but for our
// name. With quick, no rules are read where there are more than so many chains, and no large maps.
//
// The error is or wraps [ErrConflict] where the ruleset kept changing meanwhile, or [ErrPermission].
func (c *Conn) Foreign(ctx context.Context, ours string, quick int) (*foreign.Ruleset, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for range quickAttempts {
		r := foreignReader{conn: c, ours: ours, quick: quick}
		if err = r.read(ctx); err == nil {
			return r.result(), nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, errNoAnswer) {
			break
		}
	}
	return nil, fmt.Errorf("reading other programs' tables: %w", err)
}

// foreignReader reads the tables once.
type foreignReader struct {
	conn  *Conn
	ours  string
	quick int // 0: everything is read

	tables []*foreignTable
}

// foreignTable is a table while it is read.
type foreignTable struct {
	*foreign.Table
	family uint8
	sets   map[string]*foreignSet
	rules  []ruleInfo
	links  map[uint32]string
}

// foreignSet is a set of a table.
type foreignSet struct {
	name     string
	flags    uint32
	keyType  uint32
	keyLen   int
	dataType uint32
	count    int // -1 where the kernel does not say
	read     bool
	elements []foreignElement
	tooMany  bool
}

// foreignElement is an element: a key, or a range of keys, and a verdict where it has one.
type foreignElement struct {
	first, last []byte
	verdict     []byte
}

var foreignFamilies = map[uint8]foreign.Family{
	unix.NFPROTO_IPV4: foreign.IPv4, unix.NFPROTO_IPV6: foreign.IPv6, unix.NFPROTO_INET: foreign.Inet,
}

func (r *foreignReader) table(family uint8, name string) *foreignTable {
	for _, t := range r.tables {
		if t.family == family && t.Name == name {
			return t
		}
	}
	return nil
}

func (r *foreignReader) result() *foreign.Ruleset {
	out := &foreign.Ruleset{}
	for _, t := range r.tables {
		out.Tables = append(out.Tables, t.Table)
	}
	return out
}

// dump requests a list of all families, or one.
func (r *foreignReader) dump(ctx context.Context, msg uint16, family uint8, attributes []byte, fn func(uint8, []byte)) error {
	a, err := r.conn.sock.request(ctx, msg, unix.NLM_F_DUMP, family, attributes, fn)
	switch {
	case err != nil:
		return err
	case a.changed || a.errno == unix.EINTR || a.errno == unix.ENOENT:
		return ErrConflict
	default:
		return a.err()
	}
}

func (r *foreignReader) read(ctx context.Context) error {
	before, err := r.conn.generation(ctx)
	if err != nil {
		return err
	}
	err = r.dump(ctx, unix.NFT_MSG_GETTABLE, unix.NFPROTO_UNSPEC, nil, func(family uint8, b []byte) {
		var a [nftaTableUserdata + 1][]byte
		parseAttrs(b, a[:])
		f, seen := foreignFamilies[family]
		name := str(a[unix.NFTA_TABLE_NAME])
		if seen && !decodeTable(b).dormant && (name != r.ours || family == unix.NFPROTO_INET) {
			r.tables = append(r.tables, &foreignTable{
				Table: &foreign.Table{Family: f, Name: name}, family: family, sets: map[string]*foreignSet{},
			})
		}
	})
	if err == nil && len(r.tables) > 0 {
		err = r.readTables(ctx)
	}
	if err != nil {
		return err
	}
	after, err := r.conn.generation(ctx)
	if err == nil && before != after {
		err = ErrConflict
	}
	return err
}

func (r *foreignReader) readTables(ctx context.Context) error {
	chains := 0
	err := r.dump(ctx, unix.NFT_MSG_GETCHAIN, unix.NFPROTO_UNSPEC, nil, func(family uint8, b []byte) {
		var a [nftaChainFlags + 1][]byte
		parseAttrs(b, a[:])
		if t := r.table(family, str(a[unix.NFTA_CHAIN_TABLE])); t != nil {
			t.Chains = append(t.Chains, foreignChainOf(a[:]))
			chains++
		}
	})
	if err != nil {
		return err
	}
	links := map[uint32]string{}
	found, err := readLinks(ctx, r.conn.route)
	if err != nil {
		return err
	}
	for _, l := range found {
		links[uint32(l.Index)] = l.Name
	}
	for _, t := range r.tables {
		t.links = links
		if r.quick > 0 && chains > r.quick {
			t.Unread = "its rules: they are left out for speed"
			continue
		}
		if err := r.readTable(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func foreignChainOf(a [][]byte) *foreign.Chain {
	c := &foreign.Chain{Name: str(a[unix.NFTA_CHAIN_NAME])}
	if a[unix.NFTA_CHAIN_HOOK] == nil {
		return c
	}
	var h [unix.NFTA_HOOK_DEV + 1][]byte
	parseAttrs(a[unix.NFTA_CHAIN_HOOK], h[:])
	n := u32(h[unix.NFTA_HOOK_HOOKNUM])
	if n > unix.NF_INET_POST_ROUTING {
		return c // the ingress hook, before everything that svcctl does
	}
	c.Base = &foreign.Base{
		Type:     str(a[unix.NFTA_CHAIN_TYPE]),
		Hook:     foreign.Hook(n), // both count as the kernel does (include/uapi/linux/netfilter.h)
		Priority: int32(u32(h[unix.NFTA_HOOK_PRIORITY])),
		Drop:     a[unix.NFTA_CHAIN_POLICY] != nil && u32(a[unix.NFTA_CHAIN_POLICY]) != nfAccept,
	}
	return c
}

func (r *foreignReader) readTable(ctx context.Context, t *foreignTable) error {
	err := r.dump(ctx, unix.NFT_MSG_GETSET, t.family, appendString(nil, unix.NFTA_SET_TABLE, t.Name), func(family uint8, b []byte) {
		var a [nftaSetCount + 1][]byte
		parseAttrs(b, a[:])
		if family != t.family || str(a[unix.NFTA_SET_TABLE]) != t.Name {
			return
		}
		s := &foreignSet{
			name: str(a[unix.NFTA_SET_NAME]), flags: u32(a[unix.NFTA_SET_FLAGS]),
			keyType: u32(a[unix.NFTA_SET_KEY_TYPE]), keyLen: int(u32(a[unix.NFTA_SET_KEY_LEN])),
			dataType: u32(a[unix.NFTA_SET_DATA_TYPE]), count: -1,
		}
		if a[nftaSetCount] != nil {
			s.count = int(u32(a[nftaSetCount]))
		}
		t.sets[s.name] = s
	})
	if err != nil {
		return err
	}
	err = r.dump(ctx, unix.NFT_MSG_GETRULE, t.family, appendString(nil, unix.NFTA_RULE_TABLE, t.Name), func(family uint8, b []byte) {
		// The rules are decoded later: for that, sets have to be read.
		i := decodeRuleInfo(bytes.Clone(b))
		if family == t.family && i.table == t.Name {
			t.rules = append(t.rules, i)
		}
	})
	if err != nil {
		return err
	}
	chains := make(map[string]*foreign.Chain, len(t.Chains))
	for _, c := range t.Chains {
		chains[c.Name] = c
	}
	for _, i := range t.rules {
		if c := chains[i.chain]; c != nil {
			rule, err := r.decodeRule(ctx, t, i)
			if err != nil {
				return err
			}
			c.Rules = append(c.Rules, rule)
		}
	}
	return r.readServices(ctx, t)
}

// elements gives the elements of a set, read once. ok is false where there are too many.
func (r *foreignReader) elements(ctx context.Context, t *foreignTable, s *foreignSet, most int) (ok bool, err error) {
	if s.read {
		return !s.tooMany, nil
	}
	s.read = true
	if s.count > most {
		s.tooMany = true
		return false, nil
	}
	request := appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
	request = appendString(request, unix.NFTA_SET_ELEM_LIST_SET, s.name)
	var points []foreignPoint
	err = r.dump(ctx, unix.NFT_MSG_GETSETELEM, t.family, request, func(_ uint8, b []byte) {
		for _, elem := range attrs(firstAttr(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			if len(points) <= most {
				points = append(points, foreignPointOf(elem))
			}
		}
	})
	if err != nil {
		return false, err
	}
	s.tooMany = len(points) > most
	s.elements = foreignRanges(points, s.flags&unix.NFT_SET_INTERVAL != 0, s.keyLen)
	return !s.tooMany, nil
}

// foreignPoint is an element as the kernel lists it. Ranges of a tree are two: where one begins and where none does.
type foreignPoint struct {
	key, end []byte
	verdict  []byte
	isEnd    bool
	catchAll bool
}

func foreignPointOf(b []byte) foreignPoint {
	var a [nftaSetElemKeyEnd + 1][]byte
	parseAttrs(b, a[:])
	flags := u32(a[unix.NFTA_SET_ELEM_FLAGS])
	const catchAll = 2 // NFT_SET_ELEM_CATCHALL
	return foreignPoint{
		key:      bytes.Clone(firstAttr(a[unix.NFTA_SET_ELEM_KEY], unix.NFTA_DATA_VALUE)),
		end:      bytes.Clone(firstAttr(a[nftaSetElemKeyEnd], unix.NFTA_DATA_VALUE)),
		verdict:  bytes.Clone(firstAttr(a[unix.NFTA_SET_ELEM_DATA], unix.NFTA_DATA_VERDICT)),
		isEnd:    flags&unix.NFT_SET_ELEM_INTERVAL_END != 0,
		catchAll: flags&catchAll != 0,
	}
}

// foreignRanges makes ranges of points. The element for all other keys comes last, as the whole range.
func foreignRanges(points []foreignPoint, tree bool, keyLen int) []foreignElement {
	var out, rest []foreignElement
	slices.SortStableFunc(points, func(a, b foreignPoint) int {
		if c := bytes.Compare(a.key, b.key); c != 0 || a.isEnd == b.isEnd {
			return c
		}
		// Where one range ends another may begin.
		if a.isEnd {
			return -1
		}
		return 1
	})
	highest := bytes.Repeat([]byte{0xff}, keyLen)
	for i, p := range points {
		switch {
		case p.catchAll:
			rest = append(rest, foreignElement{make([]byte, keyLen), highest, p.verdict})
		case p.isEnd:
		case !tree:
			out = append(out, foreignElement{p.key, p.key, p.verdict})
		case p.end != nil:
			out = append(out, foreignElement{p.key, p.end, p.verdict})
		default:
			last := highest
			for _, next := range points[i+1:] {
				if next.isEnd || bytes.Compare(next.key, p.key) > 0 {
					last = before(next.key)
					break
				}
			}
			out = append(out, foreignElement{p.key, last, p.verdict})
		}
	}
	return append(out, rest...)
}

// before gives the number before one that is not 0, big end first.
func before(key []byte) []byte {
	out := bytes.Clone(key)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]--
		if out[i] != 0xff {
			break
		}
	}
	return out
}

// readServices reads maps whose key is that of service addresses, or that of node ports in kube-proxy's table.
func (r *foreignReader) readServices(ctx context.Context, t *foreignTable) error {
	names := make([]string, 0, len(t.sets))
	for name := range t.sets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := t.sets[name]
		const unfit = unix.NFT_SET_ANONYMOUS | unix.NFT_SET_INTERVAL
		if s.flags&unix.NFT_SET_MAP == 0 || s.flags&unfit != 0 || s.dataType != unix.NFT_DATA_VERDICT {
			continue
		}
		f := graph.IPv4
		if t.family == unix.NFPROTO_IPV6 {
			f = graph.IPv6
		}
		fields, ok := concatFields(f, s.keyType, s.keyLen)
		if !ok || t.family == unix.NFPROTO_INET {
			continue
		}
		withAddr := slices.Equal(fields, []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField})
		if !withAddr && !slices.Equal(fields, []graph.Field{graph.ProtoField, graph.PortField}) {
			continue
		}
		s.read = s.read && !s.tooMany
		most := maxForeignServices
		if r.quick > 0 {
			most = maxForeignElements
		}
		ok, err := r.elements(ctx, t, s, most)
		if err != nil {
			return err
		}
		if !ok {
			t.Unread = fmt.Sprintf("the map %s: it has more than %d elements", name, most)
			continue
		}
		for _, e := range s.elements {
			if len(e.first) != s.keyLen {
				continue
			}
			key, addr := e.first, f.Unspecified()
			if withAddr {
				addr = addrOf(key[:addrLen(f)])
				key = key[addrLen(f):]
			}
			if len(key) >= 6 {
				t.Services = append(t.Services, foreign.Service{
					Addr: addr, Proto: key[0], Port: uint16(key[4])<<8 | uint16(key[5]), Map: name,
				})
			}
		}
	}
	return nil
}
