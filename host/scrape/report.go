package scrape

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// report is what a scrape says about itself.
type report struct {
	up bool
	// start is when the scrape began, duration how long it took until its samples were handed over.
	start    time.Time
	duration time.Duration
	counts
	// bodyBytes is the size of the body: -1 if it was over the limit, 0 if there was none.
	bodyBytes int
}

// reportNames are the series about a scrape; those from extraReports on are written only if the job wants them.
var reportNames = [...]string{ //nolint:gochecknoglobals // Constant table.
	"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added",
	"scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes",
}

const extraReports = 5

// reportSeries are the series about the scrapes of one target, in the order of reportNames.
type reportSeries struct {
	target labels.Labels
	refs   [len(reportNames)]storage.SeriesRef
	// written are how many of them were written last.
	written int
}

// values returns the values in the order of reportNames.
func (r *report) values(s *settings, t *target) (v [len(reportNames)]float64, n int) {
	if r.up {
		v[0] = 1
	}
	v[1], v[2], v[3], v[4] = r.duration.Seconds(), float64(r.scraped), float64(r.kept), float64(r.added)
	v[5], v[6], v[7] = t.timeout.Seconds(), float64(s.cfg.SampleLimit), float64(r.bodyBytes)
	if s.extraMetrics {
		return v, len(v)
	}
	return v, extraReports
}

// write appends the first n values at ts; the others, if they were written before, end.
func (rs *reportSeries) write(ctx context.Context, out storage.Appender, v [len(reportNames)]float64, n int, ts int64) error {
	for i := n; i < rs.written; i++ {
		v[i] = sample.StaleNaN()
	}
	count := max(n, rs.written)
	rs.written = n
	var entries [len(reportNames)]storage.Entry
	var outcomes [len(reportNames)]storage.Outcome
	for i := range count {
		entries[i] = storage.Entry{Ref: rs.refs[i], T: ts, V: v[i], InOrder: true}
		if rs.refs[i] == 0 {
			entries[i].Labels = rs.labels(i)
		}
	}
	if err := out.Append(ctx, entries[:count], outcomes[:count]); err != nil {
		return fmt.Errorf("append to the storage: %w", err)
	}
	for i := range count {
		if errors.Is(outcomes[i].Err, storage.ErrUnknownSeries) {
			entries[i].Ref, entries[i].Labels = 0, rs.labels(i)
			if err := out.Append(ctx, entries[i:i+1], outcomes[i:i+1]); err != nil {
				return fmt.Errorf("append to the storage: %w", err)
			}
		}
		rs.refs[i] = outcomes[i].Ref
	}
	return nil
}

// end marks all series as stale at ts.
func (rs *reportSeries) end(ctx context.Context, out storage.Appender, ts int64) error {
	return rs.write(ctx, out, [len(reportNames)]float64{}, 0, ts)
}

func (rs *reportSeries) labels(i int) labels.Labels {
	return labels.NewBuilder(rs.target).Set(labels.MetricName, reportNames[i]).Labels()
}

// of sets whose scrapes the series are about.
func (rs *reportSeries) of(target labels.Labels) { rs.target = target }
