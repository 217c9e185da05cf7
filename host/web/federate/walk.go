package federate

import (
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// latest is the last sample of a series.
type latest struct {
	name   string
	labels labels.Labels
	t      int64
	f      float64
	// h is nil for a float.
	h *histogram.FloatHistogram
}

const nameLabel = "__name__"

// walk hands out the latest samples in the order of their names, those of one name in the order of labels. Series come in
// that order already, but for those with a label that sorts before the name, which all come first.
type walk struct {
	f func(*latest) error
	// early are series that wait for their names, in the order of these.
	early  []latest
	sorted bool
	// nameless counts those that were left out.
	nameless int

	columns storage.Columns
	reader  storage.ColumnReader
}

func (w *walk) run(sets []storage.SeriesSet) error {
	u := newUnion(sets)
	for u.next() {
		l := latest{labels: u.labels}
		if found, err := w.read(u.series, &l); err != nil {
			return err
		} else if !found {
			continue
		}
		if l.name = l.labels.Get(nameLabel); l.name == "" {
			w.nameless++
			continue
		}
		if sortsEarly(l.labels) {
			w.early = append(w.early, l)
			continue
		}
		if err := w.release(l.name); err != nil {
			return err
		}
		if err := w.f(&l); err != nil {
			return err
		}
	}
	if u.err != nil {
		return u.err
	}
	return w.release("")
}

// sortsEarly reports whether a label sorts before the name.
func sortsEarly(ls labels.Labels) bool {
	for name := range ls.All() {
		return name < nameLabel
	}
	return false
}

// release hands out the early series up to a name, or all.
func (w *walk) release(name string) error {
	if len(w.early) == 0 {
		return nil
	}
	if !w.sorted {
		slices.SortStableFunc(w.early, func(a, b latest) int { return strings.Compare(a.name, b.name) })
		w.sorted = true
	}
	for len(w.early) > 0 && (name == "" || w.early[0].name <= name) {
		if err := w.f(&w.early[0]); err != nil {
			return err
		}
		w.early = w.early[1:]
	}
	return nil
}

// read reads the last sample of a series, and reports whether there is one that says something: a stale marker has no place
// in the formats, and who scrapes this finds out by the sample's absence.
func (w *walk) read(s storage.Series, l *latest) (found bool, err error) {
	w.reader = s.Samples(w.reader)
	for w.columns.Reset(); w.reader.Read(&w.columns); w.columns.Reset() {
		i := w.columns.Len() - 1
		l.t, l.f, l.h, found = w.columns.T[i], w.columns.F[i], nil, true
		if len(w.columns.H) > 0 {
			l.h = w.columns.H[i]
		}
	}
	if err := w.reader.Err(); err != nil || !found {
		return false, err
	}
	if l.h != nil {
		return !sample.IsStale(l.h.Sum), nil
	}
	return !sample.IsStale(l.f), nil
}

// union walks over sets of one snapshot as if they were one: series that are in several come once.
type union struct {
	heads  []head
	series storage.Series
	labels labels.Labels
	err    error
}

// head is a set that stands at a series.
type head struct {
	set    storage.SeriesSet
	labels labels.Labels
	// taken says that the series was handed out.
	taken bool
}

func newUnion(sets []storage.SeriesSet) *union {
	u := &union{heads: make([]head, len(sets))}
	for i, set := range sets {
		u.heads[i] = head{set: set, taken: true}
	}
	return u
}

func (u *union) next() bool {
	for i := 0; i < len(u.heads); {
		h := &u.heads[i]
		if h.taken && !h.set.Next() {
			if u.err = h.set.Err(); u.err != nil {
				return false
			}
			u.heads = slices.Delete(u.heads, i, i+1)
			continue
		}
		if h.taken {
			h.labels, h.taken = h.set.At().Labels(), false
		}
		i++
	}
	if len(u.heads) == 0 {
		return false
	}
	first := 0
	for i := 1; i < len(u.heads); i++ {
		if labels.Compare(u.heads[i].labels, u.heads[first].labels) < 0 {
			first = i
		}
	}
	u.series, u.labels = u.heads[first].set.At(), u.heads[first].labels
	for i := range u.heads {
		u.heads[i].taken = i == first || labels.Equal(u.heads[i].labels, u.labels)
	}
	return true
}
