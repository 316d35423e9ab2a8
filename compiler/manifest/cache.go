package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"reflect"

	"github.com/svcctl/svcctl/compiler/diag"
)

// Key is the address of a document in a [Cache]: a digest of its text and of all else that decides what it decodes to,
// but for the program.
type Key [sha256.Size]byte

// Cache remembers what documents decode to, between runs of the program. It is asked for each document and for each item
// of a List, from several goroutines at a time.
//
// With and without a cache [Decode] gives the same. It is therefore for the cache to forget what was put by any other
// build of the program, and what was damaged: Decode survives every value, but it takes one that is well-formed for the
// truth.
type Cache interface {
	// Get gives the value that was put with the key, if it is still there.
	Get(Key) (value string, ok bool)
	// Put offers a value, in place of one that Get gave and that was of no use. Only who calls encode pays for it; it
	// gives nil where there is something in the document that cannot be remembered.
	Put(key Key, encode func() []byte)
}

// memoVersion is the first thing in every key: a change of the encoding changes it.
const memoVersion = 1

// key gives the key of a unit. Its file and first line are not in it, so that a document that moves is still known; its
// column is, for it decides the columns of all that is on its first line.
func (r *reader) key(u *unit) Key {
	b := append(r.scratch[:0], memoVersion)
	if u.list != nil {
		b = append(b, u.list.kind...)
	}
	b = append(b, 0)
	b = binary.AppendUvarint(b, uint64(u.column))
	b = append(b, u.text...)
	r.scratch = b
	return sha256.Sum256(b)
}

// read reads a unit, from the cache if it is there. Only documents without a finding are kept there: what is wrong with
// one is found anew each time. Nor are those of kinds that are not read: they may be Secrets, of which not even a digest
// should be left lying about.
func (r *reader) read(u *unit) found {
	if r.cache == nil && !r.named {
		return r.decodeUnit(u)
	}
	key := r.key(u)
	f := r.readCached(u, key)
	if r.named {
		f.key = key
	}
	return f
}

func (r *reader) readCached(u *unit, key Key) found {
	if r.cache == nil {
		return r.decodeUnit(u)
	}
	if value, ok := r.cache.Get(key); ok {
		if f, ok := r.recall(u, value); ok {
			return f
		}
	}
	f := r.decodeUnit(u)
	if len(f.diags) == 0 && len(f.skipped) == 0 && !f.broken {
		r.cache.Put(key, func() []byte { return r.memo.encode(u, &f) })
	}
	return f
}

// The encoding of what a unit held, "memo" for short: objects, each with its kind, its place, its fields by the types'
// own description and the places of its list items. Numbers are varints, a field that is zero is not there, strings are
// as they are. Lines count from the unit's first.

// memoKinds number the kinds.
var memoKinds = [...]string{"Service", "EndpointSlice", "Endpoints", "Pod", "Node"}

// memoObject is an [Object] of any kind.
type memoObject interface {
	memoParts() (value reflect.Value, at diag.Pos, p *positions)
}

func (o *Object[T]) memoParts() (reflect.Value, diag.Pos, *positions) {
	return reflect.ValueOf(&o.Value).Elem(), o.Pos, &o.positions
}
