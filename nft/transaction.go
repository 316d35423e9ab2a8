package nft

import (
	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// encoder writes a plan as a transaction.
type encoder struct {
	*batch
	sets   uint32 // ids given to new sets; they are unique in the transaction
	kernel kernel
}

// encode writes a plan as a transaction whose messages count from the sequence number first.
func encode(p *plan.Plan, first, generation uint32, k kernel) (t *batch, acknowledged uint32) {
	e := encoder{batch: newBatch(first, planSize(p), generation), kernel: k}
	for i := range p.Tables {
		e.table(&p.Tables[i])
	}
	return e.batch, e.finish()
}

// planSize estimates the bytes of a transaction, exact for the elements.
func planSize(p *plan.Plan) int {
	const structure = 64 << 10
	n := structure
	for i := range p.Tables {
		for _, c := range p.Tables[i].Elements {
			sh := shapeOf(p.Tables[i].Family, c.Set)
			n += sh.listSize(c.Del, false) + sh.listSize(c.Add, true)
		}
		for _, k := range p.Tables[i].Keep {
			sh := shapeOf(p.Tables[i].Family, k.Set)
			for j, l := range k.Lifetimes {
				e := k.Elements.At(j)
				n += sh.elementSize(&e, true) + lifetimeSize(l)
			}
		}
	}
	return n + n>>8 // the headers of the messages that carry the elements
}

// table writes the changes of a table, in an order in which no step refers to what is not there yet and none removes
// what is still referred to.
func (e *encoder) table(c *plan.TableChange) {
	t := tableSubject{c.Family, c.Name}
	if c.Op == plan.Replace || c.Op == plan.Delete {
		e.message(unix.NFT_MSG_DELTABLE, 0, c.Family, t, func(b []byte) []byte {
			return appendString(b, unix.NFTA_TABLE_NAME, c.Name)
		})
	}
	if c.Op == plan.Delete {
		return
	}
	if c.Op == plan.Create || c.Op == plan.Replace {
		e.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, c.Family, t, func(b []byte) []byte {
			return appendTable(b, c.Name, c.Comment)
		})
	}
	for _, s := range c.AddSets {
		e.newSet(t, s, unix.NLM_F_EXCL)
	}
	for _, s := range c.GrowSets {
		e.newSet(t, s, 0)
	}
	for _, ch := range c.AddChains {
		e.newChain(t, ch)
	}
	e.rules(t, c)
	for i := range c.Elements {
		e.elements(t, &c.Elements[i])
	}
	for i := range c.Keep {
		e.kept(t, &c.Keep[i])
	}
	e.removals(t, c)
}

// newSet makes a set, or without unix.NLM_F_EXCL gives one that is there its new size.
func (e *encoder) newSet(t tableSubject, s *graph.Set, exclusive uint16) {
	e.sets++
	e.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|exclusive, t.family, setSubject{t, s}, func(b []byte) []byte {
		return appendSet(b, t.family, t.name, s, e.sets)
	})
}

func (e *encoder) newChain(t tableSubject, ch *graph.Chain) {
	e.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_EXCL, t.family, chainSubject{t, ch, 0},
		func(b []byte) []byte { return appendChain(b, t.name, ch) })
}

func (e *encoder) delChain(t tableSubject, ch *graph.Chain) {
	e.message(unix.NFT_MSG_DELCHAIN, 0, t.family, chainSubject{t, ch, 0}, func(b []byte) []byte {
		return appendString(appendString(b, unix.NFTA_CHAIN_TABLE, t.name), unix.NFTA_CHAIN_NAME, ch.Name)
	})
}

// rules replaces the rules of chains. All old ones go first, so that old and new ones can not form a loop of jumps. Chains
// that get another hook are made again in between.
func (e *encoder) rules(t tableSubject, c *plan.TableChange) {
	added := make(map[string]bool, len(c.AddChains))
	for _, ch := range c.AddChains {
		added[ch.Name] = true
	}
	for _, ch := range c.RemakeChains {
		added[ch.Name] = true
		e.flush(t, ch)
	}
	for _, ch := range c.SetRules {
		if !added[ch.Name] {
			e.flush(t, ch)
		}
	}
	for _, ch := range c.DelChains {
		e.flush(t, ch)
	}
	for _, ch := range c.RemakeChains {
		e.delChain(t, ch)
		e.newChain(t, ch)
	}
	for _, ch := range c.SetRules {
		for i := range ch.Rules {
			e.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, t.family, chainSubject{t, ch, i + 1},
				func(b []byte) []byte { return appendRule(b, t.family, t.name, ch.Name, &ch.Rules[i]) })
		}
	}
}

// flush deletes the rules of a chain.
func (e *encoder) flush(t tableSubject, ch *graph.Chain) {
	e.message(unix.NFT_MSG_DELRULE, 0, t.family, chainSubject{t, ch, 0}, func(b []byte) []byte {
		return appendString(appendString(b, unix.NFTA_RULE_TABLE, t.name), unix.NFTA_RULE_CHAIN, ch.Name)
	})
}

// removals deletes sets and chains. Their rules are gone already; sets go before chains, because the elements of a
// verdict map refer to chains.
func (e *encoder) removals(t tableSubject, c *plan.TableChange) {
	for _, s := range c.DelSets {
		e.message(unix.NFT_MSG_DELSET, 0, t.family, setSubject{t, s}, func(b []byte) []byte {
			return appendString(appendString(b, unix.NFTA_SET_TABLE, t.name), unix.NFTA_SET_NAME, s.Name)
		})
	}
	for _, ch := range c.DelChains {
		e.delChain(t, ch)
	}
}

// elements deletes and adds elements of a set. An element of a set with timeouts may expire while this is written, so
// that its deletion must not fail where it is gone.
func (e *encoder) elements(t tableSubject, c *plan.ElementChange) {
	sh := shapeOf(t.family, c.Set)
	s := elementsSubject{setSubject: setSubject{t, c.Set}, shape: &sh}
	del := s
	del.deletion, del.expiring = true, c.Set.Timeout
	msg := uint16(unix.NFT_MSG_DELSETELEM)
	if del.expiring && !e.kernel.plainDelete {
		msg = nftMsgDestroySetElem
	}
	e.elementMessages(msg, 0, del, c.Del)
	e.elementMessages(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, s, c.Add)
}

// kept adds elements that are to live on for as long as they would have.
func (e *encoder) kept(t tableSubject, k *plan.KeptElements) {
	sh := shapeOf(t.family, k.Set)
	s := elementsSubject{setSubject: setSubject{t, k.Set}, shape: &sh, lives: k.Lifetimes}
	e.elementMessages(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, s, k.Elements)
}

// elementMessages writes elements into as many messages as it takes: the list of elements is one attribute, and no
// attribute is longer than 64 KiB.
func (e *encoder) elementMessages(msg, flags uint16, s elementsSubject, elements graph.Elements) {
	for at := 0; at < elements.Len(); {
		m := s
		e.message(msg, flags, s.table.family, &m, func(b []byte) []byte {
			start := e.starts[len(e.starts)-1]
			b = appendString(b, unix.NFTA_SET_ELEM_LIST_TABLE, s.table.name)
			b = appendString(b, unix.NFTA_SET_ELEM_LIST_SET, s.set.Name)
			b, list := openNested(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			m.start = len(b) - start
			from := at
			if s.lives != nil {
				m.lives = s.lives[from:]
			}
			for ; at < elements.Len(); at++ {
				e := elements.At(at)
				if len(b)-list+m.size(at-from, &e) > attrMax {
					break
				}
				if m.lives != nil {
					b = s.shape.appendExpiring(b, &e, m.lives[at-from])
				} else {
					b = s.shape.appendElement(b, &e, !s.deletion)
				}
			}
			closeNested(b, list)
			m.elements = elements.Slice(from, at)
			return b
		})
	}
}
