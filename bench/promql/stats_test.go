package promql_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/util/stats"

	"github.com/narthex-io/narthex/promql"
)

// TestStatistics compares the numbers of samples that both engines say they have looked at and read, as a whole and at
// each step. The engines differ where ours does not read what cannot matter, such as a side of and or unless without a
// partner: such queries are not here.
func TestStatistics(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	e := newEngines(t, slices.Concat(mixture(r, 240), natives(r, 240)), features{})
	end := time.UnixMilli(200 * interval)
	for _, query := range []string{
		"temperature", "temperature @ 1000", "temperature offset 3m", "temperature offset -3m", "sum(temperature)", "temperature + temperature", "temperature + on (instance, job) temperature @ end()", "temperature @ start() + temperature @ end()",
		"rate(requests_total[2m])", "rate(requests_total[10s])", "rate(requests_total[2m] @ 1000)", "rate(requests_total[2m] offset 1m)",
		"quantile_over_time(scalar(temperature), temperature[1m])", "quantile_over_time(scalar(temperature), temperature[1m] @ 1000)", "absent(temperature)", "absent_over_time(temperature[1m])",
		"timestamp(temperature)", "topk(3, temperature)", `count_values("v", temperature)`, "label_replace(temperature, \"a\", \"b\", \"\", \"\")", "time()", "1", "vector(1)", "scalar(temperature @ 1000)",
		"sum_over_time(temperature[2m:10s])", "sum_over_time(temperature[2m:10s] @ 1000)", "sum_over_time((temperature @ 1000)[2m:10s])", "sum_over_time((temperature offset 1m)[2m:30s] offset 1m)",
		"max_over_time(rate(requests_total[1m])[5m:1m])", "max_over_time(max_over_time(temperature[3m:20s])[5m:1m])", "max_over_time(max_over_time(temperature[3m:20s] @ 1000)[5m:1m])",
		"avg_over_time(sum(temperature)[30s:7s])", "sum(max_over_time(sum by (job) (temperature)[5m:1m]) * on (job) group_right temperature)",
		"native", "rate(native[2m])", "timestamp(native)", "histogram_quantile(0.9, sum(rate(native[2m])))", "last_over_time(native[2m:20s])",
	} {
		for _, step := range []time.Duration{0, time.Minute, 7 * time.Second} {
			if err := e.compareStatistics(t, query, end, step); err != nil {
				t.Errorf("%s, step %s: %v", query, step, err)
			}
		}
	}
	for _, query := range []string{"temperature[3m]", "temperature[3m:20s]", "temperature[3m:20s] @ 1000", "native[3m]", "max_over_time(temperature[1m:10s])[3m:20s]", "(temperature @ 1000)[3m:20s]"} {
		if err := e.compareStatistics(t, query, end, 0); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// compareStatistics asks an instant query if step is zero.
func (e *engines) compareStatistics(t *testing.T, query string, end time.Time, step time.Duration) error {
	t.Helper()
	start, opts := end.Add(-10*time.Minute), promql.QueryOptions{PerStepStats: true}
	res, err := e.ours.Range(t.Context(), e.store, query, opts, start, end, step)
	q, upstreamErr := e.upstream.NewRangeQuery(t.Context(), e.upstreamStore, perStep{}, query, start, end, step)
	if step == 0 {
		res, err = e.ours.Instant(t.Context(), e.store, query, opts, end)
		q, upstreamErr = e.upstream.NewInstantQuery(t.Context(), e.upstreamStore, perStep{}, query, end)
	}
	if err != nil || upstreamErr != nil {
		return fmt.Errorf("%w, %w", err, upstreamErr)
	}
	defer q.Close()
	if out := q.Exec(t.Context()); out.Err != nil {
		return out.Err
	}
	want, got := q.Stats().Samples, res.Stats.Samples
	selects := func(name string) bool { return strings.Contains(query, name) }
	if want.TotalSamples == 0 && slices.ContainsFunc([]string{"temperature", "requests_total", "native"}, selects) {
		return errors.New("nothing is looked at")
	}
	if got.TotalQueryable != want.TotalSamples || got.Read != want.SamplesRead {
		return fmt.Errorf("%d looked at and %d read, want %d and %d", got.TotalQueryable, got.Read, want.TotalSamples, want.SamplesRead)
	}
	if err := sameSteps(got.PerStep, *want.TotalSamplesPerStepMap()); err != nil {
		return fmt.Errorf("looked at: %w", err)
	}
	if err := sameSteps(got.ReadPerStep, *want.SamplesReadPerStepMap()); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// perStep asks upstream's engine for the statistics of steps.
type perStep struct{}

func (perStep) EnablePerStepStats() bool     { return true }
func (perStep) LookbackDelta() time.Duration { return 0 }

func sameSteps(got []promql.StepCount, want stats.TotalSamplesPerStep) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d steps, want %d", len(got), len(want))
	}
	for _, s := range got {
		if int64(want[s.T]) != s.Count {
			return fmt.Errorf("%d at %d, want %d", s.Count, s.T, want[s.T])
		}
	}
	return nil
}
