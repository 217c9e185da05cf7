package head

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/index"
)

// errTooManyLabels is returned for series whose labels cannot be counted in a slot.
var errTooManyLabels = fmt.Errorf("a series has more than %d labels", math.MaxUint16)

// errTooManySeries is returned once all ids are used; a restart begins anew.
var errTooManySeries = errors.New("2^32 series were created since the start: no number is left for another one")

// seriesIndex finds series by id, by labels and by matchers.
type seriesIndex struct {
	mu    sync.RWMutex
	pairs *pairs
	table table
	// nodes lead to the pages; those without series are nil again.
	nodes  []*pageNode
	nextID uint32
	series int
	// removals counts how often series were removed, after which pairs may have other numbers.
	removals uint64
	// scratch holds what labels are made with.
	scratch sync.Pool
}

const nodeSize = 1024

type pageNode [nodeSize]*page

var (
	_ index.Source      = (*seriesIndex)(nil)
	_ index.ValueSource = (*seriesIndex)(nil)
)

// at returns the page of a series and its slot; nil if the series does not exist. The caller holds mu.
func (x *seriesIndex) at(id uint32) (*page, int) {
	p := x.page(id)
	if p == nil || p.slots[id%pageSize].ref == 0 {
		return nil, 0
	}
	return p, int(id % pageSize)
}

// page returns the page in which a series would be; nil if it does not exist. The caller holds mu.
func (x *seriesIndex) page(id uint32) *page {
	n := int(id / (pageSize * nodeSize))
	if n >= len(x.nodes) || x.nodes[n] == nil {
		return nil
	}
	return x.nodes[n][id/pageSize%nodeSize]
}

// find returns the series with the given labels. The caller holds mu.
func (x *seriesIndex) find(ls labels.Labels, hash uint64) (uint32, bool) {
	return x.table.find(hash, func(id uint32) bool {
		p, i := x.at(id)
		return p != nil && x.pairs.equal(p.labels(i), ls)
	})
}

// getOrCreate returns the series with the given labels and makes it if needed, with the ref that newRef returns. The
// series has pending more staged samples then, which keep it alive.
func (x *seriesIndex) getOrCreate(ls labels.Labels, newRef func() uint64, pending uint32) (id uint32, created bool, err error) {
	hash := ls.Hash()
	x.mu.Lock()
	defer x.mu.Unlock()
	if id, ok := x.find(ls, hash); ok {
		p, i := x.at(id)
		p.mu.Lock()
		p.slots[i].pending += pending
		p.mu.Unlock()
		return id, false, nil
	}
	if x.nextID == math.MaxUint32 {
		return 0, false, errTooManySeries
	}
	if ls.Len() > math.MaxUint16 {
		return 0, false, errTooManyLabels
	}
	id = x.nextID
	x.nextID++
	p := x.newPage(id)
	s := &p.slots[id%pageSize]
	first := len(p.pairs)
	numbers := x.pairs.internAll(p.pairs, ls, id)
	if id%pageSize == pageSize-1 {
		numbers = slices.Clone(numbers) // The page is full: give back the room for more.
	}
	p.mu.Lock()
	p.pairs = numbers
	*s = slot{ref: newRef(), firstPair: uint32(first), pairCount: uint16(len(numbers) - first), pending: pending}
	p.live++
	p.mu.Unlock()
	x.table.add(hash, id)
	x.series++
	return id, true, nil
}

func (x *seriesIndex) newPage(id uint32) *page {
	n := int(id / (pageSize * nodeSize))
	for n >= len(x.nodes) {
		x.nodes = append(x.nodes, nil)
	}
	if x.nodes[n] == nil {
		x.nodes[n] = new(pageNode)
	}
	p := &x.nodes[n][id/pageSize%nodeSize]
	if *p == nil {
		*p = new(page)
	}
	return *p
}

// each calls f with all pages and the id of their first series, under the lock.
func (x *seriesIndex) each(f func(first uint32, p *page)) {
	for n, node := range x.nodes {
		if node == nil {
			continue
		}
		for k, p := range node {
			if p != nil {
				f(uint32((n*nodeSize+k)*pageSize), p)
			}
		}
	}
}

// remove forgets series, given ascending. The caller holds mu; nobody else holds a reference to them.
func (x *seriesIndex) remove(dead []uint32) {
	touched := map[uint32]struct{}{}
	for _, id := range dead {
		p, i := x.at(id)
		for _, number := range p.labels(i) {
			touched[number] = struct{}{}
		}
	}
	x.pairs.remove(touched, dead)
	x.removals++
	x.table.keep(func(id uint32) bool {
		_, found := slices.BinarySearch(dead, id)
		return !found
	})
	for _, id := range dead {
		p, i := x.at(id)
		p.mu.Lock()
		p.slots[i] = slot{}
		p.live--
		empty := p.live == 0
		p.mu.Unlock()
		// The newest page goes on being filled.
		if empty && id/pageSize != x.nextID/pageSize {
			x.nodes[id/(pageSize*nodeSize)][id/pageSize%nodeSize] = nil
		}
	}
	x.series -= len(dead)
	for n, node := range x.nodes {
		if node != nil && *node == (pageNode{}) && uint32(n) != x.nextID/(pageSize*nodeSize) {
			x.nodes[n] = nil
		}
	}
}

// has reports whether a series exists.
func (x *seriesIndex) has(id uint32) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, _ := x.at(id)
	return p != nil
}

// labels makes the labels of a series; they are empty if it does not exist any more.
func (x *seriesIndex) labels(id uint32) labels.Labels { return x.projected(id, nil) }

// projected is labels with nothing but the given names, unless it is given nil.
func (x *seriesIndex) projected(id uint32, names *[]string) labels.Labels {
	if names != nil && len(*names) == 0 {
		return labels.EmptyLabels()
	}
	s, ok := x.scratch.Get().(*scratch)
	if !ok {
		s = &scratch{}
	}
	defer x.scratch.Put(s)
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, i := x.at(id)
	if p == nil {
		return labels.EmptyLabels()
	}
	if names == nil {
		return s.make(x.pairs, p.labels(i))
	}
	return s.choose(x, p.labels(i), *names)
}

// sort orders series by their labels. Those that do not exist any more are dropped.
func (x *seriesIndex) sort(ids []uint32) []uint32 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	ids = slices.DeleteFunc(ids, func(id uint32) bool { p, _ := x.at(id); return p == nil })
	slices.SortFunc(ids, func(a, b uint32) int {
		p, i := x.at(a)
		q, j := x.at(b)
		return x.pairs.compare(p.labels(i), q.labels(j))
	})
	return ids
}

// Postings implements [index.Source].
func (x *seriesIndex) Postings(_ context.Context, name string, values ...string) (index.Postings, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	sets := make([]index.Postings, 0, len(values))
	for _, value := range values {
		if i, ok := x.pairs.find(name, value); ok {
			sets = append(sets, index.IDs(x.pairs.all[i].ids))
		}
	}
	return index.Union(sets...), nil
}

// PostingsMatching implements [index.Source].
func (x *seriesIndex) PostingsMatching(ctx context.Context, name, prefix string, match func(string) bool) (index.Postings, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n, ok := x.pairs.names[name]
	if !ok {
		return index.IDs(nil), nil
	}
	var sets []index.Postings
	seen := 0
	for value, i := range n.values {
		if seen++; seen%128 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if strings.HasPrefix(value, prefix) && (match == nil || match(value)) {
			sets = append(sets, index.IDs(x.pairs.all[i].ids))
		}
	}
	return index.Union(sets...), nil
}

// EachPostings implements [index.ValueSource]. The lock is not held while f is called.
func (x *seriesIndex) EachPostings(ctx context.Context, name string, f func(string, index.Postings) bool) error {
	type valueList struct {
		value string
		ids   []uint32
	}
	x.mu.RLock()
	n := x.pairs.names[name]
	var all []valueList
	if n != nil {
		all = make([]valueList, 0, len(n.values))
		for value, i := range n.values {
			all = append(all, valueList{value, x.pairs.all[i].ids})
		}
	}
	x.mu.RUnlock()
	for i, v := range all {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !f(v.value, index.IDs(v.ids)) {
			return nil
		}
	}
	return nil
}

// AllPostings implements [index.Source].
func (x *seriesIndex) AllPostings(context.Context) (index.Postings, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	ids := make([]uint32, 0, x.series)
	x.each(func(first uint32, p *page) {
		for i := range p.slots {
			if p.slots[i].ref != 0 {
				ids = append(ids, first+uint32(i))
			}
		}
	})
	return index.IDs(ids), nil
}

// LabelValue implements [index.Labeler].
func (x *seriesIndex) LabelValue(id uint32, name string) (string, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, i := x.at(id)
	if p == nil {
		return "", nil
	}
	return x.pairs.value(p.labels(i), name), nil
}

// ValueCount implements [index.Labeler].
func (x *seriesIndex) ValueCount(name string) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if n, ok := x.pairs.names[name]; ok {
		return len(n.values)
	}
	return 0
}

// SeriesCount implements [index.Labeler].
func (x *seriesIndex) SeriesCount() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.series
}
