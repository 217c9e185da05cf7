package scrape

import (
	"slices"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/storage"
)

// cache knows the series of one target by the bytes with which the target names them, so that labels are parsed and
// relabelled once in a series' life. It also knows when each was last seen, from which staleness follows. It belongs to
// the goroutine of a loop.
//
// Invariants:
//  1. An entry's index stays the same between two calls of compact, which only happens between scrapes.
//  2. Scrapes are numbered from 1 (round). An entry was in the last good scrape exactly if tracked reports so.
type cache struct {
	rules *sampleRules
	opts  exposition.Options
	// entries hold the series, table finds them by hash: open addressing, index+1, zero for free.
	entries []cacheEntry
	table   []uint32
	// round is the current scrape, good the last one that succeeded, zero if its series have been marked stale; count
	// are the entries that good saw.
	round, good uint32
	count       int
	// first is the entry that starts the body, at the one before the line that is read; both index+1.
	first, at uint32
	// seen counts the entries of this scrape, again those of them that good saw too.
	seen, again int
	// text holds the bytes of the latest entries: strings in entries point into it and into full ones before it, so
	// that a series is no object of its own to the garbage collector. held is the size of all of them.
	text []byte
	held int
	// gone are series of a cache that this one replaces, to be marked stale unless they come again.
	gone []storage.SeriesRef
	// starts are the times, by entry, at which counting last started; empty unless zeros are appended for them.
	starts []int64
}

// cacheEntry is one series. It is kept small, and holds one pointer.
type cacheEntry struct {
	raw string
	ref storage.SeriesRef
	// hash is that of raw, for growing the table.
	hash uint32
	// cur is the latest round that saw the series, prev the one before that.
	cur, prev uint32
	// next is the entry that followed in the body, index+1: the guess for the next line.
	next     uint32
	rounding exposition.Rounding
	// dropped: relabelling drops the series.
	dropped bool
	// untracked: the latest sample had a timestamp of its own, so that its absence means nothing.
	untracked bool
	// added: the series is new and still has to be counted as such.
	added bool
}

func newCache(rules *sampleRules, opts exposition.Options) *cache {
	return &cache{rules: rules, opts: opts, table: make([]uint32, 64)}
}

// begin starts a scrape.
func (c *cache) begin() {
	c.round++
	c.at, c.seen, c.again = 0, 0, 0
}

// guess returns the bytes of the series that followed the latest one in the scrape before.
func (c *cache) guess() string {
	if i := c.guessed(); i != 0 {
		return c.entries[i-1].raw
	}
	return ""
}

func (c *cache) guessed() uint32 {
	if c.at == 0 {
		return c.first
	}
	return c.entries[c.at-1].next
}

// find returns the entry of a series, or -1. guessed says that it is the one that guess returned.
func (c *cache) find(raw []byte, guessed bool) int {
	if guessed {
		return int(c.guessed() - 1)
	}
	hash := uint32(xxhash.Sum64(raw))
	mask := uint32(len(c.table) - 1)
	for slot := hash & mask; c.table[slot] != 0; slot = (slot + 1) & mask {
		i := c.table[slot] - 1
		if e := &c.entries[i]; e.hash == hash && e.raw == string(raw) {
			return int(i)
		}
	}
	return -1
}

// add makes an entry for a series that find does not know.
func (c *cache) add(raw []byte, rounding exposition.Rounding, dropped bool) int {
	if len(c.entries)*2 >= len(c.table) {
		c.rehash(2 * len(c.table))
	}
	c.entries = append(c.entries, cacheEntry{
		raw: c.hold(raw), hash: uint32(xxhash.Sum64(raw)), rounding: rounding, dropped: dropped, added: !dropped,
	})
	i := len(c.entries) - 1
	c.insert(i)
	return i
}

// Bounds of the pieces of memory that hold the bytes of entries; they grow with what a cache holds already.
const minText, maxText = 1 << 10, 64 << 10

// hold returns raw as a string that stays.
func (c *cache) hold(raw []byte) string {
	if cap(c.text)-len(c.text) < len(raw) {
		c.text = make([]byte, 0, max(len(raw), min(max(c.held/4, minText), maxText)))
		c.held += cap(c.text)
	}
	start := len(c.text)
	c.text = append(c.text, raw...)
	// Bytes once written to text are never written again.
	return unsafe.String(unsafe.SliceData(c.text[start:]), len(raw))
}

func (c *cache) insert(i int) {
	mask := uint32(len(c.table) - 1)
	slot := c.entries[i].hash & mask
	for c.table[slot] != 0 {
		slot = (slot + 1) & mask
	}
	c.table[slot] = uint32(i + 1)
}

func (c *cache) rehash(size int) {
	c.table = make([]uint32, size)
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
	e.prev, e.cur = e.cur, c.round
	c.seen++
	return false
}

// started notes when counting for an entry started, and reports whether that is new.
func (c *cache) started(i int, st int64) bool {
	for len(c.starts) < len(c.entries) {
		c.starts = append(c.starts, 0)
	}
	if c.starts[i] == st {
		return false
	}
	c.starts[i] = st
	return true
}

// tracked reports whether the entry was in the last good scrape.
func (c *cache) tracked(e *cacheEntry) bool {
	if c.good == 0 || e.dropped || e.untracked && !c.rules.trackTimestamps {
		return false
	}
	return e.cur == c.good || e.cur == c.round && e.prev == c.good
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
	if dead := len(c.entries) - c.count; dead > c.count/2+64 {
		c.compact()
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
	*c = cache{rules: c.rules, opts: c.opts, table: make([]uint32, 64), round: c.round}
	return true
}

// compact drops the entries that the last good scrape did not see.
func (c *cache) compact() {
	kept := make([]cacheEntry, 0, c.count)
	moved := make([]uint32, len(c.entries)+1) // New index+1 by old index+1.
	c.text, c.held, c.starts = nil, 0, nil    // A start that is not known is told to the storage again.
	for i, e := range c.entries {
		if e.cur == c.good {
			e.raw = c.hold([]byte(e.raw))
			kept = append(kept, e)
			moved[i+1] = uint32(len(kept))
		}
	}
	for i := range kept {
		kept[i].next = moved[kept[i].next]
	}
	c.first = moved[c.first]
	c.entries, c.at = kept, 0
	size := 64
	for size < 4*len(kept) {
		size *= 2
	}
	c.rehash(size)
}

// replace returns an empty cache for other rules or another format, which still knows what has to be marked stale if
// it does not come again.
func (c *cache) replace(rules *sampleRules, opts exposition.Options) *cache {
	next := newCache(rules, opts)
	next.gone = c.vanished(true, nil)
	return next
}
