package nft

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// State is what the kernel has under one table name.
type State struct {
	Ruleset    *graph.Ruleset // the tables of that name, in family order; none where there is none
	Generation uint32         // of the namespace when it was read: for [Conn.Commit]
	// Unknown describes what is in these tables and not of svcctl's making, one line each: "ip svcctl chain dispatch rule
	// 3: its expression \"limit\" is none that svcctl writes".
	Unknown []string
	// Foreign is the part of Unknown that no plan can remove, because a ruleset has no place for it: objects, flowtables, a
	// table that is switched off. Making the table anew does.
	Foreign []string

	counts []map[string]int // by table and set: how many elements the kernel has, -1 where it does not say
}

// How often something is read that others keep changing: everything, which may take a second, and what takes less than a
// millisecond, so that somebody who changes nftables a thousand times a second leaves room for it now and then.
const (
	readAttempts  = 5
	quickAttempts = 50
)

// Read gives the tables of a name in the families ip and ip6: sets, elements, those of dynamic maps too, chains and
// rules. What svcctl could not have written is described in Unknown; in the ruleset, a foreign rule is one without
// statements and a foreign set one without a key, so that they equal nothing that svcctl writes. What comes and goes with
// a rule, like an anonymous set, is left out.
//
// The error is or wraps [ErrConflict] where the ruleset kept changing meanwhile, or [ErrPermission].
func (c *Conn) Read(ctx context.Context, table string) (*State, error) {
	return c.read(ctx, table, readAttempts, (*tableReader).readContent)
}

// read reads the tables of a name, of their content what the function reads, until nothing changes meanwhile.
func (c *Conn) read(
	ctx context.Context, table string, attempts int, content func(*tableReader, context.Context) error,
) (*State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for range attempts {
		var s *State
		s, err = c.readUnchanged(ctx, table, content)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, errNoAnswer) {
			return nil, err
		}
	}
	if errors.Is(err, ErrConflict) {
		err = fmt.Errorf("reading table %s: %w", table, err)
	}
	return nil, err
}

// readUnchanged reads once; it is a conflict where something changed meanwhile.
func (c *Conn) readUnchanged(
	ctx context.Context, table string, content func(*tableReader, context.Context) error,
) (*State, error) {
	before, err := c.generation(ctx)
	if err != nil {
		return nil, err
	}
	s, consistent, err := c.readOnce(ctx, table, content)
	if err != nil {
		return nil, err
	}
	after, err := c.generation(ctx)
	if err != nil {
		return nil, err
	}
	if !consistent || before != after {
		return nil, ErrConflict
	}
	s.Generation = after
	return s, nil
}

// readOnce reads everything; consistent is false where something changed in between.
func (c *Conn) readOnce(
	ctx context.Context, table string, content func(*tableReader, context.Context) error,
) (s *State, consistent bool, err error) {
	s = &State{Ruleset: &graph.Ruleset{FixedSizes: c.kernel.fixedSizes}}
	for _, f := range graph.Families {
		r := tableReader{conn: c, name: tableSubject{f, table}, sets: make(map[string]*graph.Set)}
		found, err := r.readTable(ctx)
		if err == nil && found {
			err = content(&r, ctx)
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading table %s: %w", r.name, err)
		}
		if r.changed {
			return nil, false, nil
		}
		if found {
			s.Ruleset.Tables = append(s.Ruleset.Tables, r.table)
			s.Unknown = append(append(s.Unknown, r.unknown...), r.foreign...)
			s.Foreign = append(s.Foreign, r.foreign...)
			s.counts = append(s.counts, r.countsByName())
		}
	}
	return s, true, nil
}

// tableReader reads one table.
type tableReader struct {
	conn    *Conn
	name    tableSubject
	table   *graph.Table
	sets    map[string]*graph.Set // by name, those that svcctl could have made
	counts  []int                 // of the sets in the table, by place
	unknown []string
	foreign []string // what has no place in a ruleset
	changed bool     // something changed in between
}

func (r *tableReader) note(format string, args ...any) {
	r.unknown = append(r.unknown, r.name.String()+" "+fmt.Sprintf(format, args...))
}

// strange notes what has no place in a ruleset.
func (r *tableReader) strange(format string, args ...any) {
	r.foreign = append(r.foreign, r.name.String()+" "+fmt.Sprintf(format, args...))
}

// dump requests a list and gives each entry to fn.
func (r *tableReader) dump(ctx context.Context, msg uint16, attributes []byte, fn func(attributes []byte)) error {
	a, err := r.conn.sock.request(ctx, msg, unix.NLM_F_DUMP, familyOf(r.name.family), attributes,
		func(family uint8, b []byte) {
			if family == familyOf(r.name.family) {
				fn(b)
			}
		})
	if err != nil {
		return err
	}
	// What was there a moment ago and is gone has been changed by somebody else.
	r.changed = r.changed || a.changed || a.errno == unix.EINTR || a.errno == unix.ENOENT
	if r.changed {
		return nil
	}
	return a.err()
}

// readTable reads the table itself and reports whether there is one.
func (r *tableReader) readTable(ctx context.Context) (found bool, err error) {
	var info tableInfo
	a, err := r.conn.sock.request(ctx, unix.NFT_MSG_GETTABLE, 0, familyOf(r.name.family),
		appendString(nil, unix.NFTA_TABLE_NAME, r.name.name), func(_ uint8, b []byte) { info = decodeTable(b) })
	if err != nil {
		return false, err
	}
	if a.errno == unix.ENOENT {
		return false, nil
	}
	if err := a.err(); err != nil {
		return false, err
	}
	r.table = &graph.Table{Family: r.name.family, Name: r.name.name, Comment: info.comment}
	if info.dormant {
		r.foreign = append(r.foreign, "table "+r.name.String()+": it is switched off (flags dormant)")
	}
	return true, nil
}

func (r *tableReader) readContent(ctx context.Context) error {
	return r.inTurn(ctx, r.readSets, r.readElements, r.readChains, r.readRules, r.readForeign)
}

// inTurn reads one thing after the other, until something changes meanwhile.
func (r *tableReader) inTurn(ctx context.Context, reads ...func(context.Context) error) error {
	for _, read := range reads {
		if err := read(ctx); err != nil || r.changed {
			return err
		}
	}
	return nil
}

func (r *tableReader) readSets(ctx context.Context) error {
	return r.dump(ctx, unix.NFT_MSG_GETSET, appendString(nil, unix.NFTA_SET_TABLE, r.name.name), func(b []byte) {
		i := decodeSet(r.name.family, b)
		if i.table != r.name.name || i.unnamed {
			return
		}
		r.table.Sets = append(r.table.Sets, i.set)
		r.counts = append(r.counts, i.count)
		if i.foreign != "" {
			r.note("set %s: %s", i.set.Name, i.foreign)
			return
		}
		r.sets[i.set.Name] = i.set
	})
}

func (r *tableReader) readElements(ctx context.Context) error {
	for i, s := range r.table.Sets {
		// The kernel halves the number of elements of a tree: 0 may be one range without an end.
		if s.Key == nil || r.counts[i] == 0 && !s.Interval {
			continue
		}
		elements := newElementReader(r.name.family, s, r.counts[i])
		request := appendString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, r.name.name)
		request = appendString(request, unix.NFTA_SET_ELEM_LIST_SET, s.Name)
		if err := r.dump(ctx, unix.NFT_MSG_GETSETELEM, request, elements.read); err != nil {
			return fmt.Errorf("elements of %s: %w", s.Name, err)
		}
		var ok bool
		if s.Elements, ok = elements.result(); !ok {
			r.note("set %s: it has elements that svcctl does not write", s.Name)
			*s = graph.Set{Name: s.Name}
			delete(r.sets, s.Name)
			continue
		}
		s.Lifetimes = elements.lives
	}
	return nil
}

func (r *tableReader) readChains(ctx context.Context) error {
	return r.dump(ctx, unix.NFT_MSG_GETCHAIN, appendString(nil, unix.NFTA_CHAIN_TABLE, r.name.name), func(b []byte) {
		i := decodeChain(b)
		if i.table != r.name.name || i.unnamed {
			return
		}
		r.table.Chains = append(r.table.Chains, i.chain)
		if i.foreign != "" {
			r.note("chain %s: %s", i.chain.Name, i.foreign)
		}
	})
}

func (r *tableReader) readRules(ctx context.Context) error {
	chains := make(map[string]*graph.Chain, len(r.table.Chains))
	for _, c := range r.table.Chains {
		chains[c.Name] = c
	}
	return r.dump(ctx, unix.NFT_MSG_GETRULE, appendString(nil, unix.NFTA_RULE_TABLE, r.name.name), func(b []byte) {
		i := decodeRuleInfo(b)
		c := chains[i.chain]
		if i.table != r.name.name || c == nil {
			return
		}
		rule, err := decodeRule(r.name.family, r.sets, i)
		c.Rules = append(c.Rules, rule)
		if err != nil {
			r.note("chain %s rule %d: %v", c.Name, len(c.Rules), err)
		}
	})
}

// readForeign looks for kinds of objects that svcctl never makes.
func (r *tableReader) readForeign(ctx context.Context) error {
	err := r.dump(ctx, unix.NFT_MSG_GETOBJ, appendString(nil, unix.NFTA_OBJ_TABLE, r.name.name), func(b []byte) {
		if str(firstAttr(b, unix.NFTA_OBJ_TABLE)) == r.name.name {
			r.strange("object %s: svcctl has no such objects", str(firstAttr(b, unix.NFTA_OBJ_NAME)))
		}
	})
	if err != nil || r.changed {
		return err
	}
	flowtable := appendString(nil, nftaFlowtableTable, r.name.name)
	return r.dump(ctx, unix.NFT_MSG_GETFLOWTABLE, flowtable, func(b []byte) {
		if str(firstAttr(b, nftaFlowtableTable)) == r.name.name {
			r.strange("flowtable %s: svcctl has no flowtables", str(firstAttr(b, nftaFlowtableName)))
		}
	})
}
