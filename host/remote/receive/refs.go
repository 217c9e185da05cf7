package receive

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/storage"
)

// refs knows the storage's references of series by a keyed hash of the bytes with which requests name them: 24 bytes a
// series instead of its labels. Two series are taken for one if 96 bits of their hashes are equal, which nobody can bring
// about who does not know the seeds, and which chance does once in 10^17 for a million series. It is safe for concurrent
// use.
//
// A reference stays good until the storage forgets the series, and never comes to mean another one; whoever uses it finds
// out, and puts the new one here.
type refs struct {
	seeds [2]maphash.Seed

	mu sync.RWMutex
	// table is open addressing with linear probing; its size is a power of two. used counts its entries.
	table []refEntry
	used  int
	// limit bounds the entries.
	limit int
}

// refEntry is one series; without a reference it is free.
type refEntry struct {
	hash uint64
	ref  storage.SeriesRef
	more uint32
	// era is the latest in which the series was asked for. It is changed by readers, atomically.
	era uint32
}

// maxRefs is a little less than three quarters of a power of two.
const minRefs, maxRefs = 1 << 10, 6<<20 - 1

// eraLength is for how long, at least, a series is known that is not asked for.
const eraLength = 10 * time.Minute

// eraOf numbers the times.
func eraOf(now time.Time) uint32 { return uint32(now.Unix() / int64(eraLength/time.Second)) }

// seriesKey is the hash of the bytes that name a series.
type seriesKey struct {
	hash uint64
	more uint32
}

func newRefs(limit int) *refs {
	return &refs{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, table: make([]refEntry, minRefs), limit: limit}
}

// key returns the key of a name, which is of a kind: bytes of different kinds have nothing to do with each other.
func (r *refs) key(name []byte, kind uint64) seriesKey {
	const golden = 0x9e3779b97f4a7c15
	return seriesKey{maphash.Bytes(r.seeds[0], name) + kind*golden, uint32(maphash.Bytes(r.seeds[1], name))}
}

// find sets the references of series; those that are not known get zero.
func (r *refs) find(all []pendingSeries, era uint32) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i := range all {
		s := &all[i]
		e := r.at(s.key)
		if s.ref = e.ref; s.ref != 0 && atomic.LoadUint32(&e.era) != era {
			atomic.StoreUint32(&e.era, era)
		}
	}
}

// at returns the entry of a key, or the free one where it would be. The caller holds mu.
func (r *refs) at(key seriesKey) *refEntry {
	mask := uint64(len(r.table) - 1)
	for i := key.hash & mask; ; i = (i + 1) & mask {
		if e := &r.table[i]; e.ref == 0 || e.hash == key.hash && e.more == key.more {
			return e
		}
	}
}

// put notes the references of series that find did not know, or that have become others.
func (r *refs) put(all []pendingSeries, era uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range all {
		s := &all[i]
		if !s.changed || s.ref == 0 {
			continue
		}
		e := r.at(s.key)
		if e.ref == 0 {
			if 4*(r.used+1) > 3*len(r.table) || r.used >= r.limit {
				r.sweep(era)
				e = r.at(s.key)
			}
			r.used++
		}
		*e = refEntry{hash: s.key.hash, more: s.key.more, ref: s.ref, era: era}
	}
}

// sweep makes room: it drops what was not asked for in this era and the one before, and takes a larger table if that is not
// enough. When there is no larger one all go, for no series has a better claim than others.
func (r *refs) sweep(era uint32) {
	alive := func(e *refEntry) bool { return e.ref != 0 && era-e.era <= 1 }
	live := 0
	for i := range r.table {
		if alive(&r.table[i]) {
			live++
		}
	}
	if live >= r.limit {
		live = 0
	}
	size := minRefs
	for size < 2*live {
		size *= 2
	}
	old := r.table
	r.table, r.used = make([]refEntry, size), 0
	for i := range old {
		if e := &old[i]; live > 0 && alive(e) {
			*r.at(seriesKey{e.hash, e.more}) = *e
			r.used++
		}
	}
}
