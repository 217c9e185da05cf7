package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	upstreamlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	ourhistogram "github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// reading is what somebody read out of a body, one line for each sample and each piece of metadata.
type reading struct {
	lines []string
	err   error
}

// ours reads with the scanner, twice: the second time, with the series of the first as guesses, must give the same.
func ours(s *exposition.Scanner, body []byte, opts exposition.Options) reading {
	opts.Seed = maphash.MakeSeed()
	var first, second []exposition.ID
	s.Reset(body, opts)
	out := scan(s, opts, func() exposition.ID { return exposition.ID{} }, &first)
	s.Reset(body, opts)
	again := scan(s, opts, func() exposition.ID {
		if len(second) < len(first) {
			return first[len(second)]
		}
		return exposition.ID{}
	}, &second)
	if !slices.Equal(out.lines, again.lines) || (out.err == nil) != (again.err == nil) || !slices.Equal(first, second) {
		return reading{err: fmt.Errorf("the second reading differs: %q instead of %q, errors %v and %v", again.lines, out.lines, out.err, again.err)}
	}
	return out
}

func scan(s *exposition.Scanner, opts exposition.Options, guess func() exposition.ID, seen *[]exposition.ID) (out reading) {
	for {
		kind, err := s.Next(guess())
		if err != nil {
			out.err = err
			return out
		}
		name, text := s.Meta()
		switch kind {
		case exposition.End:
			return out
		case exposition.Help:
			out.lines = append(out.lines, fmt.Sprintf("HELP %s %q", name, s.HelpText(text)))
		case exposition.Type:
			out.lines = append(out.lines, fmt.Sprintf("TYPE %s %s", name, s.MetricType()))
		case exposition.Unit:
			out.lines = append(out.lines, fmt.Sprintf("UNIT %s %s", name, text))
		default:
			*seen = append(*seen, s.ID())
			line, err := ourSample(s, kind, opts)
			if err != nil {
				out.err = err
				return out
			}
			out.lines = append(out.lines, line)
		}
	}
}

func ourSample(s *exposition.Scanner, kind exposition.Kind, opts exposition.Options) (string, error) {
	pairs, err := s.Labels(nil)
	if err != nil {
		return "", err
	}
	for i := range pairs {
		if slices.ContainsFunc(pairs[:i], func(l labels.Label) bool { return l.Name == pairs[i].Name }) {
			return "", fmt.Errorf("label name %q is not unique", pairs[i].Name) // As the scrape loop has it.
		}
	}
	var b strings.Builder
	b.WriteString(shownPairs(pairs))
	if kind == exposition.Histogram {
		h, f := s.Native()
		b.WriteString(" " + shownOurs(h, f))
	} else {
		fmt.Fprintf(&b, " %v", s.Value())
	}
	if ts, ok := s.Timestamp(); ok {
		fmt.Fprintf(&b, " @%d", ts)
	}
	if opts.StartTimes {
		fmt.Fprintf(&b, " since %d", s.StartTime())
	}
	exemplars, err := s.Exemplars(nil)
	if err != nil {
		return "", err
	}
	slices.SortStableFunc(exemplars, func(a, b sample.Exemplar) int { return int(a.T - b.T) })
	for _, e := range exemplars {
		var all []labels.Label
		for n, v := range e.Labels.All() {
			all = append(all, labels.Label{Name: n, Value: v})
		}
		fmt.Fprintf(&b, " # %s %v", shownPairs(all), e.Value)
		if e.HasT {
			fmt.Fprintf(&b, " @%d", e.T)
		}
	}
	return b.String(), nil
}

func shownPairs(pairs []labels.Label) string {
	pairs = slices.Clone(pairs)
	slices.SortStableFunc(pairs, func(a, b labels.Label) int {
		return strings.Compare(a.Name+"\x00"+a.Value, b.Name+"\x00"+b.Value)
	})
	var b strings.Builder
	for _, l := range pairs {
		fmt.Fprintf(&b, "%s=%q,", l.Name, l.Value)
	}
	return "{" + b.String() + "}"
}

func shownOurs(h *ourhistogram.Histogram, f *ourhistogram.FloatHistogram) string {
	if h != nil {
		return fmt.Sprintf("int %d %d %v %d %d %v %v %v %v %v %v", h.CounterResetHint, h.Schema, h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum,
			h.PositiveSpans, h.PositiveBuckets, h.NegativeSpans, h.NegativeBuckets, h.CustomValues)
	}
	return fmt.Sprintf("float %d %d %v %v %v %v %v %v %v %v %v", f.CounterResetHint, f.Schema, f.ZeroThreshold, f.ZeroCount, f.Count, f.Sum,
		f.PositiveSpans, f.PositiveBuckets, f.NegativeSpans, f.NegativeBuckets, f.CustomValues)
}

func shownTheirs(h *histogram.Histogram, f *histogram.FloatHistogram) string {
	if h != nil {
		return fmt.Sprintf("int %d %d %v %d %d %v %v %v %v %v %v", h.CounterResetHint, h.Schema, h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum,
			h.PositiveSpans, h.PositiveBuckets, h.NegativeSpans, h.NegativeBuckets, h.CustomValues)
	}
	return fmt.Sprintf("float %d %d %v %v %v %v %v %v %v %v %v", f.CounterResetHint, f.Schema, f.ZeroThreshold, f.ZeroCount, f.Count, f.Sum,
		f.PositiveSpans, f.PositiveBuckets, f.NegativeSpans, f.NegativeBuckets, f.CustomValues)
}

var contentTypes = map[exposition.Format]string{
	exposition.Text:        "text/plain; version=0.0.4",
	exposition.OpenMetrics: "application/openmetrics-text; version=1.0.0",
	exposition.Protobuf:    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
}

// theirs reads with the published parsers.
func theirs(body []byte, opts exposition.Options) (out reading) {
	defer func() {
		if r := recover(); r != nil {
			out.err = fmt.Errorf("panic: %v", r)
		}
	}()
	if opts.StartTimes {
		// Looking for start timestamps in a body that is not OpenMetrics, upstream's parser can run forever.
		without := opts
		without.StartTimes = false
		if out = theirs(body, without); out.err != nil {
			return out
		}
		out = reading{}
	}
	p, err := textparse.New(bytes.Clone(body), contentTypes[opts.Format], upstreamlabels.NewSymbolTable(), textparse.ParserOptions{
		EnableTypeAndUnitLabels:                 opts.TypeAndUnit,
		IgnoreNativeHistograms:                  !opts.NativeHistograms,
		ConvertClassicHistogramsToNHCB:          opts.ConvertClassic,
		KeepClassicOnClassicAndNativeHistograms: opts.KeepClassic,
		OpenMetricsSkipSTSeries:                 opts.StartTimes,
	})
	if err != nil {
		return reading{err: err}
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			out.err = err
			return out
		}
		switch entry {
		case textparse.EntryHelp:
			name, text := p.Help()
			out.lines = append(out.lines, fmt.Sprintf("HELP %s %q", name, text))
		case textparse.EntryType:
			name, t := p.Type()
			out.lines = append(out.lines, fmt.Sprintf("TYPE %s %s", name, t))
		case textparse.EntryUnit:
			name, unit := p.Unit()
			out.lines = append(out.lines, fmt.Sprintf("UNIT %s %s", name, unit))
		case textparse.EntryComment:
		default:
			line, err := theirSample(p, entry, opts)
			if err != nil {
				out.err = err
				return out
			}
			out.lines = append(out.lines, line)
		}
	}
}

func theirSample(p textparse.Parser, entry textparse.Entry, opts exposition.Options) (string, error) {
	var ls upstreamlabels.Labels
	p.Labels(&ls)
	var b strings.Builder
	b.WriteString(shownPairs(upstreamPairs(ls)))
	var ts *int64
	if entry == textparse.EntryHistogram {
		var h *histogram.Histogram
		var f *histogram.FloatHistogram
		_, ts, h, f = p.Histogram()
		b.WriteString(" " + shownTheirs(h, f))
	} else {
		var v float64
		_, ts, v = p.Series()
		fmt.Fprintf(&b, " %v", v)
	}
	// What comes from the scrape loop, and not from the parsers: names are checked, and what has a label twice fails.
	if name := ls.Get(model.MetricNameLabel); name == "" {
		return "", errors.New("no name")
	}
	for _, l := range upstreamPairs(ls) {
		if !model.UTF8Validation.IsValidLabelName(l.Name) {
			return "", errors.New("invalid label name")
		}
	}
	if name, twice := ls.HasDuplicateLabelNames(); twice {
		return "", fmt.Errorf("label name %q is not unique", name)
	}
	if ts != nil {
		fmt.Fprintf(&b, " @%d", *ts)
	}
	if opts.StartTimes {
		fmt.Fprintf(&b, " since %d", p.StartTimestamp())
	}
	var exemplars []exemplar.Exemplar
	for e := (exemplar.Exemplar{}); p.Exemplar(&e); e = (exemplar.Exemplar{}) {
		if e.HasTs || entry != textparse.EntryHistogram {
			exemplars = append(exemplars, e)
		}
	}
	slices.SortStableFunc(exemplars, func(a, b exemplar.Exemplar) int { return int(a.Ts - b.Ts) })
	for _, e := range exemplars {
		fmt.Fprintf(&b, " # %s %v", shownPairs(upstreamPairs(e.Labels)), e.Value)
		if e.HasTs {
			fmt.Fprintf(&b, " @%d", e.Ts)
		}
	}
	return b.String(), nil
}

func upstreamPairs(ls upstreamlabels.Labels) (pairs []labels.Label) {
	ls.Range(func(l upstreamlabels.Label) { pairs = append(pairs, labels.Label{Name: l.Name, Value: l.Value}) })
	return pairs
}
