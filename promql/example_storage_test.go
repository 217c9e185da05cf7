package promql_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// memory is a storage of counters that grow by one a second. It is its own snapshot, as it never changes.
type memory struct {
	// The engine asks for no names or values of labels.
	storage.LabelQuerier
	counters []labels.Labels
}

func (m memory) Querier(_, _ int64) (storage.Querier, error) { return m, nil }
func (m memory) Close() error                                { return nil }

func (m memory) Select(_ context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	s := &selected{}
	for _, ls := range m.counters {
		if labels.MatchesLabels(ls, matchers...) {
			s.series = append(s.series, counter{ls, hints.Start, hints.End})
		}
	}
	if sorted {
		slices.SortFunc(s.series, func(a, b counter) int { return labels.Compare(a.ls, b.ls) })
	}
	return s
}

// selected goes over series.
type selected struct {
	series []counter
	next   int
}

func (s *selected) Next() bool               { s.next++; return s.next <= len(s.series) }
func (s *selected) At() storage.Series       { return s.series[s.next-1] }
func (*selected) Err() error                 { return nil }
func (*selected) Warnings() storage.Warnings { return nil }

// counter has a sample each 15 s.
type counter struct {
	ls         labels.Labels
	start, end int64
}

func (c counter) Labels() labels.Labels { return c.ls }

func (c counter) Samples(storage.ColumnReader) storage.ColumnReader {
	const interval = 15_000
	return &reader{interval: interval, t: max(0, (c.start+interval-1)/interval*interval), end: c.end}
}

// reader reads the samples of a counter, up to 100 at a time.
type reader struct{ interval, t, end int64 }

func (r *reader) Read(dst *storage.Columns) bool {
	before := dst.Len()
	for ; r.t <= r.end && dst.Len() < before+100; r.t += r.interval {
		dst.Append(r.t, float64(r.t)/1000, nil)
	}
	return dst.Len() > before
}

func (*reader) Err() error { return nil }

// The engine runs over any storage that can select series and read their samples.
func Example_storage() {
	store := memory{counters: []labels.Labels{
		labels.FromStrings(labels.MetricName, "requests_total", "job", "api", "instance", "a"),
		labels.FromStrings(labels.MetricName, "requests_total", "job", "api", "instance", "b"),
		labels.FromStrings(labels.MetricName, "requests_total", "job", "web", "instance", "c"),
	}}
	engine, err := promql.New(promql.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	const query = `sort_desc(sum by (job) (rate(requests_total[5m])))`
	res, err := engine.Instant(context.Background(), store, query, promql.QueryOptions{}, time.Unix(3600, 0))
	if err != nil {
		fmt.Println(promql.KindOf(err), err)
		return
	}
	defer res.Release()
	for _, sample := range res.Value.(promql.Vector) {
		fmt.Printf("%s %.0f/s\n", sample.Labels, sample.F)
	}
	// Output:
	// {job="api"} 2/s
	// {job="web"} 1/s
}
