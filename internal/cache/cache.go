// Package cache keeps in a file what documents decode to, so that the next run of the program need not decode them
// again. It is a [manifest.Cache].
//
// The file is a cache and nothing else: where it is missing, damaged, of another build of the program or of somebody else,
// there is nothing in it, and the documents are decoded. It is believed as much as the record of what was applied that
// lies beside it: only when it, and its directory, belong to the user who runs the program and nobody else may write
// there. The checksum is against failing disks and power cuts; who can write the file can write that, too.
//
// It is read whole, for one read of five megabytes costs less than ten thousand of five hundred bytes, and only written
// anew where that pays: see [Cache.Save].
package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// Cache is what was in the file, and what is to be added.
type Cache struct {
	stateDir string
	build    string
	pack     *pack         // nil: nothing
	used     []atomic.Bool // per entry of the pack

	// keeps says that what is put will be saved.
	keeps bool
	mu    sync.Mutex
	added map[manifest.Key][]byte

	hits, misses atomic.Int64
}

// Options say how a cache is used.
type Options struct {
	// Build names the build of the program. What another build wrote is not used.
	Build string
	// Keep says that [Cache.Save] is going to be called. Without it, nothing that is put is remembered.
	Keep bool
}

// Open gives the cache below a state directory. It always gives one; the error says why it is empty, nil where it is not
// or where there has never been one.
func Open(stateDir string, opts Options) (*Cache, error) {
	c := &Cache{
		stateDir: stateDir, build: opts.Build, keeps: opts.Keep,
		added: map[manifest.Key][]byte{},
	}
	p, err := read(stateDir, c.build)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return c, nil
		}
		return c, err
	}
	c.pack, c.used = p, make([]atomic.Bool, p.count)
	return c, nil
}

// Get gives the value of a key.
func (c *Cache) Get(k manifest.Key) (value string, ok bool) {
	if i := c.find(&k); i >= 0 {
		c.used[i].Store(true)
		value, ok = c.pack.value(i)
	}
	if ok {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
	return value, ok
}

func (c *Cache) find(k *manifest.Key) int {
	if c.pack == nil {
		return -1
	}
	return c.pack.find(k)
}

// Counts gives how often Get had a value, and how often it had none.
func (c *Cache) Counts() (hits, misses int64) { return c.hits.Load(), c.misses.Load() }

// Put adds a value, to be saved.
func (c *Cache) Put(k manifest.Key, encode func() []byte) {
	if !c.keeps {
		return
	}
	value := encode()
	if value == nil || len(value) > maxValue {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added[k] = value
}

const (
	// worthwhile is what part of all that was used must be new for the file to be written: until then decoding the new
	// part again, each time, costs less than writing everything once.
	worthwhile = 16
	// refresh is after how many days the file is written lest what is used look forgotten.
	refresh = 7
	// maxAge is for how many days values are kept that nobody used.
	maxAge = 30
	// spare is how many bytes of unused values are kept at least. Beyond that they are no more than the used ones.
	spare = 8 << 20
)

// Save writes the file, if enough has changed for that to be worth its while. The file that is there is replaced as a
// whole. It is not made durable: after a power cut there may be nothing usable.
func (c *Cache) Save(now time.Time) error {
	today := uint32(now.Unix() / (24 * 60 * 60))
	if !c.worthSaving(today) {
		return nil
	}
	return write(c.stateDir, c.build, c.entries(today), now)
}

// worthSaving reports whether enough is new, or what is used was last seen long ago.
func (c *Cache) worthSaving(today uint32) bool {
	added := 0
	for _, value := range c.added {
		added += len(value)
	}
	if len(c.added) > 0 && added >= c.usedBytes()/worthwhile {
		return true
	}
	for i := range c.used {
		if c.used[i].Load() && c.pack.day(i)+refresh <= today {
			return true
		}
	}
	return false
}

func (c *Cache) usedBytes() int {
	n := 0
	for i := range c.used {
		if c.used[i].Load() {
			value, _ := c.pack.value(i)
			n += len(value)
		}
	}
	return n
}

// entry is a value to be written.
type entry struct {
	key   manifest.Key
	value string
	day   uint32 // when it was last used, since 1970
}

// entries gives what to write, sorted by key: what was used or added, and what was not used for some time yet.
func (c *Cache) entries(today uint32) []entry {
	var entries, unused []entry
	size := 0
	for k, value := range c.added {
		entries = append(entries, entry{k, string(value), today})
		size += len(value)
	}
	for i := range c.used {
		e, ok := c.pack.entry(i)
		if _, again := c.added[e.key]; !ok || again {
			continue
		}
		if !c.used[i].Load() {
			unused = append(unused, e)
			continue
		}
		e.day = today
		entries = append(entries, e)
		size += len(e.value)
	}
	// The youngest first; of the same day, by key.
	slices.SortStableFunc(unused, func(a, b entry) int { return cmp.Compare(b.day, a.day) })
	room := max(size, spare)
	for _, e := range unused {
		if room -= len(e.value); room < 0 || e.day+maxAge < today {
			break
		}
		entries = append(entries, e)
	}
	return fitting(entries)
}

// fitting gives the first of the entries, as many as a file takes, sorted by key.
func fitting(entries []entry) []entry {
	size := 0
	for i := range entries {
		if size += len(entries[i].value) + indexSize; size > maxFile-headerSize {
			entries = entries[:i]
			break
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return compareKeys(a.key, b.key) })
	return entries
}
