package nft

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// counterName is the kernel's name of the expression that counts.
const counterName = "counter"

// appendCounter adds the expression that every element of a set that counts gets a copy of, at zero.
func appendCounter(b []byte, typ uint16) []byte {
	b, expr := openNested(b, typ)
	b = appendString(b, unix.NFTA_EXPR_NAME, counterName)
	b, data := openNested(b, unix.NFTA_EXPR_DATA)
	closeNested(b, data)
	closeNested(b, expr)
	return b
}

func isCounter(expr []byte) bool { return str(firstAttr(expr, unix.NFTA_EXPR_NAME)) == counterName }

// Count is what was counted.
type Count struct{ Packets, Bytes uint64 }

// countOf reads the expression of an element or a rule.
func countOf(expr []byte) Count {
	data := firstAttr(expr, unix.NFTA_EXPR_DATA)
	return Count{u64(firstAttr(data, unix.NFTA_COUNTER_PACKETS)), u64(firstAttr(data, unix.NFTA_COUNTER_BYTES))}
}

// ElementCount is what an element of a set or map counted.
type ElementCount struct {
	Key  graph.Key
	Data graph.Data
	Count
}

// RuleCount is what a rule counted, at the first counter that it has.
type RuleCount struct {
	Chain string
	Rule  graph.Rule
	Count
}

// TableCounters are the counters of one table.
type TableCounters struct {
	Family graph.Family
	Sets   map[string][]ElementCount // of the sets that count, in no order
	Rules  []RuleCount               // in the order of the kernel
}

// Counters are all counters of the tables of one name.
type Counters struct {
	Tables []TableCounters // in family order
	// Learnt is what the packet path has learnt: see [Conn.ReadLearnt].
	Learnt *graph.Ruleset
}

// ReadCounters reads what the tables of a name have counted and learnt. The kernel goes on counting while it is read, so
// that one counter may be a few packets ahead of another. The error is as of [Conn.Read].
//
// known, if not nil, is what the tables are thought to hold. It saves time and decides nothing: the kernel's dump of a large
// set is quadratic, and asking for each of its elements by key is not.
func (c *Conn) ReadCounters(ctx context.Context, table string, known *graph.Ruleset) (*Counters, error) {
	if known == nil {
		known = &graph.Ruleset{}
	}
	return c.readCounters(ctx, table, func(r *tableReader, ctx context.Context, to *TableCounters) error {
		return r.inTurn(ctx,
			func(ctx context.Context) error { return r.readElementCounters(ctx, known.Table(r.name.family), to) },
			func(ctx context.Context) error { return r.readRuleCounters(ctx, to) },
			r.keepDynamic, r.readElements)
	})
}

// ReadCountersOf reads what some elements have counted: those of the sets of a ruleset that the tables of a name have, too,
// and no rules. Its time depends on their number alone.
func (c *Conn) ReadCountersOf(ctx context.Context, table string, wanted *graph.Ruleset) (*Counters, error) {
	return c.readCounters(ctx, table, func(r *tableReader, ctx context.Context, to *TableCounters) error {
		defer func() { r.table.Sets, r.counts = nil, nil }()
		want := wanted.Table(r.name.family)
		if want == nil {
			return nil
		}
		for _, s := range r.table.Sets {
			if w := want.Set(s.Name); s.Counter && w != nil {
				counts, _, err := r.lookUp(ctx, s, w.Elements, 1)
				if err != nil {
					return err
				}
				to.Sets[s.Name] = counts
			}
		}
		return nil
	})
}

func (c *Conn) readCounters(
	ctx context.Context, table string, content func(*tableReader, context.Context, *TableCounters) error,
) (*Counters, error) {
	read := map[graph.Family]TableCounters{}
	st, err := c.read(ctx, table, quickAttempts, func(r *tableReader, ctx context.Context) error {
		counters := TableCounters{Family: r.name.family, Sets: map[string][]ElementCount{}}
		defer func() { read[r.name.family] = counters }()
		return r.inTurn(ctx, r.readSets,
			func(ctx context.Context) error { return content(r, ctx, &counters) })
	})
	if err != nil {
		return nil, err
	}
	out := &Counters{Learnt: st.Ruleset}
	for _, t := range st.Ruleset.Tables {
		out.Tables = append(out.Tables, read[t.Family])
	}
	return out, nil
}

// dumpable is how many elements of a set are dumped. Of more, each is asked for.
var dumpable = 50_000 // tests change it

func (r *tableReader) readElementCounters(ctx context.Context, known *graph.Table, to *TableCounters) error {
	for i, s := range r.table.Sets {
		if !s.Counter {
			continue
		}
		if known != nil && r.counts[i] > dumpable {
			if k := known.Set(s.Name); k != nil && k.Elements.Len() == r.counts[i] {
				counts, all, err := r.lookUp(ctx, s, k.Elements, lookedUpAtOnce)
				if err != nil {
					return err
				}
				if all {
					to.Sets[s.Name] = counts
					continue
				}
			}
		}
		elements := newElementReader(r.name.family, s, 0)
		elements.counting, elements.counts = true, make([]ElementCount, 0, max(r.counts[i], 0))
		request := appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, r.name.name)
		request = appendString(request, unix.NFTA_SET_ELEM_LIST_SET, s.Name)
		if err := r.dump(ctx, unix.NFT_MSG_GETSETELEM, request, elements.read); err != nil || r.changed {
			return err
		}
		if elements.foreign {
			return fmt.Errorf("set %s has elements that svcctl does not write", s.Name)
		}
		to.Sets[s.Name] = elements.counts
	}
	return nil
}

// lookedUpAtOnce is how many elements one request asks for. The kernel answers with a message for each, which the receive
// buffer has to hold.
const lookedUpAtOnce = 500

// lookUp asks for elements by their keys, some at a time. A request ends at the first element that is not there: then all is
// false.
func (r *tableReader) lookUp(
	ctx context.Context, s *graph.Set, elements graph.Elements, atOnce int,
) (counts []ElementCount, all bool, err error) {
	reader := newElementReader(r.name.family, s, 0)
	reader.counting, reader.counts = true, make([]ElementCount, 0, elements.Len())
	all = true
	var request []byte
	for from := 0; from < elements.Len(); from += atOnce {
		request = appendString(request[:0], unix.NFTA_SET_ELEM_LIST_TABLE, r.name.name)
		request = appendString(request, unix.NFTA_SET_ELEM_LIST_SET, s.Name)
		var list int
		request, list = openNested(request, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for e := range elements.Slice(from, min(from+atOnce, elements.Len())).All() {
			request = reader.appendElement(request, &e, false)
		}
		closeNested(request, list)
		a, err := r.conn.sock.request(ctx, unix.NFT_MSG_GETSETELEM, 0, familyOf(r.name.family), request,
			func(_ uint8, b []byte) { reader.read(b) })
		switch {
		case err != nil:
			return nil, false, err
		case a.errno == unix.ENOENT:
			all = false
		case a.err() != nil:
			return nil, false, a.err()
		}
	}
	if reader.foreign {
		return nil, false, fmt.Errorf("set %s has elements that svcctl does not write", s.Name)
	}
	return reader.counts, all, nil
}

func (r *tableReader) readRuleCounters(ctx context.Context, to *TableCounters) error {
	request := appendString(nil, unix.NFTA_RULE_TABLE, r.name.name)
	return r.dump(ctx, unix.NFT_MSG_GETRULE, request, func(b []byte) {
		i := decodeRuleInfo(b)
		if i.table != r.name.name {
			return
		}
		for _, e := range attrs(i.expressions) {
			if !isCounter(e) {
				continue
			}
			// A rule that is not svcctl's says nothing to whoever asks.
			if rule, err := decodeRule(r.name.family, r.sets, i); err == nil {
				to.Rules = append(to.Rules, RuleCount{i.chain, rule, countOf(e)})
			}
			return
		}
	})
}
