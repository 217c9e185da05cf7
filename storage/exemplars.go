package storage

import (
	"context"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// ExemplarQueryable is what exemplars can be read from.
type ExemplarQueryable interface {
	// Exemplars returns the exemplars in [mint, maxt] of the series that one of the sets of matchers selects as a whole, in
	// the order of labels, then of time. The caller owns what it gets.
	Exemplars(ctx context.Context, mint, maxt int64, matchers ...[]*labels.Matcher) ([]SeriesExemplars, error)
}

// SeriesExemplars are the exemplars of one series.
type SeriesExemplars struct {
	Labels    labels.Labels
	Exemplars []sample.Exemplar
}
