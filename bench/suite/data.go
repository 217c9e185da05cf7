package suite

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Series is one series; labels are name, value, name, value, and so on.
type Series struct {
	Labels []string
	// T are timestamps in milliseconds.
	T []int64
	// F are the values, or empty if the series has histograms.
	F []float64
	// H are native histograms; each has as many positive buckets as the others.
	H []Histogram
}

// Histogram is a native histogram of schema 1 whose positive buckets start at [FirstBucket] and have no gaps.
type Histogram struct {
	Count, Sum, ZeroCount float64
	Buckets               []float64
}

// FirstBucket is the index of the first bucket of a [Histogram], Schema its resolution.
const (
	FirstBucket = -4
	Schema      = 1
)

// Size says how much data there is.
type Size struct {
	// Series is the number of series of each of the larger metrics.
	Series int
	// Samples is the number of samples of each series, IntervalMillis their distance.
	Samples        int
	IntervalMillis int64
}

// Start is the time of the first sample in milliseconds.
const Start = 1_700_000_000_000

// End returns the time of the last sample in milliseconds.
func (s Size) End() int64 { return Start + int64(s.Samples-1)*s.IntervalMillis }

// SizeFor returns the data that goes with a number of series: less time for more series, at least 90 minutes.
func SizeFor(series int) Size {
	switch {
	case series <= 1000:
		return Size{series, 6 * 240, 15_000}
	case series <= 10_000:
		return Size{series, 2 * 240, 15_000}
	default:
		return Size{series, 180, 30_000}
	}
}

// Data calls f with each series: counters requests_total and errors_total and the gauge temperature, with the same
// labels; latency_seconds_bucket with ten buckets; the native histogram latency_native; and job_info. The samples depend
// on the size alone.
func Data(size Size, f func(Series) error) error {
	r := rand.New(rand.NewPCG(1, 2))
	times := make([]int64, size.Samples)
	for k := range times {
		times[k] = Start + int64(k)*size.IntervalMillis
	}
	for _, metric := range []struct {
		name string
		next func(float64) float64
	}{
		{"requests_total", func(v float64) float64 { return counted(r, v, 100) }},
		{"errors_total", func(v float64) float64 { return counted(r, v, 3) }},
		{"temperature", func(v float64) float64 { return math.Round((v+r.NormFloat64())*100) / 100 }},
	} {
		for i := range size.Series {
			s := Series{Labels: append([]string{"__name__", metric.name}, identity(i)...), T: times, F: make([]float64, size.Samples)}
			v := 20.0
			for k := range s.F {
				v = metric.next(v)
				s.F[k] = v
			}
			if err := f(s); err != nil {
				return err
			}
		}
	}
	for i := range size.Series / 10 {
		if err := buckets(r, i, times, f); err != nil {
			return err
		}
		if err := f(native(r, size, i, times)); err != nil {
			return err
		}
	}
	ones := make([]float64, size.Samples)
	for k := range ones {
		ones[k] = 1
	}
	for j := range jobs {
		job := fmt.Sprintf("job-%02d", j)
		if err := f(Series{Labels: []string{"__name__", "job_info", "job", job, "team", "team of " + job}, T: times, F: ones}); err != nil {
			return err
		}
	}
	return nil
}

// counted is the next value of a counter that grows by up to n and starts anew now and then.
func counted(r *rand.Rand, v float64, n int) float64 {
	if r.IntN(500) == 0 {
		return 0
	}
	return v + float64(r.IntN(n))
}

const jobs = 20

func identity(i int) []string {
	return []string{
		"code", []string{"200", "404", "500"}[i%3], "instance", fmt.Sprintf("10.0.%d.%d:9100", i/8/250, i/8%250), "job", fmt.Sprintf("job-%02d", i/8%jobs),
		"path", fmt.Sprintf("/api/v1/path%d", i%8), "zone", string(rune('a' + i/8%4)),
	}
}

func buckets(r *rand.Rand, i int, times []int64, f func(Series) error) error {
	bounds := []string{"0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"}
	values := make([][]float64, len(bounds))
	counts := make([]float64, len(bounds))
	for range times {
		sum := 0.0
		for b := range bounds {
			counts[b] += float64(r.IntN(4))
			sum += counts[b]
			values[b] = append(values[b], sum)
		}
	}
	for b, bound := range bounds {
		s := Series{Labels: append([]string{"__name__", "latency_seconds_bucket", "le", bound}, identity(i*8)...), T: times, F: values[b]}
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

func native(r *rand.Rand, size Size, i int, times []int64) Series {
	s := Series{Labels: append([]string{"__name__", "latency_native"}, identity(i*8)...), T: times}
	var h Histogram
	counts := make([]float64, 12)
	for range size.Samples {
		for b := range counts {
			n := float64(r.IntN(3))
			counts[b] += n
			h.Count += n
			h.Sum += n * float64(b)
		}
		h.Buckets = append([]float64(nil), counts...)
		s.H = append(s.H, h)
	}
	return s
}
