// Package merge reads several storages as if they were one: blocks that overlap or follow each other, and the head.
//
// Start with [Queriers], or [Series] for sets alone. It merges what is read; merging blocks on disk is the job of
// tsdb/compact.
package merge

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// Queriers returns a querier over all of the given ones, which it closes when it is closed. Where several have a sample
// of the same series and time, that of the first of them counts.
func Queriers(qs ...storage.Querier) storage.Querier {
	if len(qs) == 1 {
		return qs[0]
	}
	return querier(slices.Clone(qs))
}

type querier []storage.Querier

func (m querier) Close() error {
	var errs []error
	for _, q := range m {
		errs = append(errs, q.Close())
	}
	return errors.Join(errs...)
}

// Select merges the series, for which they must be sorted in any case, and have all of their labels.
func (m querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if hints != nil && hints.Projection {
		all := *hints
		all.Projection, all.ProjectionLabels = false, nil
		hints = &all
	}
	sets := make([]storage.SeriesSet, len(m))
	for i, q := range m {
		sets[i] = q.Select(ctx, true, hints, matchers...)
	}
	return Series(sets...)
}

func (m querier) LabelNames(ctx context.Context, hints storage.LabelHints, matchers ...*labels.Matcher) ([]string, storage.Warnings, error) {
	return m.union(func(q storage.Querier) ([]string, storage.Warnings, error) {
		return q.LabelNames(ctx, hints, matchers...)
	})
}

func (m querier) LabelValues(ctx context.Context, name string, hints storage.LabelHints, matchers ...*labels.Matcher) ([]string, storage.Warnings, error) {
	return m.union(func(q storage.Querier) ([]string, storage.Warnings, error) {
		return q.LabelValues(ctx, name, hints, matchers...)
	})
}

func (m querier) union(ask func(q storage.Querier) ([]string, storage.Warnings, error)) ([]string, storage.Warnings, error) {
	var all []string
	var warnings storage.Warnings
	for _, q := range m {
		answers, w, err := ask(q)
		if err != nil {
			return nil, nil, err
		}
		all = mergeSorted(all, answers)
		warnings = append(warnings, w...)
	}
	return all, warnings, nil
}

// mergeSorted returns what is in either of two sorted lists, once, in one of them if it is all there.
func mergeSorted(a, b []string) []string {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0 || slices.Equal(a, b): // Fast path: blocks beside each other have mostly the same.
		return a
	}
	all := make([]string, 0, max(len(a), len(b))+min(len(a), len(b))/4)
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0], b[0]); {
		case c < 0:
			all, a = append(all, a[0]), a[1:]
		case c > 0:
			all, b = append(all, b[0]), b[1:]
		default:
			all, a, b = append(all, a[0]), a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}
