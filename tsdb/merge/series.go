package merge

import (
	"cmp"
	"slices"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// Series merges sets that are in label order into one. Series with the same labels become one, whose samples are
// merged by time; where several have a sample of the same time, that of the first set counts.
func Series(sets ...storage.SeriesSet) storage.SeriesSet {
	if len(sets) == 1 {
		return sets[0]
	}
	return &seriesSet{sets: slices.Clone(sets)}
}

type seriesSet struct {
	sets    []storage.SeriesSet
	started bool
	// heads are the current series of the sets that are not exhausted, sorted by labels and then by set.
	heads []head
	at    storage.Series
	err   error
}

// head is a set that stands at a series.
type head struct {
	set    int
	series storage.Series
	labels labels.Labels
}

func byLabels(a, b head) int {
	if c := labels.Compare(a.labels, b.labels); c != 0 {
		return c
	}
	return cmp.Compare(a.set, b.set)
}

func (s *seriesSet) Next() bool {
	if s.err != nil {
		return false
	}
	if !s.started {
		s.started = true
		for i := range s.sets {
			s.advance(i)
		}
	}
	if s.err != nil || len(s.heads) == 0 {
		return false
	}
	n := 1
	for n < len(s.heads) && labels.Equal(s.heads[n].labels, s.heads[0].labels) {
		n++
	}
	if first := s.heads[0]; n == 1 {
		s.at = &labeled{Series: first.series, labels: first.labels}
	} else {
		s.at = &series{parts: slices.Clone(s.heads[:n])}
	}
	taken := slices.Clone(s.heads[:n])
	s.heads = slices.Delete(s.heads, 0, n)
	for _, h := range taken {
		s.advance(h.set)
	}
	return true
}

// advance brings a set to its next series, if there is one. A failure shows when the series at hand was read, so that
// it is not lost.
func (s *seriesSet) advance(set int) {
	if !s.sets[set].Next() {
		if err := s.sets[set].Err(); err != nil && s.err == nil {
			s.err = err
		}
		return
	}
	h := head{set: set, series: s.sets[set].At()}
	h.labels = h.series.Labels()
	at, _ := slices.BinarySearchFunc(s.heads, h, byLabels)
	s.heads = slices.Insert(s.heads, at, h)
}

// Size returns how many series are left at most, zero if it is not known.
func (s *seriesSet) Size() int {
	total := len(s.heads)
	for _, set := range s.sets {
		sized, ok := set.(storage.Sized)
		if !ok {
			return 0
		}
		total += sized.Size()
	}
	return total
}

func (s *seriesSet) At() storage.Series { return s.at }
func (s *seriesSet) Err() error         { return s.err }

func (s *seriesSet) Warnings() storage.Warnings {
	var all storage.Warnings
	for _, set := range s.sets {
		all = append(all, set.Warnings()...)
	}
	return all
}

// labeled is a series whose labels are made already.
type labeled struct {
	storage.Series
	labels labels.Labels
}

func (s *labeled) Labels() labels.Labels { return s.labels }

// series has parts from several sets.
type series struct{ parts []head }

func (s *series) Labels() labels.Labels { return s.parts[0].labels }

func (s *series) Samples(reuse storage.ColumnReader) storage.ColumnReader {
	r, ok := reuse.(*reader)
	if !ok {
		r = &reader{}
	}
	r.reset(s.parts)
	return r
}
