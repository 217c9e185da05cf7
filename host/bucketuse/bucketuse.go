// Package bucketuse tells how many buckets of histograms hold anything, over a time that is past: whether there are more
// buckets than are of use.
//
// Start with [Analyze] and [WriteText]. Classic and native histograms are told apart by their samples.
package bucketuse

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/apiclient"
)

// Histogram is how many buckets of one histogram were populated, over its samples.
type Histogram struct {
	// Name is the name of the series, with its labels but le.
	Name   string `json:"name"`
	Native bool   `json:"native"`
	// Min and Max are the fewest and the most buckets that were populated at once, Average is that of all samples. Total is how
	// many buckets there are, or for a native histogram how many were populated at some time.
	Min     int     `json:"minPopulated"`
	Average float64 `json:"avgPopulated"`
	Max     int     `json:"maxPopulated"`
	Total   int     `json:"total"`
}

// Analyze asks a server for the samples that a selector matches, from the given duration before end on, and returns how the
// histograms among them use their buckets, in the order of their names. What has less than two samples, or is no histogram,
// is left out.
func Analyze(ctx context.Context, client *apiclient.Client, selector string, before time.Duration, end time.Time) (found []Histogram, warnings []string, err error) {
	expr := selector + "[" + strconv.FormatInt(before.Milliseconds(), 10) + "ms]"
	v, warnings, err := client.Query(ctx, expr, end)
	if err != nil {
		return nil, warnings, err
	}
	matrix, _ := v.(model.Matrix) // A selector with a range cannot make anything else.
	return histograms(matrix), warnings, nil
}

func histograms(matrix model.Matrix) (found []Histogram) {
	classic := map[string][]*bucket{}
	for _, s := range matrix {
		if len(s.Values) == 0 {
			if h, ok := native(s); ok {
				found = append(found, h)
			}
			continue
		}
		if name, b, ok := classicBucket(s); ok {
			classic[name] = append(classic[name], b)
		}
	}
	for name, buckets := range classic {
		if h, ok := ofClassic(name, buckets); ok {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b Histogram) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

// bounds are those of a bucket of a native histogram.
type bounds struct {
	boundaries   int32
	lower, upper model.FloatString
}

func native(s *model.SampleStream) (h Histogram, ok bool) {
	if len(s.Histograms) < 2 {
		return h, false
	}
	all := map[bounds]bool{}
	var c counter
	for _, sample := range s.Histograms {
		n := 0
		for _, b := range sample.Histogram.Buckets {
			if b.Count != 0 {
				n++
				all[bounds{b.Boundaries, b.Lower, b.Upper}] = true
			}
		}
		c.add(n)
	}
	return c.histogram(s.Metric.String(), true, len(all)), true
}

// bucket is a series of a classic histogram: the values up to a bound, by their times.
type bucket struct {
	bound  float64
	values map[model.Time]float64
}

// classicBucket returns the bucket that a series is, and the name of its histogram.
func classicBucket(s *model.SampleStream) (name string, b *bucket, ok bool) {
	metric := string(s.Metric[model.MetricNameLabel])
	bound, err := strconv.ParseFloat(string(s.Metric[model.BucketLabel]), 64)
	if err != nil || !strings.HasSuffix(metric, "_bucket") {
		return "", nil, false
	}
	ls := model.LabelSet(s.Metric).Clone()
	delete(ls, model.MetricNameLabel)
	delete(ls, model.BucketLabel)
	name = metric
	if len(ls) > 0 {
		name += ls.String()
	}
	b = &bucket{bound: bound, values: make(map[model.Time]float64, len(s.Values))}
	for _, v := range s.Values {
		b.values[v.Timestamp] = float64(v.Value)
	}
	return name, b, true
}

// ofClassic counts, at each time, the buckets with more in them than in the one below.
func ofClassic(name string, buckets []*bucket) (h Histogram, ok bool) {
	slices.SortFunc(buckets, func(a, b *bucket) int { return cmp.Compare(a.bound, b.bound) })
	times := map[model.Time]bool{}
	for _, b := range buckets {
		for t := range b.values {
			times[t] = true
		}
	}
	if len(times) < 2 {
		return h, false
	}
	var c counter
	for t := range times {
		n, below := 0, 0.0
		for _, b := range buckets {
			v, ok := b.values[t]
			if !ok {
				continue
			}
			if v != below {
				n++
			}
			below = v
		}
		c.add(n)
	}
	return c.histogram(name, false, len(buckets)), true
}

// counter sums up how many buckets are populated at different times.
type counter struct{ times, sum, fewest, most int }

func (c *counter) add(n int) {
	if c.times == 0 {
		c.fewest = math.MaxInt
	}
	c.times++
	c.sum += n
	c.fewest, c.most = min(c.fewest, n), max(c.most, n)
}

func (c *counter) histogram(name string, native bool, total int) Histogram {
	return Histogram{Name: name, Native: native, Min: c.fewest, Max: c.most, Average: float64(c.sum) / float64(c.times), Total: total}
}
