package compact

import (
	"cmp"
	"math"
	"slices"

	"github.com/narthex-io/narthex/tsdb/block"
)

const (
	// rangeSteps and rangeFactor give the ranges of blocks, as upstream's do.
	rangeSteps  = 10
	rangeFactor = 3
	// tombstoneShare is the number of tombstones per series from which on a block is worth rewriting.
	tombstoneShare = 0.05
)

// Ranges returns the ranges in milliseconds into which blocks are merged: from minRange on, each three times the one
// before, none above maxRange but the first.
func Ranges(minRange, maxRange int64) []int64 {
	ranges := []int64{minRange}
	for r := minRange; len(ranges) < rangeSteps && r <= math.MaxInt64/rangeFactor; {
		if r *= rangeFactor; r > maxRange {
			break
		}
		ranges = append(ranges, r)
	}
	return ranges
}

// Rules say which blocks are merged.
type Rules struct {
	// Ranges are as [Ranges] returns them.
	Ranges []int64
	// KeepOverlaps leaves blocks that overlap to somebody else.
	KeepOverlaps bool
	// Skip reports blocks that must stay as they are for now; nil means none. Blocks that are marked as failed stay in
	// any case.
	Skip func(block.Meta) bool
}

// Plan returns the blocks that are to be merged next, in the order of their times; none if there is nothing to do. One
// block alone is to be rewritten, for its tombstones.
//
// Blocks that overlap come first. Otherwise blocks are merged that fill a range, or lie in one in which no newer block
// can come up; the newest block stays for itself, so that others can copy it before it is merged.
func (r Rules) Plan(metas []block.Meta) []block.Meta {
	sorted := slices.SortedStableFunc(slices.Values(settled(metas)), func(a, b block.Meta) int { return cmp.Compare(a.MinTime, b.MinTime) })
	if len(sorted) == 0 {
		return nil
	}
	for _, run := range overlapping(sorted) {
		if len(run) > 1 && !r.KeepOverlaps && r.allowed(run) {
			return run
		}
	}
	older := sorted[:len(sorted)-1]
	if group := r.level(older); group != nil {
		return group
	}
	return r.deleted(older)
}

// settled leaves out blocks of a part of the head that reach beyond the newest other block: the end of a merged block would
// say that all samples up to there are in blocks, while the head has some.
func settled(metas []block.Meta) []block.Meta {
	end := int64(math.MinInt64)
	for _, m := range metas {
		if !m.Compaction.Partial() {
			end = max(end, m.MaxTime)
		}
	}
	return slices.DeleteFunc(slices.Clone(metas), func(m block.Meta) bool { return m.Compaction.Partial() && m.MaxTime > end })
}

func (r Rules) allowed(group []block.Meta) bool {
	return !slices.ContainsFunc(group, func(m block.Meta) bool {
		return m.Compaction.Failed || r.Skip != nil && r.Skip(m)
	})
}

// overlapping cuts the blocks into runs that don't overlap each other.
func overlapping(sorted []block.Meta) [][]block.Meta {
	var runs [][]block.Meta
	start, end := 0, int64(math.MinInt64)
	for i, m := range sorted {
		if i > start && m.MinTime >= end {
			runs = append(runs, sorted[start:i])
			start = i
		}
		end = max(end, m.MaxTime)
	}
	return append(runs, sorted[start:])
}

// level returns the first group that is complete, of the smallest range that has one.
func (r Rules) level(sorted []block.Meta) []block.Meta {
	if len(sorted) == 0 || len(r.Ranges) == 0 {
		return nil
	}
	newest := sorted[len(sorted)-1].MinTime
	for _, width := range r.Ranges[1:] {
		for _, group := range aligned(sorted, width) {
			mint, maxt := group[0].MinTime, group[len(group)-1].MaxTime
			complete := maxt-mint == width || maxt <= newest
			if complete && len(group) > 1 && r.allowed(group) && (!r.KeepOverlaps || len(overlapping(group)) == len(group)) {
				return group
			}
		}
	}
	return nil
}

// aligned groups the blocks by the multiples of width between which they lie. Those that cross one are left out.
func aligned(sorted []block.Meta, width int64) [][]block.Meta {
	var groups [][]block.Meta
	var end int64
	open := false
	for i, m := range sorted {
		from := m.MinTime - (m.MinTime%width+width)%width
		switch {
		case open && m.MaxTime <= end:
			last := len(groups) - 1
			groups[last] = append(groups[last], m)
		case m.MaxTime <= from+width:
			groups = append(groups, sorted[i:i+1:i+1])
			end, open = from+width, true
		default:
			open = false
		}
	}
	return groups
}

// deleted returns the newest block that has so many tombstones that rewriting pays: a large one, or one of which
// perhaps nothing is left.
func (r Rules) deleted(sorted []block.Meta) []block.Meta {
	for i, m := range slices.Backward(sorted) {
		stones, series := m.Stats.NumTombstones, m.Stats.NumSeries
		large := len(r.Ranges) > 0 && m.MaxTime-m.MinTime >= r.Ranges[len(r.Ranges)/2]
		worth := stones > 0 && stones >= series || large && float64(stones) > tombstoneShare*float64(series+1)
		if worth && r.allowed(sorted[i:i+1]) {
			return sorted[i : i+1]
		}
	}
	return nil
}
