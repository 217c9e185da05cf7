package scrape

import (
	"math"
	"slices"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/storage"
)

// cache knows the series of one target by the bytes with which the target names them, so that labels are parsed and
// relabelled once in a series' life. It also knows when each was last seen, from which staleness follows. It belongs to
// the goroutine of a loop.
//
// It keeps neither bytes nor labels, but hashes under a secret seed: two series of a target are taken for one with a
// probability of 2^-64, and the labels of one that the storage has forgotten are read from the body again.
//
// Invariants:
//  1. An entry's index stays the same between two calls of compact, which only happens between scrapes.
//  2. Scrapes are numbered from 1 (round), and numbered anew before the numbers end. Whether an entry was in the last good
//     scrape, and is to be ended, is what tracked reports.
type cache struct {
	rules *sampleRules
	opts  exposition.Options
	// entries hold the series, table finds them by hash: open addressing, from the slot that the hash's low bits give. A
	// slot is zero while it is free; else its low bits, as many, are an index+1, and those above are the hash's highest,
	// so that hardly ever an entry is looked at in vain.
	entries []cacheEntry
	table   []uint32
	// round is the current scrape, good the last one that succeeded, zero if its series have been marked stale; count
	// are the entries that good saw.
	round, good uint8
	count       int
	// first is the entry that starts the body, at the one before the line that is read; both index+1.
	first, at uint32
	// seen counts the entries of this scrape, again those of them that good saw too.
	seen, again int
	// gone are series of a cache that this one replaces, to be marked stale unless they come again.
	gone []storage.SeriesRef
	// starts are the times, by entry, at which counting last started; empty unless zeros are appended for them.
	starts []int64
}

// cacheEntry is one series. There are as many as series in the storage, so it is kept to 24 bytes, and holds no pointer.
type cacheEntry struct {
	// hash is that of the bytes that name the series, size their number, zero if it is too large to be kept.
	hash uint64
	ref  storage.SeriesRef
	// next is the entry that followed in the body, index+1: the guess for the next line.
	next uint32
	size uint16
	// cur is the latest round that saw the series.
	cur   uint8
	flags entryFlags
}

// entryFlags are what there is to say about an entry with yes or no.
type entryFlags uint8

const (
	// flagDropped: relabelling drops the series.
	flagDropped entryFlags = 1 << iota
	// flagUntracked: the latest sample had a timestamp of its own, so that its absence means nothing.
	flagUntracked
	// flagAdded: the series is new and still has to be counted as such.
	flagAdded
	// flagAgain: when the latest round saw the series, it was tracked.
	flagAgain
)

func (e *cacheEntry) is(flag entryFlags) bool { return e.flags&flag != 0 }

func (e *cacheEntry) set(flag entryFlags, on bool) {
	if e.flags &^= flag; on {
		e.flags |= flag
	}
}

func newCache(rules *sampleRules, opts exposition.Options) *cache {
	return &cache{rules: rules, opts: opts, table: make([]uint32, minTable)}
}

// begin starts a scrape.
func (c *cache) begin() {
	if c.round == math.MaxUint8 {
		c.renumber()
	}
	c.round++
	c.at, c.seen, c.again = 0, 0, 0
}

// renumber makes the last good scrape the first, and forgets the numbers of all others.
func (c *cache) renumber() {
	for i := range c.entries {
		e := &c.entries[i]
		if e.cur == c.good {
			e.cur = min(c.good, 1)
		} else {
			e.cur = 0
		}
	}
	c.good = min(c.good, 1)
	c.round = 1
}

// guess returns the ID of the series that followed the latest one in the scrape before, or that of none.
func (c *cache) guess() exposition.ID {
	i := c.guessed()
	if i == 0 {
		return exposition.ID{}
	}
	e := &c.entries[i-1]
	return exposition.ID{Hash: e.hash, Size: int(e.size)}
}

func (c *cache) guessed() uint32 {
	if c.at == 0 {
		return c.first
	}
	return c.entries[c.at-1].next
}

// find returns the entry of a series with a hash, or -1.
func (c *cache) find(hash uint64) int {
	mask := uint32(len(c.table) - 1)
	high := uint32(hash>>32) &^ mask
	for at := uint32(hash) & mask; c.table[at] != 0; at = (at + 1) & mask {
		if slot := c.table[at]; slot&^mask == high && c.entries[slot&mask-1].hash == hash {
			return int(slot&mask - 1)
		}
	}
	return -1
}

// add makes an entry for a series that find does not know.
func (c *cache) add(id exposition.ID, dropped bool) int {
	e := cacheEntry{hash: id.Hash}
	if id.Size <= math.MaxUint16 {
		e.size = uint16(id.Size)
	}
	e.set(flagDropped, dropped)
	e.set(flagAdded, !dropped)
	if n := len(c.entries); n == cap(c.entries) && c.good != 0 {
		c.fit(n / entrySlack) // Less than append takes: most targets stay as they are.
	}
	c.entries = append(c.entries, e)
	i := len(c.entries) - 1
	if len(c.entries)*4 > len(c.table)*3 {
		c.index()
	} else {
		c.insert(i)
	}
	return i
}

// entrySlack is the part of the entries for which there is room ahead, or which may be left of series that are gone.
const entrySlack, minSlack = 8, 16

// fit moves the entries to memory with room for some more.
func (c *cache) fit(more int) {
	c.entries = append(make([]cacheEntry, 0, len(c.entries)+more+minSlack), c.entries...)
}

// insert puts an entry into the table.
func (c *cache) insert(i int) {
	hash := c.entries[i].hash
	mask := uint32(len(c.table) - 1)
	at := uint32(hash) & mask
	for c.table[at] != 0 {
		at = (at + 1) & mask
	}
	c.table[at] = uint32(hash>>32)&^mask | uint32(i+1)
}

const minTable = 32

// index puts all entries into a table of which at most three quarters are taken.
func (c *cache) index() {
	size := minTable
	for size*3 < len(c.entries)*4 {
		size *= 2
	}
	if size == len(c.table) {
		clear(c.table)
	} else {
		c.table = make([]uint32, size)
	}
	for i := range c.entries {
		c.insert(i)
	}
}

// touch notes that the current line is of entry i, and reports whether the scrape has seen it before.
func (c *cache) touch(i int) (again bool) {
	e := &c.entries[i]
	if c.at == 0 {
		c.first = uint32(i + 1)
	} else if before := &c.entries[c.at-1]; before.next != uint32(i+1) {
		before.next = uint32(i + 1)
	}
	c.at = uint32(i + 1)
	if e.cur == c.round {
		return true
	}
	if e.cur == c.good && c.good != 0 {
		c.again++
	}
	e.set(flagAgain, c.tracked(e)) // Before the sample of this round says whether it has a timestamp.
	e.cur = c.round
	c.seen++
	return false
}

// started notes when counting for an entry started, and reports whether that is new.
func (c *cache) started(i int, st int64) bool {
	c.completeStarts()
	if c.starts[i] == st {
		return false
	}
	c.starts[i] = st
	return true
}

func (c *cache) completeStarts() {
	if missing := len(c.entries) - len(c.starts); missing > 0 {
		c.starts = append(c.starts, make([]int64, missing)...)
	}
}

// tracked reports whether the entry was in the last good scrape, in a way that makes its absence mean something.
func (c *cache) tracked(e *cacheEntry) bool {
	if c.good == 0 {
		return false
	}
	if e.cur == c.good {
		return !e.is(flagDropped) && (!e.is(flagUntracked) || c.rules.trackTimestamps)
	}
	return e.cur == c.round && e.is(flagAgain)
}

// vanished appends to dst the series of the last good scrape that the current one has not seen; with all, those it has
// seen too.
func (c *cache) vanished(all bool, dst []storage.SeriesRef) []storage.SeriesRef {
	dst = append(dst, c.gone...)
	if all || c.again != c.count { // Else, fast path: nothing is missing.
		for i := range c.entries {
			if e := &c.entries[i]; e.ref != 0 && c.tracked(e) && (all || e.cur != c.round) {
				dst = append(dst, e.ref)
			}
		}
	}
	if len(dst) == 0 {
		return dst
	}
	slices.Sort(dst)
	dst = slices.Compact(dst)
	if !all {
		dst = c.withoutSeen(dst)
	}
	return dst
}

// withoutSeen removes from refs, which are sorted, the series that the current scrape has seen, if under other bytes:
// with labels in another order, say.
func (c *cache) withoutSeen(refs []storage.SeriesRef) []storage.SeriesRef {
	// A filter of bits keeps the search to the few entries that may be among refs.
	const filterBits = 1 << 12
	var filter [filterBits / 64]uint64
	for _, ref := range refs {
		bit := ref % filterBits
		filter[bit/64] |= 1 << (bit % 64)
	}
	for i := range c.entries {
		e := &c.entries[i]
		bit := e.ref % filterBits
		if e.cur != c.round || filter[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		if at, found := slices.BinarySearch(refs, e.ref); found {
			refs = slices.Delete(refs, at, at+1)
		}
	}
	return refs
}

// endGood ends a scrape that succeeded.
func (c *cache) endGood() {
	c.good, c.count, c.gone = c.round, c.seen, nil
	if dead := len(c.entries) - c.count; dead > c.count/entrySlack+2*minSlack {
		c.compact()
	}
	if unused := cap(c.entries) - len(c.entries); unused > 2*(c.count/entrySlack+minSlack) {
		c.fit(0) // After the first scrape, or one that has much less.
	}
}

// Limits on what a cache keeps of a target that never succeeds.
const (
	maxGrowth = 2
	maxExtra  = 1000
)

// endBad ends a scrape that failed, after which nothing is tracked any more. It reports whether the cache had to be
// emptied, because it was growing without any success.
func (c *cache) endBad() (flushed bool) {
	c.good, c.gone, c.starts = 0, nil, nil
	if len(c.entries) <= maxGrowth*c.count+maxExtra {
		return false
	}
	*c = *newCache(c.rules, c.opts)
	return true
}

// compact drops the entries that the last good scrape did not see.
func (c *cache) compact() {
	moved := make([]uint32, len(c.entries)+1) // New index+1 by old index+1.
	if c.starts != nil {
		c.completeStarts()
	}
	n := 0
	for i := range c.entries {
		if c.entries[i].cur != c.good {
			continue
		}
		c.entries[n] = c.entries[i]
		if c.starts != nil {
			c.starts[n] = c.starts[i]
		}
		n++
		moved[i+1] = uint32(n)
	}
	c.entries = c.entries[:n]
	if c.starts != nil {
		c.starts = c.starts[:n]
	}
	for i := range c.entries {
		c.entries[i].next = moved[c.entries[i].next]
	}
	c.first, c.at = moved[c.first], 0
	c.index()
}

// replace returns an empty cache for other rules or another format, which still knows what has to be marked stale if
// it does not come again.
func (c *cache) replace(rules *sampleRules, opts exposition.Options) *cache {
	next := newCache(rules, opts)
	next.gone = c.vanished(true, nil)
	return next
}
