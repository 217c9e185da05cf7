// Package lint looks into an exposition for what its author may want to change: names and metadata that do not follow the
// conventions, and metrics with many series.
//
// Start with [Problems] and [Count]. The conventions are those of client_golang's promlint; what is a mistake rather than a
// matter of taste is decided by the parser.
package lint

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/labels"
)

// Problem is what does not follow the conventions.
type Problem struct{ Metric, Text string }

// Problems returns what does not follow the conventions in a body in Prometheus's text format, in the order of metrics'
// names. That the body cannot be read is an error.
func Problems(body []byte) ([]Problem, error) {
	found, err := promlint.New(bytes.NewReader(body)).Lint()
	if err != nil {
		return nil, err
	}
	problems := make([]Problem, len(found))
	for i, p := range found {
		problems[i] = Problem{p.Metric, p.Text}
	}
	return problems, nil
}

// Cardinality is how many series a metric has, with all buckets, quantiles, sums and counts.
type Cardinality struct {
	Metric string
	Series int
}

// Count counts the series of each metric of a body in Prometheus's text format, the most first.
func Count(body []byte) (counts []Cardinality, total int, err error) {
	var s exposition.Scanner
	s.Reset(body, exposition.Options{Format: exposition.Text})
	series := map[string]map[string]bool{}
	var pairs []labels.Label
	for {
		kind, err := s.Next(exposition.ID{})
		if err != nil {
			return nil, 0, err
		}
		if kind == exposition.End {
			break
		}
		if kind != exposition.Series {
			continue
		}
		if pairs, err = s.Labels(pairs[:0]); err != nil {
			return nil, 0, err
		}
		family, key := identity(pairs)
		if s.InFamily() {
			name, _ := s.Meta()
			family = string(name)
		}
		if series[family] == nil {
			series[family] = map[string]bool{}
		}
		series[family][key] = true
	}
	for name, all := range series {
		counts = append(counts, Cardinality{name, len(all)})
		total += len(all)
	}
	slices.SortFunc(counts, func(a, b Cardinality) int {
		return cmp.Or(cmp.Compare(b.Series, a.Series), cmp.Compare(a.Metric, b.Metric))
	})
	return counts, total, nil
}

// identity returns the name of a series and what tells it from all others.
func identity(pairs []labels.Label) (name, key string) {
	parts := make([]string, len(pairs))
	for i, l := range pairs {
		if l.Name == labels.MetricName {
			name = l.Value
		}
		parts[i] = fmt.Sprintf("%q=%q", l.Name, l.Value)
	}
	slices.Sort(parts)
	return name, strings.Join(parts, ",")
}
