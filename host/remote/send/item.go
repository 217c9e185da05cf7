package send

import (
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// kind is what is counted apart.
type kind uint8

const (
	floats kind = iota
	histograms
	exemplars
	kinds
)

// counts are numbers of each kind.
type counts [kinds]int

func (c *counts) sum() int { return c[floats] + c[histograms] + c[exemplars] }

// item is a sample or an exemplar on its way.
type item struct {
	series *series
	// t is its time, st the start of counting or zero, in milliseconds.
	t, st int64
	v     float64
	// more is nil for floats.
	more *more
}

// more is what histograms and exemplars have.
type more struct {
	whole    *histogram.Histogram
	floating *histogram.FloatHistogram
	// labels are those of an exemplar.
	labels labels.Labels
}

func (i *item) kind() kind {
	switch {
	case i.more == nil:
		return floats
	case i.more.whole != nil || i.more.floating != nil:
		return histograms
	}
	return exemplars
}

// follows reports whether an item is an exemplar that goes into the same series of a request as the one before it.
func (i *item) follows(before *item) bool { return i.series == before.series && i.kind() == exemplars }

// count counts items by kind.
func count(items []item) (c counts) {
	for i := range items {
		c[items[i].kind()]++
	}
	return c
}
