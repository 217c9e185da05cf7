package head

// table finds series by the hash of their labels: open addressing with linear probing, eight bytes an entry.
type table struct {
	entries []tableEntry
	used    int
}

type tableEntry struct {
	hash uint32
	// next is the series' id plus one, zero for a free entry.
	next uint32
}

// find calls is with each series whose hash may be the given one, until is returns true.
func (t *table) find(hash uint64, is func(id uint32) bool) (uint32, bool) {
	if len(t.entries) == 0 {
		return 0, false
	}
	mask := uint32(len(t.entries) - 1)
	for i := uint32(hash) & mask; t.entries[i].next != 0; i = (i + 1) & mask {
		if e := t.entries[i]; e.hash == uint32(hash) && is(e.next-1) {
			return e.next - 1, true
		}
	}
	return 0, false
}

func (t *table) add(hash uint64, id uint32) {
	if 4*(t.used+1) > 3*len(t.entries) {
		t.resize(max(64, 2*len(t.entries)))
	}
	t.put(tableEntry{uint32(hash), id + 1})
	t.used++
}

func (t *table) put(e tableEntry) {
	mask := uint32(len(t.entries) - 1)
	i := e.hash & mask
	for t.entries[i].next != 0 {
		i = (i + 1) & mask
	}
	t.entries[i] = e
}

func (t *table) resize(size int) {
	old := t.entries
	t.entries = make([]tableEntry, size)
	for _, e := range old {
		if e.next != 0 {
			t.put(e)
		}
	}
}

// keep drops all series that alive denies.
func (t *table) keep(alive func(id uint32) bool) {
	old := t.entries
	t.used = 0
	for _, e := range old {
		if e.next != 0 && alive(e.next-1) {
			t.used++
		}
	}
	size := 64
	for 3*size < 4*(t.used+1) {
		size *= 2
	}
	t.entries = make([]tableEntry, size)
	for _, e := range old {
		if e.next != 0 && alive(e.next-1) {
			t.put(e)
		}
	}
}
